"""``harness runs``: a table for people, JSON for programs, and one line for what cannot be listed."""

import json

from harness.store import RunFolder, seal


def make(parent, state="complete"):
    folder = RunFolder.create(parent, "wine")
    folder.set_state(state, elapsed_s=75.0)
    stats = {
        "task": {"name": "wine"},
        "objective": [{"metric": "accuracy"}],
        "outcomes": {"complete": 4},
        "best": {"values": [0.9375]},
    }
    folder.write_json("stats.json", stats)
    folder.close()
    seal(folder.path, {})
    return folder.path


def test_runs_are_listed_in_a_table(harness, tmp_path):
    path = make(tmp_path)
    broken = make(tmp_path)
    (broken / "status.json").write_text("{")
    (tmp_path / "photos").mkdir()
    (tmp_path / "mail\x1b[31m").mkdir()
    done = harness("runs", tmp_path)
    assert done.code == 0
    (line,) = [line for line in done.out.splitlines() if path.name in line]
    for text in ("search", "wine", "complete", "accuracy 0.9375", "4", "1 min 15 s"):
        assert text in line
    assert f"1 run in {tmp_path}" in done.out
    first, second = done.err.splitlines()
    assert first.startswith(f"harness: not listed: {broken}: status.json: not valid JSON")
    assert second == "harness: no runs in: mail [31m, photos"


def test_nothing_that_a_run_says_is_obeyed_by_a_terminal(harness, tmp_path):
    path = make(tmp_path)
    stats = json.loads((path / "stats.json").read_text())
    stats["task"]["name"] = "wine\x1b]0;owned\x07\x1b[2J"
    (path / "stats.json").write_text(json.dumps(stats))
    path.rename(tmp_path / "run\x9b31m")
    out = harness("runs", tmp_path).out
    assert "owned" in out
    assert not {letter for letter in out if not letter.isprintable()} - {"\n"}


def test_runs_as_json(harness, tmp_path):
    path = make(tmp_path)
    (tmp_path / "photos").mkdir()
    done = harness("runs", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert told["skipped"] == [{"path": str(tmp_path / "photos"), "why": "no run"}]
    (run,) = told["runs"]
    assert run.pop("started_unix_s") > 1.7e9
    assert run == {
        "run": str(path),
        "command": "search",
        "task": "wine",
        "state": "complete",
        "metric": "accuracy",
        "value": 0.9375,
        "trials": 4,
        "seconds": 75.0,
    }


def test_what_is_not_known_is_null_and_a_dash(harness, tmp_path):
    folder = RunFolder.create(tmp_path, "wine")
    folder.set_state("failed")
    folder.close()
    (run,) = json.loads(harness("runs", tmp_path, "--json").out)["runs"]
    assert (run["value"], run["trials"], run["seconds"]) == (None, None, None)
    assert " - " in harness("runs", tmp_path).out


def test_many_folders_that_cannot_be_read_are_not_told_one_by_one(harness, tmp_path):
    for number in range(15):
        (tmp_path / f"run{number:02d}").mkdir()
        (tmp_path / f"run{number:02d}" / "status.json").write_text("{")
    done = harness("runs", tmp_path)
    assert done.code == 0
    assert len(done.err.splitlines()) == 11
    assert "5 more that cannot be read" in done.err


def test_a_folder_that_is_not_there(harness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = harness("runs")
    assert (done.code, done.out) == (2, "")
    assert "results: no such folder" in done.err
