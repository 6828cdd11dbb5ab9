"""What decides the results of a search: the seed, and choices that are made by rule, or recorded and replayed."""

import csv
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.hardware import usable_cores
from harness.store import TIMED_COLUMNS

SPACE = """
task: {builtin: digits, limit: 1000}
objective: accuracy
budget: {trials: 4, epochs: 1}
search: {pruner: none, sampler: random, baselines: false}
training: {final: keep}
space:
  architecture: {cnn: {stages: 1, width: [16, 24]}, mlp: {depth: 1, width: [16, 32]}}
  optimizer: {sgd: {lr: {float: [0.02, 0.1]}}}
  batch_size: [32, auto]
"""
OTHER = {"contiguous": "channels_last", "channels_last": "contiguous", "16": "32", "32": "16"}


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def search(harness, space, tmp_path):
    """Run a search in this process and return its folder."""

    def search(*arguments):
        done = harness("search", space, "--out", tmp_path / "runs", "--json", *arguments)
        assert done.code == 0, done.err
        return Path(json.loads(done.out)["run"])

    return search


def rows(run):
    """Return trials.csv as text cells, without the columns that measure time or the machine."""
    with (run / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED_COLUMNS} for row in csv.DictReader(file)]


def choices(run):
    """Return what a run went by, by the names of the files."""
    return {
        path.name: json.loads(path.read_text())
        for path in (run / "choices").iterdir()
        if re.fullmatch(r"[0-9a-f]{32}\.json", path.name)
    }


def turned(run):
    """Turn every choice of a run into another, and return how the trials must come out by them."""
    for name, entry in choices(run).items():
        if entry["what"] in ("layout", "batch_size"):
            entry["value"] = OTHER[entry["value"]]
            (run / "choices" / name).write_text(json.dumps(entry))
    return run


def plans(run):
    return [(row["layout"], row["batch_size"]) for row in rows(run)]


@pytest.fixture
def command(space, tmp_path):
    """Run a search in a process of its own, with a cache of the given name, and return its folder."""

    def command(cache, *arguments):
        words = ["search", space, "--out", tmp_path / "runs", "--json", *arguments]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / cache)}
        line = [sys.executable, "-m", "harness", *map(str, words)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Path(json.loads(done.stdout)["run"])

    return command


@pytest.mark.skipif(usable_cores() < 2, reason="two workers want two cores")
def test_processes_that_share_a_seed_agree_by_rule_or_by_the_record(command, tmp_path):
    measured = command("cache one", "--workers", 0)
    assert {entry["what"] for entry in choices(measured).values()} >= {"layout", "batch_size"}
    with ThreadPoolExecutor() as pool:
        again = pool.submit(command, "cache two", "--plan-from", measured, "--workers", 1)
        cold = pool.submit(command, "cache three", "--deterministic", "--workers", 1)
        warm = pool.submit(command, "cache one", "--deterministic", "--workers", 2)
    assert rows(again.result()) == rows(measured)
    assert choices(again.result()) == choices(measured)
    assert not (tmp_path / "cache two" / "harness" / "calibration").exists(), "nothing was measured"
    assert rows(cold.result()) == rows(warm.result())
    assert choices(cold.result()) == choices(warm.result()) == {}
    assert {row["layout"] for row in rows(cold.result())} == {"contiguous"}
    assert {row["threads"] for row in rows(cold.result())} == {"1"}
    assert {row["batch_size"] for row in rows(cold.result())} == {"32"}


def test_the_choices_of_a_run_are_replayed_whatever_they_are(search, harness, space, tmp_path):
    first = search()
    before = plans(first)
    assert plans(search()) == before, "as the machine remembers"
    followed = search("--plan-from", turned(first))
    assert plans(followed) != before
    assert choices(followed) == choices(first)
    told = harness("search", space, "--plan-from", first, "--out", tmp_path / "runs").err
    assert f"measured choices and figures of {first.name} are replayed" in told


def test_a_run_that_is_resumed_goes_on_by_its_own_choices(search):
    first = turned(search("--trials", 4))
    whole = search("--plan-from", first, "--trials", 7)
    resumed = search("--plan-from", first, "--trials", 2)
    turned_back = turned(first)
    assert plans(search("--resume", resumed, "--trials", 7)) == plans(whole)
    assert choices(resumed) != choices(turned_back)


def test_what_is_not_in_the_record_is_measured_and_said(search):
    short = search("--trials", 1)
    long = search("--plan-from", short, "--trials", 4)
    replayed, every = choices(short), choices(long)
    assert {name: every[name] for name in replayed} == replayed
    new = [entry["reason"] for name, entry in every.items() if name not in replayed]
    assert new
    assert all(reason.endswith(f"; not in the record of {short.name}") for reason in new)


def test_the_choices_of_another_machine_do_not_hold_here(search, harness, space, tmp_path):
    first = search()
    machine = json.loads((first / "choices" / "machine.json").read_text())
    (first / "choices" / "machine.json").write_text(json.dumps({**machine, "cpu": "an abacus"}))
    done = harness("search", space, "--plan-from", first, "--out", tmp_path / "runs")
    assert done.code == 0
    assert "hold on its machine only, and here the cpu differs: all are measured" in done.err


def test_the_report_says_what_must_match(search):
    by_rule = search("--deterministic", "--trials", 1)
    measured = search("--trials", 1)
    assert "chosen by rule: nothing measured decides" in (by_rule / "report.md").read_text()
    assert "plan-from with the folder of this run" in (measured / "report.md").read_text()


def test_a_run_that_cannot_be_followed_is_said_in_one_line(search, harness, space, tmp_path):
    run = search("--trials", 1)

    def refusal(*arguments):
        done = harness("search", *arguments, "--out", tmp_path / "none")
        assert done.err.count("\n") == 1
        assert not (tmp_path / "none").exists()
        return done.code, done.err

    code, said = refusal(space, "--plan-from", tmp_path / "nowhere")
    assert code == 2
    assert f"{tmp_path / 'nowhere'}: no such run" in said
    code, said = refusal(space, "--plan-from", tmp_path)
    assert code == 2
    assert "not a run folder" in said
    code, said = refusal("--resume", run, "--plan-from", run)
    assert code == 2
    assert "goes on by the choices in its own record; leave out --plan-from" in said
    (run / "choices" / "machine.json").write_text("{")
    code, said = refusal(space, "--plan-from", run)
    assert code == 5
    assert "machine.json: not valid JSON" in said
    (run / "choices" / "machine.json").unlink()
    code, said = refusal(space, "--plan-from", run)
    assert code == 2
    assert "it has no record of its choices (no choices/machine.json)" in said


def test_a_folder_that_somebody_made_up_decides_nothing(search):
    run = search()
    before = plans(run)
    for name, entry in choices(run).items():
        (run / "choices" / name).write_text(json.dumps({**entry, "value": "10" * 9}))
    assert plans(search("--plan-from", run)) == before, "what is no option is measured"
