"""What decides the results of a search: the seed, and choices that are made by rule, or recorded and replayed."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.hardware import usable_cores
from harness.store import TIMED_COLUMNS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_charts")]

SPACE = """
task: {builtin: digits, limit: 1000}
objective: accuracy
budget: {trials: 2, epochs: 1}
search: {pruner: none, sampler: random, baselines: false, checks: false}
training: {final: keep}
space:
  architecture: {cnn: {stages: 1, width: 16}}
  optimizer: {sgd: {lr: {float: [0.02, 0.1]}}}
  batch_size: auto
"""
OTHER = {"contiguous": "channels_last", "channels_last": "contiguous"}


def rows(run):
    """Return trials.csv as text cells, without the columns that measure time or the machine."""
    with (run / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED_COLUMNS} for row in csv.DictReader(file)]


def choices(run):
    """Return what a run went by, by the names of the files; how fast its models are is known, and chooses nothing."""
    found = (path for path in (run / "choices").iterdir() if re.fullmatch(r"[0-9a-f]{32}\.json", path.name))
    entries = {path.name: json.loads(path.read_text()) for path in found}
    return {name: entry for name, entry in entries.items() if entry.get("what") != "speed"}


def layouts(run):
    return {row["layout"] for row in rows(run)}


def of_command(space, cache, *arguments):
    """Run a search in a process of its own, with a cache of its own, and return its folder."""
    words = ["search", space, "--out", space.parent / "runs", "--json", *arguments]
    line = [sys.executable, "-m", "harness", *map(str, words)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(space.parent / cache)}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["run"])


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("choices") / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def first(space):
    """A run that has measured its choices, with a cold cache."""
    return of_command(space, "cache", "--workers", 0)


@pytest.fixture(scope="module")
def settled(space):
    """The space with one batch size: which one measures best depends on the layout, and on the moment."""
    path = space.parent / "settled.yaml"
    path.write_text(SPACE.replace("batch_size: auto", "batch_size: 32"))
    return path


@pytest.fixture(scope="module")
def earlier(settled):
    """A run of it, which has measured its layout."""
    return of_command(settled, "cache", "--workers", 0)


@pytest.fixture
def turned(earlier, tmp_path):
    """A copy of that run in which every image lies the other way."""
    run = Path(shutil.copytree(earlier, tmp_path / "turned"))
    for name, entry in choices(run).items():
        if entry["what"] == "layout":
            (run / "choices" / name).write_text(json.dumps(entry | {"value": OTHER[entry["value"]]}))
    (run / "manifest.json").unlink()
    return run


@pytest.mark.skipif(usable_cores() < 2, reason="two workers want two cores")
def test_processes_that_share_a_seed_agree_by_rule_or_by_the_record(space, first):
    assert {entry["what"] for entry in choices(first).values()} >= {"layout", "batch_size"}
    with ThreadPoolExecutor() as pool:
        again = pool.submit(of_command, space, "another cache", "--plan-from", first, "--workers", 0)
        cold = pool.submit(of_command, space, "cold cache", "--deterministic", "--workers", 1)
        warm = pool.submit(of_command, space, "cache", "--deterministic", "--workers", 2)
    assert rows(again.result()) == rows(first)
    assert choices(again.result()) == choices(first)
    assert not (space.parent / "another cache" / "harness" / "calibration").exists(), "nothing was measured"
    assert "plan-from with the folder of this run" in (first / "report.md").read_text()
    assert rows(cold.result()) == rows(warm.result())
    for run in (cold.result(), warm.result()):
        assert choices(run) == {}
        assert {(row["layout"], row["threads"], row["batch_size"]) for row in rows(run)} == {("contiguous", "1", "32")}
        assert "chosen by rule: nothing measured decides" in (run / "report.md").read_text()


def test_choices_are_replayed_whatever_they_are(turned, earlier, harness, settled, tmp_path):
    done = harness("search", settled, "--plan-from", turned, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "measured choices and figures of turned are replayed" in done.err
    (run,) = (tmp_path / "runs").iterdir()
    assert choices(run).items() >= choices(turned).items()
    assert layouts(run) == {OTHER[layout] for layout in layouts(earlier)}


def test_a_run_that_is_resumed_goes_on_by_its_own_choices(turned, harness):
    before = rows(turned)
    done = harness("search", "--resume", turned, "--trials", 3)
    assert done.code == 0, done.err
    assert rows(turned)[:2] == before
    assert rows(turned)[2]["layout"] == OTHER[before[0]["layout"]]


def test_what_is_not_in_the_record_is_measured_and_said(turned, harness, settled, tmp_path):
    kept, lost = choices(turned), {name for name, entry in choices(turned).items() if entry["what"] == "layout"}
    for name in lost:
        (turned / "choices" / name).unlink()
    done = harness("search", settled, "--trials", 1, "--plan-from", turned, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    found = choices(run)
    assert found.keys() >= kept.keys() - lost
    assert found.keys() & lost
    for name, entry in found.items():
        assert entry["reason"].endswith("; not in the record of turned") == (name in lost or name not in kept)


def test_a_run_that_cannot_be_followed_is_said_in_one_line(turned, harness, settled, tmp_path):
    def refusal(*arguments):
        done = harness("search", *arguments, "--out", tmp_path / "none")
        assert done.err.count("\n") == 1
        assert not (tmp_path / "none").exists()
        return done.code, done.err

    code, said = refusal(settled, "--plan-from", tmp_path / "nowhere")
    assert code == 2
    assert f"{tmp_path / 'nowhere'}: no such run" in said
    code, said = refusal(settled, "--plan-from", tmp_path)
    assert code == 2
    assert "not a run folder" in said
    code, said = refusal("--resume", turned, "--plan-from", turned)
    assert code == 2
    assert "goes on by the choices in its own record; leave out --plan-from" in said
    machine = turned / "choices" / "machine.json"
    machine.write_text("{")
    code, said = refusal(settled, "--plan-from", turned)
    assert code == 5
    assert "machine.json: not valid JSON" in said
    machine.unlink()
    code, said = refusal(settled, "--plan-from", turned)
    assert code == 2
    assert "it has no record of its choices (no choices/machine.json)" in said
