"""The lines of a search: what they call the figure, and behind which of them ``(best)`` stands."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.cli.lines import Lines
from harness.cli.live import LiveTable
from harness.records import Outcome, TrialRecord
from harness.spec import parse_spec
from harness.study import Objective

SPACE = """
task: {csv: line.csv, target: y}
budget: {trials: 3, epochs: 3}
search: {sampler: grid, pruner: none}
space:
  architecture: {mlp: {depth: 1, width: 16}}
  optimizer: {adamw: {lr: [0.1, 0.03, 0.001, 0.0001, 0.02]}}
"""


@pytest.fixture
def line(tmp_path):
    """A space for a table of values, whose default objective is small when it is good."""
    x = np.random.default_rng(0).normal(size=120)
    pd.DataFrame({"x": x, "y": 3 * x + 5}).to_csv(tmp_path / "line.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def marks(err):
    """Return the value and the mark of each trial's line, and the names of the figure."""
    found = re.findall(r"^trial +\d+ .* complete +(\w+) (\S+)( \(best\))? ", err, re.MULTILINE)
    return [(float(value), bool(mark)) for _, value, mark in found], {name for name, _, _ in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "name", "better"),
    [(None, "rmse", min), ("{r2: maximize}", "r2", max), ("[mae, parameters]", "mae", min)],
)
def test_best_stands_behind_what_beats_all_before_it(objective, name, better, harness, line):
    more = () if objective is None else ("--set", f"objective={objective}")
    done = harness("search", line / "space.yaml", "--out", line / "runs", "--json", *more)
    assert done.code == 0, done.err
    first, names = marks(done.err)
    assert names == {name}
    resumed = harness("search", "--resume", json.loads(done.out)["run"], "--trials", 5, "--json")
    second, _ = marks(resumed.err)
    assert (len(first), len(second)) == (3, 2)
    values = [value for value, _ in first + second]
    for number, (value, mark) in enumerate(first + second):
        assert mark == (value not in values[:number] and better(values[: number + 1]) == value)
    assert any(not mark for _, mark in first + second)


@pytest.mark.parametrize(("maximize", "marked"), [(False, [True, False, True]), (True, [True, True, False])])
@pytest.mark.parametrize("kind", [LiveTable, Lines])
def test_the_live_table_and_lines_mark_the_same_trials(kind, maximize, marked):
    console = Console(file=io.StringIO(), force_terminal=kind is LiveTable, width=200)
    display = kind(console, parse_spec("task: digits\nspace: {architecture: mlp}", origin="x"))
    with display:
        display.run_started(Path("run"), (), Objective("rmse", maximize), None)
        for trial, value in enumerate((2.0, 3.0, 1.0)):
            candidate = {"architecture": {"mlp": {}}}
            done = TrialRecord(
                trial=trial,
                outcome=Outcome.COMPLETE,
                reason="x",
                candidate=candidate,
                params={},
                values=(value,),
                seconds=1,
            )
            display.trial_started(trial, {})
            display.trial_ended(done)
    lines = [line for line in console.file.getvalue().splitlines() if re.search(r"trial +\d+ .*complete +rmse", line)]
    assert ["(best)" in line for line in lines] == marked
