import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from harness.bench.comparison.runs import load_bench
from harness.bench.rows import Case, Row
from harness.cli.bench_run import show_run
from harness.errors import InputError


@pytest.fixture
def runs(bench_runs, tmp_path):
    """A run, one like it, one that is slower by a fifth in its first row, and one of a CPU."""
    rows = bench_runs.usual_rows(1)
    slower = [replace(rows[0], blocks_s=tuple(1.2 * each for each in rows[0].blocks_s)), *rows[1:]]
    return {
        "a": bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(0)),
        "same": bench_runs.write_run(tmp_path / "same", rows),
        "slower": bench_runs.write_run(tmp_path / "slower", slower),
        "cpu": bench_runs.write_run(tmp_path / "cpu", rows, bench_runs.CPU),
    }


@pytest.fixture
def suite(monkeypatch, bench_runs):
    """A suite that measures nothing and leaves a run; holds what it was asked for."""
    asked = {}

    def run_suite(*, level, device, out, only, threads, observer):
        asked.update(level=level, device=device, only=only, threads=threads)
        folder = out / "20260101-120000-bench-1a2b"
        observer.suite_started(folder, 1, 50.0)
        observer.group_started("matmul", 50.0)
        rows = bench_runs.usual_rows(0)
        for row in rows:
            observer.row_measured(row, 40.0)
        observer.group_ended("matmul", 0.0)
        return bench_runs.write_run(folder, rows)

    monkeypatch.setattr("harness.bench.suite.run_suite", run_suite)
    return asked


def test_a_run_ends_with_its_rows_and_a_report(harness, suite, tmp_path):
    done = harness("bench", "--standard", "--only", "matmul", "--threads", 2, "--out", tmp_path / "results")
    assert done.code == 0, done.err
    assert suite == {"level": "standard", "device": "auto", "only": ["matmul"], "threads": 2}
    report = tmp_path / "results" / "20260101-120000-bench-1a2b" / "report.html"
    assert f"Report: {report}" in done.out.replace("\n", "")
    assert report.is_file()
    assert report.with_name("report.md").is_file()
    assert "matmul 8192x8192x8192 bf16" in done.out
    assert "8 threads" in done.out
    assert "8 CPU threads" in report.with_name("report.md").read_text()
    assert "run folder:" in done.err
    assert "1 turns, about" in done.err
    assert f"{'matmul':<32}  23 rows" in done.err


def test_json_is_one_document_on_stdout(harness, suite, tmp_path):
    done = harness("bench", "--json", "--out", tmp_path)
    found = json.loads(done.out)
    assert suite["level"] == "quick"
    assert len(found["rows"]) == 23
    assert (suite["threads"], found["threads"]) == (None, 8)
    assert found["rows"][0]["bench"] == "matmul"
    assert {"facts": {"batch": 4096.0}, "t_median_s": None}.items() <= found["rows"][20].items()


def test_an_interruption_says_what_is_kept(harness, monkeypatch, bench_runs, tmp_path):
    def run_suite(*, out, observer, **_):
        observer.suite_started(out / "run", 1, 50.0)
        observer.row_measured(bench_runs.usual_rows(0)[0], 40.0)
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.bench.suite.run_suite", run_suite)
    done = harness("bench", "--out", tmp_path)
    assert done.code == 130
    assert f"interrupted; what was measured is in {tmp_path / 'run'}" in done.err


CHILD = """
import os, sys, time
from harness.bench.rows import Case, Row
from harness.bench.workload import Idle
from harness.hardware.channel import frame, messages

def main(connection, **_):
    for request in messages(connection):
        name = request.group
        if name == "copy":
            print(os.getpid(), file=open("pid", "w"), flush=True)
            time.sleep(600)
        if name:
            connection.sendall(frame(Row(case=Case(bench=name))))
        connection.sendall(frame({"peaks": {}, "idle": Idle(60.0, 2.0)}))
"""
COMMAND = """
import sys
from harness.bench import process
sys.path.insert(0, "")
process.MODULE = "a_stub_of_a_child"
from harness.cli import main
sys.argv = ["harness", "bench", "--device", "cpu", "--only", "matmul", "--only", "copy", "--out", "out"]
main()
"""


