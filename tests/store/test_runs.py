"""The list of runs: told by small files, whatever else lies beside them and whatever these hold."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness.store.runs
from harness.errors import InputError, StorageError
from harness.store import RunFolder, check_run, seal
from harness.store.runs import SILENT_S, list_runs, listed

STATS = {
    "task": {"name": "wine"},
    "objective": [{"metric": "accuracy", "direction": "maximize"}],
    "outcomes": {"complete": 3, "pruned": 2},
    "best": {"trial": 1, "values": [0.96875], "validation": {"accuracy": 0.9}},
}
COMPARISON = {
    "schema": 1,
    "kind": "comparison",
    "state": "complete",
    "task": {"name": "digits", "metric": "f1_macro"},
    "families": [
        {"name": "mlp", "mean": 0.91, "trials": 8, "device_seconds": 20.0},
        {"name": "cnn", "mean": 0.95, "trials": 8, "device_seconds": 30.5},
    ],
    "cheapest_not_worse": "mlp",
}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def make(parent, state="complete", *, task="wine", sealed=True, **status):
    """Make a run whose process has ended, if it says so."""
    folder = RunFolder.create(parent, task)
    folder.set_state(state, elapsed_s=12.5, **status)
    write(folder.path / "stats.json", STATS)
    folder.close()
    if sealed:
        seal(folder.path, {"state": state})
    return folder.path


def states(parent):
    found, skipped = list_runs(parent)
    assert not skipped
    return {run.run.name: run.state for run in found}


def test_a_search_in_a_few_words(tmp_path):
    path = make(tmp_path)
    (run,), skipped = list_runs(tmp_path)
    assert skipped == []
    assert (run.run, run.command, run.task, run.state) == (path, "search", "wine", "complete")
    assert (run.metric, run.value, run.trials, run.seconds) == ("accuracy", 0.96875, 5, 12.5)
    assert abs(run.started_unix_s - time.time()) < 120


def test_a_run_with_a_list_of_what_to_train_searched_for_nothing(tmp_path):
    path = make(tmp_path)
    write(path / "replicates.json", [])
    assert listed(path).command == "train"


def test_the_newest_come_first_and_those_of_unknown_age_last(tmp_path):
    for name in ("20250101-000000-b-0001", "20260101-000000-a-0002", "renamed", "20260101-000001-c-0003", "old"):
        write(tmp_path / name / "status.json", {"state": "failed", "pid": 1})
    write(tmp_path / "renamed/parts/0001.json", {"begun_unix_s": 1.0e9, "hardware": {}, "environment": {}})
    found, _ = list_runs(tmp_path)
    assert [run.run.name[-6:] for run in found] == ["c-0003", "a-0002", "b-0001", "enamed", "old"]
    assert math.isnan(found[-1].started_unix_s)
    assert [run.task for run in found] == ["c", "a", "b", "", ""]


def test_states(tmp_path):
    expected = {make(tmp_path, state, sealed=state != "failed").name: state for state in ("interrupted", "failed")}
    expected[make(tmp_path, "running", sealed=False).name] = "running"
    expected[make(tmp_path, "complete", sealed=False).name] = "running", "its report is still to be written"
    rebooted = make(tmp_path, "running", sealed=False, boot_id="another boot")
    another = make(tmp_path, "running", sealed=False)
    os.utime(another / "status.json", (1.0e9, 1.0e9))  # by a process of this number, long before this one
    expected |= {rebooted.name: "killed", another.name: "killed"}
    assert states(tmp_path) == {name: text if isinstance(text, str) else text[0] for name, text in expected.items()}


def test_a_killed_process_is_told(tmp_path):
    code = (
        "import sys, time, pathlib; from harness.store import RunFolder\n"
        "folder = RunFolder.create(pathlib.Path(sys.argv[1]), 'wine'); folder.set_state('running')\n"
        "print('begun', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    (run,) = tmp_path.iterdir()
    assert listed(run).state == "running"
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while listed(run).state != "killed":  # a zombie, until it is waited for
        assert time.monotonic() < deadline
    process.wait()
    process.stdout.close()
    assert listed(run).state == "killed"


def test_benchmarks_and_comparisons_are_told_apart(tmp_path, bench_runs):
    bench = bench_runs.write_run(tmp_path / "bench", bench_runs.usual_rows(0), bench_runs.GPU)
    comparison = tmp_path / "20260101-000000-compare-digits-ab12"
    write(comparison / "comparison.json", COMPARISON)
    write(comparison / "status.json", {"state": "complete", "pid": 1, "elapsed_s": 60.0})
    write(comparison / "manifest.json", {})
    inner = make(comparison / "searches")
    found, skipped = list_runs(tmp_path)
    assert skipped == []
    first, second = sorted(found, key=lambda run: run.command)
    assert (first.run, first.command, first.task, first.state) == (bench, "bench", "NVIDIA H100 80GB HBM3", "complete")
    assert (second.run, second.command, second.task, second.state) == (comparison, "compare", "digits", "complete")
    assert (second.metric, second.value, second.trials, second.seconds) == ("f1_macro", 0.91, 16, 60.0)
    assert [run.run for run in list_runs(comparison)[0]] == [inner, comparison], "its own runs, where it is named"


def test_a_comparison_before_its_first_look_is_known_by_its_design(tmp_path):
    comparison = tmp_path / "20260101-000000-compare-digits-ab12"
    write(comparison / "design.json", {})
    write(comparison / "status.json", {"state": "running", "pid": 1, "boot_id": "another"})
    run = listed(comparison)
    assert (run.command, run.state, run.trials) == ("compare", "killed", None)
    assert math.isnan(run.value)


def test_a_benchmark_that_is_silent_is_over(tmp_path, bench_runs):
    bench = bench_runs.write_run(tmp_path / "bench", bench_runs.usual_rows(0), {**bench_runs.GPU, "state": "running"})
    assert listed(bench).state == "running"
    then = time.time() - SILENT_S - 60
    os.utime(bench / "env.json", (then, then))
    assert listed(bench).state == "killed"


def test_what_is_no_run_and_what_is_damaged_end_nothing(tmp_path):
    good = make(tmp_path / "deeper" / "still")
    (tmp_path / "photos" / "2025").mkdir(parents=True)
    (tmp_path / "deeper" / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("no folder")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    torn = make(tmp_path)
    (torn / "status.json").write_text('{"state": "comp')
    cut = make(tmp_path)
    (cut / "stats.json").write_text("[]")
    other = tmp_path / "website"
    write(other / "status.json", {"status": "ok"})
    part = tmp_path / "part"
    write(part / "stats.json", STATS)
    (part / "space.yaml").touch()
    found, skipped = list_runs(tmp_path)
    assert [run.run for run in found] == [good]
    foreign = {each.path for each in skipped if each.foreign}
    assert foreign == {tmp_path / "photos", tmp_path / "deeper" / "notes"}
    why = {each.path: each.why for each in skipped if not each.foreign}
    assert set(why) == {torn, cut, other, part}
    assert why[torn].startswith("status.json: not valid JSON")
    assert why[cut].startswith("stats.json: not a JSON object")
    assert "copied in part" in why[part]
    with pytest.raises(InputError, match="no such folder"):
        list_runs(tmp_path / "nowhere")


def test_what_cannot_be_reached_or_is_gone_stops_nothing(tmp_path, monkeypatch):
    good, gone = make(tmp_path), make(tmp_path)
    locked = make(tmp_path)
    is_file, reach = Path.is_file, harness.store.runs.listed

    def refused(path):
        if locked in path.parents:
            raise PermissionError(13, "Permission denied")
        return is_file(path)

    def removed(path):
        if path == gone:
            shutil.rmtree(path)
        return reach(path)

    monkeypatch.setattr(Path, "is_file", refused)
    monkeypatch.setattr("harness.store.runs.listed", removed)
    found, skipped = list_runs(tmp_path)
    assert [run.run for run in found] == [good]
    assert {each.path for each in skipped} == {gone, locked}
    assert next(each.why for each in skipped if each.path == gone).startswith("not a run folder")


def test_a_name_too_long_is_told_in_one_line():
    for ask in (list_runs, check_run):
        with pytest.raises(StorageError, match="File name too long"):
            ask(Path("x" * 5000))


KEYS = [*STATS, *COMPARISON, "name", "trials", "values"]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, ANYTHING)), st.sampled_from(["stats", "comparison"]))
def test_whatever_the_files_hold_a_run_is_listed(tmp_path, values, name):
    write(tmp_path / "run" / "status.json", {"state": "failed", "pid": 1})
    for file in ("stats", "comparison"):
        (tmp_path / "run" / f"{file}.json").unlink(missing_ok=True)
    write(tmp_path / "run" / f"{name}.json", values)
    (run,), skipped = list_runs(tmp_path)
    assert skipped == []
    assert isinstance(run.task, str)
    assert isinstance(run.value, float)
    assert run.trials is None or isinstance(run.trials, int)


def test_nothing_heavy_is_loaded(tmp_path):
    make(tmp_path)
    code = (
        "import sys; sys.argv = ['harness', 'runs', sys.argv[1]]; from harness.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'optuna', 'sklearn', 'plotly'}; print(*heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []
    assert Path(tmp_path.name).name in done.stdout
