"""Training in this process: one assignment at a time, ended by the stop of the run, with torch left as it was."""

import importlib
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from harness.records import Outcome
from harness.study.contract import Capabilities
from harness.study.execute.inprocess import InProcess
from harness.study.stop import Stop


@dataclass
class Workshop:
    """A workshop of fakes that notes when it is opened and closed."""

    fakes: object
    noted: list = field(default_factory=list)

    @contextmanager
    def open(self, stop, *, threads, device=0):
        self.noted.append("opened")
        torch.set_num_threads(threads)
        with self.fakes.FakeWorkshop().open(stop, threads=threads, device=device) as trainer:
            yield trainer
        self.noted.append("closed")


@pytest.fixture(scope="module")
def fakes():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("fake_training")


@pytest.fixture
def stop():
    return Stop()


@pytest.fixture
def workshop(fakes):
    return Workshop(fakes)


@pytest.fixture
def executor(workshop, stop):
    threads = torch.get_num_threads()
    executor = InProcess(workshop, stop, threads=threads + 1, device="cpu")
    yield executor
    executor.close()
    assert torch.get_num_threads() == threads


def test_it_trains_in_this_process_and_tells_the_watcher(executor, fakes):
    watcher = fakes.Listener(lambda report: "enough" if report.epoch.epoch == 2 else "")
    executor.submit(fakes.alone(3, "report", judged=True, epochs=5))
    (found,) = executor.wait(watcher, 0.0)
    assert (found.record.trial, found.record.params) == (3, {"verdicts": ["", "enough"]})
    assert len(watcher.reports) == 2
    executor.submit(fakes.alone(4, "echo", text="same process"))
    assert executor.wait(watcher, 0.0)[0].record.params == {"text": "same process"}


def test_a_group_is_carried_out_whole_and_each_report_is_judged(executor, fakes):
    watcher = fakes.Listener(lambda report: "enough" if report.epoch.trial == 2 else "")
    executor.submit((*fakes.alone(1, "report", epochs=2), *fakes.alone(2, "report", epochs=2)))
    found = executor.wait(watcher, 0.0)
    assert {each.trial: each.record.params["verdicts"] for each in found} == {1: ["", ""], 2: ["enough"]}
    assert executor.wait(watcher, 0.0) == []


def test_it_has_one_slot(executor, fakes):
    assert executor.capabilities() == Capabilities(1, torch.get_num_threads() + 1, "cpu", "this process")
    executor.submit(fakes.alone(0, "nothing"))
    with pytest.raises(AssertionError, match="this process has an assignment"):
        executor.submit(fakes.alone(1, "nothing"))


def test_without_an_assignment_there_is_nothing_to_wait_for(executor, fakes, workshop):
    assert executor.wait(fakes.Listener(), 60.0) == []
    assert workshop.noted == []


def test_the_trainer_is_opened_once_and_torch_gets_its_threads_back(executor, fakes, workshop):
    before = torch.get_num_threads()
    for trial in range(2):
        executor.submit(fakes.alone(trial, "nothing"))
        executor.wait(fakes.Listener(), 0.0)
        assert torch.get_num_threads() == before + 1
    assert workshop.noted == ["opened"]
    executor.close()
    assert workshop.noted == ["opened", "closed"]
    assert torch.get_num_threads() == before


def test_the_stop_of_the_run_ends_the_training(executor, fakes, stop):
    def ask(_):
        stop.request(signal.SIGTERM)
        return ""

    executor.submit(fakes.alone(0, "until_stopped"))
    (found,) = executor.wait(fakes.Listener(ask), 0.0)
    assert (found.record.outcome, found.record.reason) == (Outcome.INTERRUPTED, "the run was asked to stop")


def test_a_cancel_ends_its_own_trial_only(executor, fakes, stop):
    def cancel(report):
        executor.cancel(report.epoch.trial + 1, "of another trial")
        assert not stop.ended
        executor.cancel(report.epoch.trial, "not needed any more")
        return ""

    executor.submit(fakes.alone(0, "until_stopped"))
    (found,) = executor.wait(fakes.Listener(cancel), 0.0)
    assert (found.record.outcome, found.record.reason) == (Outcome.INTERRUPTED, "not needed any more")
    assert not stop.reason
    executor.cancel(0, "too late")
    assert not stop.reason


def test_a_cancel_ends_the_whole_group_of_its_trial(executor, fakes, stop):
    def cancel(_):
        executor.cancel(7, "not needed any more")
        return ""

    executor.submit((*fakes.alone(0, "until_stopped"), *fakes.alone(7, "until_stopped")))
    found = executor.wait(fakes.Listener(cancel), 0.0)
    assert [(each.trial, each.record.reason) for each in found] == [(n, "not needed any more") for n in (0, 7)]
    assert not stop.reason


def test_a_run_that_was_ended_stays_ended(executor, fakes, stop):
    stop.end("the coordinator is gone")
    executor.submit(fakes.alone(0, "until_stopped"))
    executor.wait(fakes.Listener(), 0.0)
    assert stop.reason == "the coordinator is gone"


def test_ctrl_c_gets_out_and_leaves_the_slot_free(executor, fakes):
    def interrupt(_):
        os.kill(os.getpid(), signal.SIGINT)
        return ""

    executor.submit(fakes.alone(0, "until_stopped"))
    with pytest.raises(KeyboardInterrupt):
        executor.wait(fakes.Listener(interrupt), 0.0)
    executor.submit(fakes.alone(1, "nothing"))
    assert executor.wait(fakes.Listener(), 0.0)[0].record.trial == 1
