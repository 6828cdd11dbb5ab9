"""The live table of a search: what it shows as trials go on, and that a terminal gets it and a pipe does not."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console

from harness.cli.live import BEST, LiveTable
from harness.records import NAN, EpochRecord, Outcome, TrialRecord
from harness.spec import parse_spec
from harness.study import Objective

SPEC = parse_spec(
    "task: digits\nobjective: accuracy\nbudget: {trials: 9, epochs: 5}\n"
    "space: {architecture: {mlp: {depth: [1, 2]}, cnn: {}}}\n",
    origin="x",
)


def epoch(trial, number, accuracy):
    return EpochRecord(
        trial=trial,
        epoch=number,
        train={},
        validation={"accuracy": accuracy},
        learning_rate=0.1,
        gradient_norm=1.0,
        train_s=1.0,
        validation_s=1.0,
        train_samples_s=1.0,
    )


def record(trial, accuracy, outcome=Outcome.COMPLETE):
    values = (accuracy,) if outcome is Outcome.COMPLETE else ()
    candidate = {"architecture": {"mlp": {"depth": 1}}}
    return TrialRecord(
        trial=trial,
        outcome=outcome,
        reason="because",
        candidate=candidate,
        params={},
        values=values,
        epochs=5,
        seconds=7.5,
    )


def begin(height=24, width=80):
    display = LiveTable(Console(file=io.StringIO(), force_terminal=True, width=width, height=height), SPEC)
    display.run_started("results/x", (), Objective("accuracy", maximize=True), None)
    return display


def start(display, trial):
    display.trial_started(trial, {"architecture": "mlp", "architecture.mlp.depth": 1})


def seen(display, width=80):
    """Return the cells of the table as it would be drawn now."""
    console = Console(file=io.StringIO(), width=width)
    console.print(display._view())
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return [line.split() for line in lines if re.match(r" *\d+ ", line)], lines


def test_running_trials_show_their_epoch_and_value_below_the_best_ones():
    display = begin()
    for trial in range(3):
        start(display, trial)
    display.epoch_ended(epoch(1, 2, 0.75))
    rows, _ = seen(display)
    assert [row[:4] for row in rows] == [
        ["0", "mlp", "0/5", "-"],
        ["1", "mlp", "2/5", "0.75"],
        ["2", "mlp", "0/5", "-"],
    ]
    display.trial_ended(record(2, 0.5))
    display.trial_ended(record(0, 0.9))
    rows, lines = seen(display)
    assert [row[0] for row in rows] == ["0", "2", "1"]
    assert rows[0] == ["0", "mlp", "5/5", "0.9", "8", "s"]
    assert "2/9" in lines[-1]
    printed = display._console.file.getvalue()
    assert "trial   0  mlp      complete    accuracy 0.9000 (best)  7.5 s" in printed


def test_what_failed_leaves_the_table_and_a_line():
    display = begin()
    start(display, 0)
    display.trial_ended(record(0, NAN, Outcome.DIVERGED))
    rows, lines = seen(display)
    assert rows == []
    assert "1/9" in lines[-1]
    assert "diverged    because" in display._console.file.getvalue()


def test_only_the_best_stay_and_a_low_terminal_shows_what_runs():
    display = begin(height=9)
    for trial in range(8):
        start(display, trial)
        display.trial_ended(record(trial, trial / 10))
    start(display, 8)
    rows, _ = seen(display)
    assert [row[0] for row in rows] == ["4", "3", "8"]
    assert [row.trial for row in display._best_rows()] == [7, 6, 5, 4, 3][:BEST]


def test_a_resumed_search_begins_with_the_best_of_before():
    display = LiveTable(Console(file=io.StringIO(), force_terminal=True, width=60, height=24), SPEC)
    display.run_started("results/x", (), Objective("accuracy", maximize=True), record(3, 0.8))
    assert seen(display, 60)[0] == [["3", "mlp", "5/5", "0.8", "8", "s"]]


@pytest.mark.slow
def test_a_terminal_gets_the_table_and_the_lines_and_is_left_as_it_was(tiny, tmp_path):
    ours, theirs = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "harness",
        "search",
        tiny,
        "--workers",
        "0",
        "--trials",
        "2",
        "--out",
        tmp_path / "runs",
    ]
    env = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=env)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's word for a terminal whose last writer has gone
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert process.wait(60) == 0
    shown = text.decode()
    assert re.search(r"trial +0  mlp +complete +accuracy 0\.\d{4} \(best\)", shown)
    assert "architecture" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
