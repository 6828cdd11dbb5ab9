"""The time of a command: from when it began, and with enough set aside for what comes at its end."""

import math
import time
from types import SimpleNamespace

import pytest

import harness
from harness.errors import Interrupted
from harness.spec import load_spec
from harness.study.final import report_aside_s
from harness.study.final.cost import REPORT_S, REPORT_SHARE, REPORT_START, REPORT_TRIAL_S
from harness.study.stop import Stop


def test_the_time_counts_from_when_the_command_began():
    stop = Stop(240.0, started_s=1000.0)
    assert stop.end_s == stop.deadline == 1240.0
    stop.report_s = 10.0
    assert (stop.end_s, stop.deadline) == (1240.0, 1230.0)
    now = time.monotonic()
    assert Stop(240.0).end_s == pytest.approx(now + 240.0, abs=60.0)


def test_what_is_set_aside_is_not_left_for_trials():
    stop = Stop(1000.0, started_s=time.monotonic() - 300.0)
    assert 600.0 < stop.left_s <= 700.0
    stop.report_s, stop.reserve_s = 20.0, 80.0
    assert 500.0 < stop.left_s <= 600.0
    stop.reserve_s = 700.0
    assert stop.out_of_time
    with pytest.raises(Interrupted, match="the time of the run was used up"):
        stop.check()


def test_a_command_without_an_end_has_all_the_time():
    stop = Stop(started_s=0.0)
    stop.report_s, stop.reserve_s = 20.0, 1e9
    assert stop.left_s == stop.deadline == math.inf
    stop.check()


def test_the_report_is_set_aside_and_more_for_more_trials_but_never_most_of_the_time():
    def job(*overrides):
        return SimpleNamespace(spec=load_spec("digits", overrides))

    assert report_aside_s(job("budget.time=1h"), 0, 1.0) == REPORT_S
    assert report_aside_s(job("budget.time=1h"), 500, 1.0) == REPORT_S + 500 * REPORT_TRIAL_S
    assert report_aside_s(job("budget.time=1h"), 0, 100.0) == REPORT_START * 100.0
    assert report_aside_s(job("budget.time=10s"), 500, 100.0) == REPORT_SHARE * 10.0


def test_a_search_counts_what_came_before_it(tmp_path, monkeypatch):
    ends = []

    class Ended(Exception):
        pass

    def noted(_request, _opened, stop, _observer):
        ends.append(stop.end_s)
        raise Ended

    monkeypatch.setattr("harness.api.run_search", noted)
    began = time.monotonic() - 30.0
    with pytest.raises(Ended):
        harness.search("digits", timeout_s=3600.0, out=tmp_path, device="cpu", started_s=began)
    assert ends == [began + 3600.0]