@pytest.mark.slow
def test_a_signal_ends_the_children_and_keeps_the_groups_that_ended(tmp_path, gone):
    (tmp_path / "a_stub_of_a_child.py").write_text(CHILD)
    said = tmp_path / "pid"
    command = subprocess.Popen([sys.executable, "-c", COMMAND], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    while not (said.exists() and said.read_text()) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    command.send_signal(signal.SIGTERM)
    _, err = command.communicate(timeout=30)
    assert command.returncode == 143, err
    (folder,) = (tmp_path / "out").iterdir()
    assert f"interrupted; what was measured is in {folder.relative_to(tmp_path)}" in err
    assert "Traceback" not in err
    assert json.loads((folder / "env.json").read_text())["state"] == "interrupted"
    assert [row["bench"] for row in csv.DictReader((folder / "bench.csv").read_text().splitlines())] == ["matmul"]
    assert gone(int(said.read_text()))


def test_rows_that_were_measured_come_first_and_others_in_a_line_for_each_reason(bench_runs, tmp_path, capsys):
    rows = bench_runs.usual_rows(0)
    why = "no AMX"
    skipped = [Row(case=Case(bench=name, dtype="fp8", shape="s"), status="skipped", note=why) for name in "ab"]
    late = [Row(case=Case(bench="x", batch=n), status="skipped", note=f"no time: it takes {n} s") for n in range(6)]
    run = bench_runs.write_run(tmp_path / "a", [*skipped, *late, *rows], bench_runs.CPU)
    show_run(load_bench(run), json=False)
    table, _, below = capsys.readouterr().out.partition("\n[1]")
    assert "matmul 8192x8192x8192 bf16" in table
    assert "skipped" not in table
    below = below.splitlines()
    assert "skipped: fp8 of a, b: no AMX" in below
    assert "skipped: x fp32, x batch 1 fp32, x batch 2 fp32, x batch 3 fp32 and 2 more: no time" in below
    failed = [line for line in below if line.startswith(("oom", "skipped"))]
    assert failed[0].startswith("oom: train_step transformer-1 batch 4096 bf16: CUDA out of memory")
    assert "No share of specified peaks: the system does not tell." in below
    assert max(map(len, table.splitlines())) <= 120


def test_comparing_prints_verdicts_and_means(harness, runs):
    done = harness("bench", "compare", runs["a"], runs["slower"])
    assert done.code == 0
    assert "0 faster, 1 slower, 20 same, 1 inconclusive, 0 confounded" in done.out
    (line,) = [line for line in done.out.splitlines() if "matmul 1024x1024x1024 fp32" in line]
    assert "slower" in line
    assert "1.2" in line


def test_json_of_a_comparison_has_rows_with_verdicts(harness, runs):
    done = harness("bench", "compare", runs["a"], runs["slower"], "--json", "--fail-on-regression", "5%")
    found = json.loads(done.out)
    assert done.code == 1
    assert [row["verdict"] for row in found["rows"]][:2] == ["slower", "same"]
    assert found["regressions"] == ["matmul 1024x1024x1024 fp32"]


@pytest.mark.parametrize(
    ("limit", "run", "code"),
    [("5%", "same", 0), ("5%", "slower", 1), ("0.05", "slower", 1), ("30%", "slower", 0), ("5 %", "slower", 1)],
)
def test_a_regression_ends_with_one(harness, runs, limit, run, code):
    done = harness("bench", "compare", runs["a"], runs[run], "--fail-on-regression", limit)
    assert done.code == code
    assert ("regression: matmul 1024x1024x1024 fp32: " in done.err) == bool(code)


def test_an_unjudged_comparison_does_not_pass_silently(harness, runs, bench_runs, tmp_path):
    rows = [replace(row, psi_cpu=50.0) for row in bench_runs.usual_rows(1)]
    busy = bench_runs.write_run(tmp_path / "busy", rows)
    done = harness("bench", "compare", runs["a"], busy, "--fail-on-regression", "5%")
    assert done.code == 0
    assert "21 confounded rows were not judged" in done.err
    allowed = harness("bench", "compare", runs["a"], busy, "--fail-on-regression", "5%", "--allow", "contention")
    assert allowed.err == ""


def test_rows_that_b_had_too_little_time_for_do_not_pass_silently(harness, runs, bench_runs, tmp_path):
    late = Row(case=Case(bench="matmul"), status="skipped", note="no time was left")
    rows = [late, *bench_runs.usual_rows(1)[12:]]
    short = bench_runs.write_run(tmp_path / "short", rows)
    done = harness("bench", "compare", runs["a"], short, "--fail-on-regression", "5%")
    assert done.code == 0
    assert done.err == "harness: 12 rows of A were not judged for lack of time; measure longer, or more quietly\n"
    assert harness("bench", "compare", runs["a"], short).err == ""


def test_a_limit_below_the_band_is_honoured(harness, runs, bench_runs, tmp_path):
    rows = bench_runs.usual_rows(1)
    step = replace(rows[16], blocks_s=tuple(1.045 * each for each in rows[16].blocks_s))
    run = bench_runs.write_run(tmp_path / "step", [*rows[:16], step, *rows[17:]])
    done = harness("bench", "compare", runs["a"], run, "--fail-on-regression", "1%")
    assert done.code == 1
    assert "regression: train_step cnn-1 batch 64 bf16: 4." in done.err
    assert harness("bench", "compare", runs["a"], run, "--fail-on-regression", "4.5%").code == 0


def test_a_group_that_died_in_b_is_a_regression_in_the_text_and_in_json(harness, runs, bench_runs, tmp_path):
    rows = [row for row in bench_runs.usual_rows(1) if row.case.bench != "copy"]
    died = bench_runs.write_run(tmp_path / "died", [Row(case=Case(bench="copy"), status="failed", note="it"), *rows])
    done = harness("bench", "compare", runs["a"], died, "--fail-on-regression", "5%", "--json")
    assert done.code == 1
    assert json.loads(done.out)["regressions"] == ["copy in cache 16 MiB fp32", "copy 1024 MiB fp32"]
    assert "harness: regression: copy 1024 MiB fp32: B: failed (it)\n" in done.err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_run_that_did_not_come_to_its_end_is_told(harness, runs, bench_runs, tmp_path, options):
    env = {**bench_runs.GPU, "state": "interrupted"}
    part = bench_runs.write_run(tmp_path / "part", bench_runs.usual_rows(1)[:12], env)
    done = harness("bench", "compare", runs["a"], part, *options)
    assert done.err == f"harness: B is not complete (interrupted): {part}\n"
    if options:
        assert [json.loads(done.out)[name]["state"] for name in "ab"] == ["complete", "interrupted"]


@pytest.mark.parametrize("limit", ["soon", "5", "-1%", "150%", "nan", "5%%", ""])
def test_a_limit_that_is_no_share_ends_with_two(harness, runs, limit):
    done = harness("bench", "compare", runs["a"], runs["same"], f"--fail-on-regression={limit}")
    assert done.code == 2
    assert "5% or 0.05" in done.err
    assert done.out == ""


def test_the_page_of_a_comparison_is_written_where_it_was_asked_for(harness, runs, tmp_path):
    page = tmp_path / "page.html"
    assert harness("bench", "compare", runs["a"], runs["slower"], "--html", page).code == 0
    assert "Benchmark comparison" in page.read_text()


def test_the_report_is_rebuilt(harness, runs):
    done = harness("bench", "report", runs["a"])
    assert done.out.split() == [str(runs["a"] / "report.md"), str(runs["a"] / "report.html")]


def empty(run):
    (run / "bench.parquet").write_bytes(b"")


def truncated(run):
    content = (run / "blocks.parquet").read_bytes()
    (run / "blocks.parquet").write_bytes(content[: len(content) // 2])


def other_schema(run):
    env = json.loads((run / "env.json").read_text())
    (run / "env.json").write_text(json.dumps({**env, "schema_version": 99}))


def no_environment(run):
    (run / "env.json").unlink()


@pytest.mark.parametrize("damage", [empty, truncated, other_schema, no_environment])
@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_damaged_run_is_named_and_ends_with_two_or_five(harness, runs, damage, command):
    damage(runs["same"])
    given = (runs["a"], runs["same"]) if command == "compare" else (runs["same"],)
    done = harness("bench", command, *given)
    assert done.code in (2, 5)
    assert done.out == ""
    assert str(runs["same"]) in done.err
    assert done.err.count("\n") == 1


BAD_INPUT = {
    "other device class": (["compare", "A", "CPU"], 2, "(cuda)"),
    "no such folder": (["compare", "A", "TMP/none"], 2, "none"),
    "a folder of something else": (["report", "TMP"], 2, "not a bench folder"),
    "unknown difference": (["compare", "A", "A", "--allow", "version"], 2, "did you mean 'versions'"),
    "unknown benchmark": (["--only", "matmull", "--out", "TMP/out"], 2, "did you mean 'matmul'"),
    "unknown command": (["compar", "A", "A"], 2, "compar"),
    "two levels": (["--quick", "--full"], 2, "--quick and --full"),
    "unknown device": (["--device", "gpu", "--out", "TMP/out"], 2, "gpu"),
    "page that cannot be written": (["compare", "A", "A", "--html", "TMP/a/env.json/x.html"], 5, "x.html"),
    "folder that cannot be written": (["--device", "cpu", "--out", "TMP/a/env.json/x"], 5, "env.json"),
}
"""Arguments, exit code and what the message holds; ``A``, ``CPU`` and ``TMP`` stand for folders."""


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(case, harness, runs, tmp_path):
    arguments, code, message = BAD_INPUT[case]
    folders = {"A": str(runs["a"]), "CPU": str(runs["cpu"])}
    done = harness("bench", *(folders.get(word, word.replace("TMP", str(tmp_path))) for word in arguments))
    assert done.code == code, done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_the_list_names_every_group(harness):
    from harness.bench.catalog import CATALOG, load_groups
    from harness.bench.workload import groups

    load_groups()
    assert set(CATALOG) == set(groups)
    done = harness("bench", "list")
    assert all(name in done.out for name in groups)


def test_neither_help_nor_list_nor_comparing_loads_torch(runs):
    code = (
        "import sys; from harness.cli import main; a, b = sys.argv[1:]\n"
        "for arguments in (['--help'], ['list'], ['compare', a, b]):\n"
        "    sys.argv = ['harness', 'bench', *arguments]\n"
        "    try: main()\n    except SystemExit as end: assert not end.code, end.code\n"
        "    assert 'torch' not in sys.modules, arguments"
    )
    arguments = [sys.executable, "-c", code, str(runs["a"]), str(runs["same"])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_share_is_read_with_and_without_percent():
    from harness.cli.bench import share_of

    assert share_of("5%") == pytest.approx(0.05)
    assert share_of("0.05") == pytest.approx(0.05)
    assert share_of("0") == 0.0
    with pytest.raises(InputError):
        share_of("inf")
