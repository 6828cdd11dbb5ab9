"""Resuming a run: whatever cannot be opened leaves it as it was, and each part keeps where it was carried out."""

import json

import pytest

from harness.errors import HardwareError, StorageError
from harness.store.run import changed_files


def contents(run):
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture
def finished(harness, tiny, tmp_path):
    """A run that has ended and is sealed."""
    done = harness("search", tiny, "--trials", 2, "--out", tmp_path / "runs", "--json")
    assert done.code == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    return run


def test_a_resume_that_finds_no_workers_leaves_a_finished_run_as_it_was(harness, finished, monkeypatch):
    before = contents(finished)

    def none(*_):
        raise HardwareError("no cluster at 10.0.0.1:6379; start one")

    monkeypatch.setattr("harness.study.part.open_executor", none)
    done = harness("search", "--resume", finished, "--trials", 4)
    assert (done.code, "no cluster" in done.err) == (4, True)
    assert contents(finished) == before
    monkeypatch.undo()
    assert harness("report", finished).code == 0
    assert changed_files(finished) == []


def test_a_resume_that_finds_no_study_leaves_a_finished_run_as_it_was(harness, finished):
    (finished / "study.db").unlink()
    before = contents(finished)
    done = harness("search", "--resume", finished, "--trials", 4)
    assert (done.code, "its trials are lost" in done.err) == (5, True)
    assert contents(finished) == before


@pytest.mark.slow
def test_trials_are_checked_before_anything_is_removed(harness, finished, monkeypatch):
    stray = finished / "checkpoints" / "trial-000099.safetensors"
    stray.write_bytes(b"weights that may be somebody's")

    def flawed(run, _spec, trials):
        assert len(trials) == 2
        raise StorageError(f"{run}: trial 0 is not of this space")

    monkeypatch.setattr("harness.study.part.check_candidates", flawed)
    before = contents(finished)
    done = harness("search", "--resume", finished, "--trials", 4)
    assert (done.code, "is not of this space" in done.err) == (5, True)
    assert contents(finished) == before
    monkeypatch.undo()
    assert harness("search", "--resume", finished, "--trials", 4).code == 0
    assert not stray.exists()


def test_a_new_search_that_cannot_begin_leaves_nothing(harness, tiny, tmp_path, monkeypatch):
    def none(*_):
        raise HardwareError("no cluster at 10.0.0.1:6379; start one")

    monkeypatch.setattr("harness.study.part.open_executor", none)
    assert harness("search", tiny, "--out", tmp_path / "runs").code == 4
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.slow
def test_a_run_that_goes_on_elsewhere_says_where_each_part_was(harness, finished, monkeypatch):
    from harness.study import part

    assert harness("search", "--resume", finished, "--trials", 3).code == 0
    alike = (finished / "report.md").read_text()
    assert "in parts that differ" not in alike, "it went on where it was begun"
    here = part.environment

    def elsewhere(argv, folder):
        found = here(argv, folder)
        return {**found, "packages": {**found["packages"], "torch": "9.9.9"}}

    monkeypatch.setattr(part, "environment", elsewhere)
    assert harness("search", "--resume", finished, "--trials", 4).code == 0
    report = (finished / "report.md").read_text()
    assert "in parts that differ" in report
    rows = [line for line in report.splitlines() if line.startswith("| 1 |") and "UTC" in line]
    assert len(rows) == 1
    assert "9.9.9" not in rows[0]
    assert any(line.startswith("| 3 |") and "9.9.9" in line for line in report.splitlines())
    assert changed_files(finished) == []


@pytest.mark.slow
def test_a_run_of_a_version_without_parts_can_be_reported_and_resumed(harness, finished):
    for file in (finished / "parts").iterdir():
        file.unlink()
    (finished / "parts").rmdir()
    (finished / "manifest.json").unlink()
    assert harness("report", finished).code == 0
    assert harness("search", "--resume", finished, "--trials", 3).code == 0
    old = json.loads((finished / "parts" / "0001.json").read_text())
    assert old["begun_unix_s"] is None
    assert old["hardware"]["device"] == "cpu"
    assert (finished / "parts" / "0002.json").is_file()
