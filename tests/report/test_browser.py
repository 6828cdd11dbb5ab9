"""Every kind of page in a real browser: no error on its console, no request, and every chart drawn.

The pages forbid all requests (``default-src 'none'``), and a browser reports each one that it stops on the console. So
a silent console is a page that asked for nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from harness.bench.comparison.compare import compare_bench
from harness.report import build
from harness.report.bench_page import build_bench, build_comparison
from harness.report.compare_page import build_compare
from harness.report.compare_tasks import build_tasks

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome on the PATH"),
]


@pytest.fixture
def browse(tmp_path):
    """Return a function that loads a page and returns its console's lines and the document that came of it."""

    def load(page: str, *flags: str) -> tuple[list[str], str]:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *flags]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=10000"]
        done = subprocess.run(
            [*command, "--dump-dom", file.as_uri()], capture_output=True, text=True, check=True, timeout=200
        )
        return re.findall(r"CONSOLE:\d+\] (.*)", done.stderr), done.stdout

    return load


def pages(make_run, usual_texts, front_run, bench_runs, comparisons, folder):
    rows = bench_runs.usual_rows(0)
    slower = [replace(row, blocks_s=tuple(1.2 * each for each in row.blocks_s)) for row in bench_runs.usual_rows(1)]
    a, b = bench_runs.write_run(folder / "a", rows), bench_runs.write_run(folder / "b", slower)
    return {
        "one objective, with a limit": lambda: usual_texts["report.html"],
        "two objectives, with limits": lambda: build(front_run)["report.html"],
        "regression": lambda: build(make_run(kind="regression", objective={"rmse": "minimize"}))["report.html"],
        "benchmark": lambda: build_bench(a)["report.html"],
        "comparison": lambda: build_comparison(compare_bench(a, b))["comparison.html"],
        "architectures": lambda: build_compare(comparisons.write(folder / "c"))["compare.html"],
        "architectures on several tasks": lambda: build_tasks(comparisons.on_tasks(folder, 5))["tasks.html"],
    }


@pytest.mark.parametrize("flags", [(), ("--blink-settings=preferredColorScheme=0", "--window-size=500,900")])
@pytest.mark.parametrize(
    "name",
    [
        "one objective, with a limit",
        "two objectives, with limits",
        "regression",
        "benchmark",
        "comparison",
        "architectures",
        "architectures on several tasks",
    ],
)
def test_a_page_draws_its_charts_without_an_error_or_a_request(
    browse, make_run, usual_texts, front_run, bench_runs, comparisons, tmp_path, name, flags
):
    page = pages(make_run, usual_texts, front_run, bench_runs, comparisons, tmp_path)[name]()
    console, document = browse(page, *flags)
    assert console == []
    places = re.findall(r'<div class="plot[^"]*" id="(chart-[^"]+)"', document)
    assert len(places) == page.count('<script type="application/json" data-chart=') > 0
    assert document.count('<svg class="main-svg"') >= len(places)


def test_a_request_would_be_seen(browse, usual_texts):
    page = usual_texts["report.html"].replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">')
    console, _ = browse(page)
    assert any("Content Security Policy" in line for line in console)
