"""``harness report``: one run in any format, several side by side, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from harness.cli.report import FORMATS
from harness.report.formats import FORMATS as KNOWN


@pytest.fixture
def small(tiny):
    """A space whose report is quick as well."""
    tiny.write_text(tiny.read_text().replace("trials: 4, epochs: 2", "trials: 1, epochs: 1"))
    return tiny


def test_formats_have_one_list():
    assert set(FORMATS) == set(KNOWN)


@pytest.mark.slow
def test_one_run_and_several(harness, small, tmp_path):
    first = Path(json.loads(harness("search", small, "--out", tmp_path / "runs", "--json").out)["run"])
    runs = [str(first), str(shutil.copytree(first, first.parent / "copied"))]
    before = {name: (first / name).read_bytes() for name in ("report.md", "report.html", "manifest.json")}
    done = harness("report", runs[0])
    assert (done.code, done.out.split()) == (0, [f"{runs[0]}/report.md", f"{runs[0]}/report.html"])
    assert {name: (first / name).read_bytes() for name in before} == before
    out = tmp_path / "out"
    done = harness("report", runs[0], "--format", "all", "--out", out)
    assert (done.code, done.out.split()) == (0, [str(out / f"report.{each}") for each in FORMATS])
    assert (out / "report.html").read_bytes() == before["report.html"]
    done = harness("report", *runs, "--format", "json", "--format", "md")
    assert (done.code, done.out.split()) == (0, [str(tmp_path / "runs" / f"runs.{each}") for each in ("json", "md")])
    told = json.loads((tmp_path / "runs" / "runs.json").read_text())
    assert {row["run"] for row in told["runs"]} == {run.rpartition("/")[2] for run in runs}
    assert told["differences"] == {"space": {}, "data": {}, "machine": {}}
    done = harness("report", runs[0], runs[0])
    assert (done.code, done.out) == (2, "")
    assert "named twice" in done.err


def test_a_benchmark_has_its_own_report(harness, bench_runs, tmp_path):
    run = bench_runs.write_run(tmp_path / "bench", bench_runs.usual_rows(0), bench_runs.GPU)
    done = harness("report", run)
    assert (done.code, done.out.split()) == (0, [str(run / "report.md"), str(run / "report.html")])
    done = harness("report", run, "--format", "tex")
    assert done.code == 2
    assert "a benchmark" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("results/a", "--format", "pdf"), "--format pdf: unknown"),
        (("a", "b"), "a: not a run folder"),
        ((), "RUN"),
    ],
)
def test_bad_arguments_are_told(arguments, message, harness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = harness("report", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []
