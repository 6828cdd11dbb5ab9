"""The source of worker processes, which begins before there is anything to train."""

import sys
from contextlib import closing

import psutil
import pytest

from harness.hardware.child import Child, listen
from harness.study.execute import early
from harness.study.execute.processes import LocalProcesses

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely")


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """A machine with three cores."""
    monkeypatch.setattr(early, "usable_cores", lambda: 3)
    monkeypatch.setattr(early, "TRAINING", "json")


def processes():
    return {child.pid for child in psutil.Process().children()}


class Workshop:
    """Stands for a workshop: what matters is that it can be sent."""


@pytest.mark.parametrize(
    ("workers", "trials", "cores", "count"),
    [
        ("auto", 30, 3, 1),
        ("auto", 3, 3, 1),
        ("auto", 2, 3, 0),
        (1, 30, 3, 1),
        (3, 1, 3, 1),
        (0, 30, 3, 0),
        (3, 9, 1, 0),
    ],
)
def test_it_begins_where_a_core_is_to_spare_and_ends_with_the_command(workers, trials, cores, count, monkeypatch):
    monkeypatch.setattr(early, "usable_cores", lambda: cores)
    before = processes()
    with early.begun(workers, trials, baselines=False):
        assert len(processes() - before) == count
    assert processes() <= before


def test_a_search_takes_it_and_ends_it():
    before = processes()
    with early.begun("auto", 30, baselines=False):
        begun = processes() - before
        with closing(LocalProcesses(Workshop(), workers=1, threads=1, device="cpu")):
            assert processes() - before == begun
        assert processes() <= before


TELLS = """
import sys
from harness.hardware.channel import frame

def main(connection):
    connection.sendall(frame("fractions" in sys.modules))
"""


@pytest.mark.parametrize(("workers", "baselines", "expected"), [(2, True, True), (1, True, False), (2, False, False)])
def test_it_has_what_fits_baselines_where_another_process_will(workers, baselines, expected, tmp_path, monkeypatch):
    (tmp_path / "tells_early.py").write_text(TELLS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(early, "_BASELINES", ("fractions",))
    with early.begun(workers, 30, baselines=baselines):
        child = Child("tells_early", {}, start=early._begun[0].start)
        found = []
        while not found:
            listen([child], 20.0)
            found += child.receive()
        child.bury()
    assert found == [expected]


def test_elsewhere_there_is_none_and_workers_are_started_anew(monkeypatch):
    monkeypatch.setattr("harness.hardware.fork_server.FORKS", False)
    before = processes()
    with early.begun("auto", 30, baselines=False):
        assert processes() == before
