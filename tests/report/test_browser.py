"""Every kind of page in a real browser: no error on its console, no request, and every chart drawn.

The pages forbid all requests (``default-src 'none'``), and a browser reports each one that it stops on the console. So
a silent console is a page that asked for nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pandas as pd
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
        "a hundred classes": lambda: build(make_run(classes=[f"class {n}" for n in range(100)]))["report.html"],
        "no complete trial": lambda: build(make_run(outcomes="crashed"))["report.html"],
        "one trial": lambda: build(make_run(trials=1, outcomes="complete"))["report.html"],
        "benchmark": lambda: build_bench(a)["report.html"],
        "comparison": lambda: build_comparison(compare_bench(a, b))["comparison.html"],
        "architectures": lambda: build_compare(comparisons.write(folder / "c"))["compare.html"],
        "architectures on several tasks": lambda: build_tasks(comparisons.on_tasks(folder, 5))["tasks.html"],
    }


PAGES = [
    "one objective, with a limit",
    "two objectives, with limits",
    "regression",
    "a hundred classes",
    "no complete trial",
    "one trial",
    "benchmark",
    "comparison",
    "architectures",
    "architectures on several tasks",
]
DARK_AND_NARROW = ("--blink-settings=preferredColorScheme=0", "--window-size=500,900")
"""One page of each kind is drawn so as well: style and script are those of all pages of the kind."""
DRAWN = [(name, ()) for name in PAGES]
DRAWN += [(name, DARK_AND_NARROW) for name in ("one objective, with a limit", "comparison", "architectures")]


@pytest.mark.parametrize(("name", "flags"), DRAWN, ids=lambda each: each if isinstance(each, str) else len(each))
def test_a_page_draws_its_charts_without_an_error_or_a_request(
    browse, make_run, usual_texts, front_run, bench_runs, comparisons, tmp_path, name, flags
):
    page = pages(make_run, usual_texts, front_run, bench_runs, comparisons, tmp_path)[name]()
    console, document = browse(page, *flags)
    assert console == []
    places = re.findall(r'<div class="plot[^"]*" id="(chart-[^"]+)"', document)
    assert len(places) == page.count('<script type="application/json" data-chart=') > 0
    assert document.count('<svg class="main-svg"') >= len(places)


def acting(page, script):
    """Return the page with one more script at its end, that its policy allows."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = page.replace("script-src ", f"script-src 'sha256-{digest}' ")
    return allowed.replace("</body>", f"<script>{script}</script></body>")


CLICKS = """
const seen = [];
const place = document.querySelector(".block.sheet");
const texts = (query) => [...place.querySelectorAll(query)].map((each) => each.textContent);
const click = (text) => [...place.querySelectorAll("button")].find((each) => each.textContent === text).click();
const look = (what) => seen.push([what, texts("tbody th").map(Number), texts("output")[0]]);
function choose(name, value) {
  const label = [...place.querySelectorAll("label")].find((each) => each.textContent.startsWith(name));
  const select = label.querySelector("select");
  select.value = [...select.options].find((each) => each.textContent === value).value;
  select.dispatchEvent(new Event("change"));
}
function search(words) {
  const input = place.querySelector("input");
  input.value = words;
  input.dispatchEvent(new Event("input"));
}
look("first");
click("Next"); look("next");
click("f1_macro"); look("up");
click("f1_macro"); look("down");
choose("outcome", "pruned"); look("pruned");
choose("outcome", "any"); search("MLP  adamw"); look("words");
search("nothing has this"); look("none");
document.body.dataset.seen = JSON.stringify(seen);
document.body.dataset.sorted = texts("th[aria-sort='descending']").join();
"""


def test_the_table_of_trials_sorts_filters_and_turns_pages_by_clicks(browse, usual_run, usual_texts):
    console, document = browse(acting(usual_texts["report.html"], CLICKS))
    assert console == []
    seen = {what: (trials, count) for what, trials, count in json.loads(html.unescape(attribute(document, "seen")))}
    trials = pd.read_parquet(usual_run / "trials.parquet")
    scored = trials.dropna(subset=["value"])
    unscored = list(trials["trial"][trials["value"].isna()])
    down = list(scored.sort_values("value", ascending=False)["trial"]) + unscored
    up = list(scored.sort_values("value")["trial"]) + unscored
    mine = trials[(trials["architecture"] == "mlp") & (trials["optimizer"] == "adamw")]
    assert seen["first"] == (list(range(20)), "rows 1 to 20 of 30")
    assert seen["next"] == (list(range(20, 30)), "rows 21 to 30 of 30")
    assert (seen["up"][0], seen["down"][0]) == (up[:20], down[:20])
    assert sorted(seen["pruned"][0]) == list(trials["trial"][trials["outcome"] == "pruned"])
    assert sorted(seen["words"][0]) == sorted(mine["trial"])
    assert seen["none"] == ([], "none of 30")
    assert attribute(document, "sorted") == "f1_macro"


def attribute(document, name):
    return re.search(f'data-{name}="([^"]*)"', document)[1]


def test_ten_thousand_trials_are_one_page_of_bearable_size(browse, make_run):
    page = build(make_run(trials=10_000))["report.html"]
    assert len(page.encode()) < 15_000_000
    console, document = browse(acting(page, CLICKS.replace("MLP  adamw", "trained")))
    assert console == []
    assert document.count('<svg class="main-svg"') >= page.count('<script type="application/json" data-chart=')
    seen = {what: count for what, _, count in json.loads(html.unescape(attribute(document, "seen")))}
    assert seen["down"] == "rows 1 to 20 of 10,000"
    assert seen["pruned"] == "rows 1 to 20 of 1,998 found among 10,000"


def test_a_request_would_be_seen(browse, usual_texts):
    page = usual_texts["report.html"].replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">')
    console, _ = browse(page)
    assert any("Content Security Policy" in line for line in console)
