"""A line for each trial that has ended, with how long the rest may take."""

import io

import pytest
from rich.console import Console

from harness.cli.lines import Lines
from harness.records import Outcome, TrialRecord
from harness.spec import parse_spec
from harness.study import Objective

SPEC = parse_spec(
    "task: digits\nobjective: loss\nbudget: {trials: 48}\nspace: {architecture: mlp}",
    origin="x",
)


def record(trial, **how):
    known = {"outcome": Outcome.COMPLETE, "reason": "trained", "values": (0.5,), "seconds": 1.0}
    return TrialRecord(trial=trial, candidate={"architecture": {"mlp": {}}}, params={}, **(known | how))


@pytest.fixture
def left(monkeypatch):
    """Return a function that begins trials, ends some of them 24 s later, and returns the times that are said then."""

    def left(begun, ended, **how):
        seconds = [0.0]
        monkeypatch.setattr("harness.cli.lines.time.monotonic", lambda: seconds[0])
        console = Console(file=io.StringIO(), width=200)
        lines = Lines(console, SPEC)
        lines.run_started("results/x", (), Objective("loss", maximize=False), None)
        for trial in range(begun):
            lines.trial_started(trial, {})
        seconds[0] = 24.0
        for trial in range(ended):
            lines.trial_ended(record(trial, **how))
        said = console.file.getvalue().splitlines()[1:]
        return [line.rpartition("about ")[2].rstrip("]") for line in said]

    return left


def test_the_rest_takes_as_long_as_what_has_ended(left):
    assert left(2, 2) == ["18 min 48 s", "9 min 12 s"]


def test_those_that_are_trained_in_one_program_end_at_about_the_same_time(left):
    assert left(24, 24, started_unix_s=1.0, shared_with=23) == ["24 s"] * 24


def test_of_what_was_interrupted_nothing_is_said_of_the_rest(left):
    (said,) = left(2, 1, outcome=Outcome.INTERRUPTED)
    assert "left" not in said


def test_no_more_are_near_their_end_than_are_under_way(left):
    assert left(2, 1, started_unix_s=1.0, shared_with=23) == ["9 min 12 s"]
