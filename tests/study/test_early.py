"""Worker processes that begin before there is anything to train."""

from contextlib import closing

import psutil
import pytest

from harness.study.execute import early
from harness.study.execute.processes import LocalProcesses


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """A machine with three cores."""
    monkeypatch.setattr(early, "usable_cores", lambda: 3)
    monkeypatch.setattr(early, "TRAINING", ())


def processes():
    return {child.pid for child in psutil.Process().children()}


def workshop():
    """Stands for a workshop: what matters is that it can be sent."""


@pytest.mark.parametrize(
    ("workers", "trials", "count"), [("auto", 30, 2), ("auto", 3, 2), ("auto", 2, 0), (1, 30, 1), (3, 1, 1), (0, 30, 0)]
)
def test_as_many_begin_as_there_are_trials_and_cores_to_spare_and_end_with_the_command(workers, trials, count):
    before = processes()
    with early.begun(workers, trials):
        assert len(processes() - before) == count
    assert processes() <= before


def test_a_search_takes_those_that_it_can_use_and_ends_them():
    before = processes()
    with early.begun("auto", 30):
        begun = processes() - before
        with closing(LocalProcesses(workshop, workers=1, threads=1, device="cpu")):
            assert len((processes() - before) & begun) == 1
        assert processes() <= before
    assert early.taken(9) is None
