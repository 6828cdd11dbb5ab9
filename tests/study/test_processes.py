"""Whatever happens in a worker process, its assignment ends with an evaluation or a reason, and nothing is left."""

import gc
import importlib
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from harness.errors import HardwareError, StorageError
from harness.hardware import child
from harness.records import Outcome
from harness.study.contract import Capabilities
from harness.study.execute import processes
from harness.study.execute.processes import LocalProcesses

HERE = Path(__file__).parent
DESCRIPTORS = Path("/proc/self/fd")
AT_ONCE_S = 2.0
"""A second is what is promised; a busy machine gets another."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes inherit descriptors")
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")

REPORTED_TOGETHER = [(1, "report_all", {"epochs": 3}), (2, "nothing", {}), (3, "nothing", {})]


@pytest.fixture(scope="module")
def fakes():
    """Return the module of fakes, which the workers find where this process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        yield importlib.import_module("fake_training")


@pytest.fixture(scope="module")
def warm(fakes):
    """Return an executor with two patient workers that these tests share, whatever they do to them."""
    executor = LocalProcesses(fakes.FakeWorkshop(), workers=2, threads=1, device="cpu", grace_s=30.0)
    yield executor
    executor.close()


@pytest.fixture
def start(fakes):
    """Return a function that starts an executor with one impatient worker."""
    started = []

    def start(*, workers=1, devices=1, **workshop):
        workshop = fakes.FakeWorkshop(**workshop)
        options = {"workers": workers, "devices": devices, "threads": 1, "device": "cpu"}
        started.append(LocalProcesses(workshop, **options, grace_s=0.2))
        return started[-1]

    yield start
    for executor in started:
        executor.close()


@pytest.fixture
def carry_out(fakes):
    """Return a function that has one assignment carried out to its end."""

    def carry_out(executor, trial, do, watcher=None, **options):
        executor.submit(fakes.alone(trial, do, **options))
        return ended(executor, watcher or fakes.Listener())

    return carry_out


@pytest.fixture
def children():
    """Return a function that lists the child processes that this test has started."""
    before = psutil.Process().children(recursive=True)
    return lambda: [child for child in psutil.Process().children(recursive=True) if child not in before]


def ended(executor, watcher, timeout_s=20.0):
    """Return the one that ends next."""
    (one,) = executor.wait(watcher, timeout_s)
    return one


def hear(executor, watcher, reports, timeout_s=20.0):
    """Wait until the watcher has heard so many reports."""
    until = time.monotonic() + timeout_s
    while len(watcher.reports) < reports and time.monotonic() < until:
        assert executor.wait(watcher, 0.01) == []
    assert len(watcher.reports) == reports


def gone(pid):
    """Tell whether a process ends at once."""
    until = time.monotonic() + AT_ONCE_S
    while time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False


def test_a_worker_carries_out_an_assignment_in_a_process_of_its_own(warm, carry_out):
    found = carry_out(warm, 7, "describe").record
    assert (found.trial, found.outcome) == (7, Outcome.COMPLETE)
    assert found.params["pid"] != os.getpid()
    assert (found.params["device"], found.params["threads"], found.params["omp"]) == (0, 1, "1")
    assert found.params["waiting"] == "PASSIVE"
    assert found.params["stdin"] == ""
    assert found.params["path"] == sys.path
    assert not found.params["torch"]
    assert found.params["ignores_ctrl_c"]
    assert found.params["blocked"] == []


def test_a_worker_stays_warm(warm, carry_out):
    pids = {carry_out(warm, trial, "describe").record.params["pid"] for trial in range(3)}
    assert len(pids) == 1


def test_a_group_ends_one_by_one_and_only_what_had_not_ended_is_lost_with_its_worker(start, fakes):
    executor = start()
    watcher = fakes.Listener(lambda report: "enough" if report.epoch.trial == 2 else "")
    fatal = fakes.alone(3, "raise_signal", number=signal.SIGKILL.value)
    judged = (fakes.alone(trial, "report", epochs=2, judged=True) for trial in (1, 2))
    executor.submit((*next(judged), *next(judged), *fatal, *fakes.alone(4, "nothing")))
    found, until = {}, time.monotonic() + 20.0
    while len(found) < 4 and time.monotonic() < until:
        found |= {each.trial: each for each in executor.wait(watcher, 20.0)}
    assert [found[trial].record.params["verdicts"] for trial in (1, 2)] == [["", ""], ["enough"]]
    assert [found[trial].reason for trial in (3, 4)] == ["its worker died of SIGKILL"] * 2
    executor.submit((*fakes.alone(5, "until_stopped"), *fakes.alone(6, "nothing")))
    hear(executor, watcher, 4)
    executor.cancel(6, "enough")
    interrupted, *_ = executor.wait(watcher, 20.0)
    assert (interrupted.trial, interrupted.outcome) == (5, Outcome.INTERRUPTED)


def test_workers_carry_out_their_assignments_at_the_same_time(warm, fakes):
    watcher = fakes.Listener()
    assert warm.capabilities() == Capabilities(2, 1, "cpu", "2 worker processes")
    for trial in (0, 1):
        warm.submit(fakes.alone(trial, "until_stopped"))
    hear(warm, watcher, 2)
    assert {report.epoch.trial for report in watcher.reports} == {0, 1}
    with pytest.raises(AssertionError, match="all 2 workers are busy"):
        warm.submit(fakes.alone(2, "nothing"))
    for trial in (0, 1):
        warm.cancel(trial, "enough")
        assert ended(warm, watcher).record.trial == trial


def test_the_device_with_the_least_to_do_is_next(start, fakes):
    executor, watcher = start(workers=4, devices=2), fakes.Listener()
    assert [executor.submit(fakes.alone(trial, "until_stopped")) for trial in range(4)] == [0, 1, 0, 1]
    hear(executor, watcher, 4)
    for trial in (1, 3):
        executor.cancel(trial, "enough")
        assert ended(executor, watcher).record.trial == trial
    for trial in (5, 6):
        assert executor.submit(fakes.alone(trial, "where")) == 1
    ends = []
    while len(ends) < 2:
        ends += executor.wait(watcher, 20.0)
    assert [end.record.params for end in ends] == [{"device": 1}] * 2


def test_a_worker_may_write_to_the_arrays_of_the_workshop(start, carry_out):
    assert carry_out(start(payload=np.zeros(1000)), 0, "add_one").record.params == {"sum": 1000.0}


def test_without_an_assignment_there_is_nothing_to_wait_for(warm, fakes):
    began = time.monotonic()
    assert warm.wait(fakes.Listener(), 60.0) == []
    assert time.monotonic() - began < AT_ONCE_S


def test_waiting_ends_when_its_time_is_over(warm, fakes):
    warm.submit(fakes.alone(0, "until_stopped"))
    began = time.monotonic()
    assert warm.wait(fakes.Listener(), 0.1) == []
    assert 0.1 <= time.monotonic() - began < AT_ONCE_S
    warm.cancel(0, "enough")
    assert ended(warm, fakes.Listener()).record.trial == 0


def test_a_trial_that_is_judged_hears_every_verdict(warm, fakes, carry_out):
    watcher = fakes.Listener(lambda report: "enough" if report.epoch.epoch == 3 else "")
    found = carry_out(warm, 0, "report", watcher, judged=True, epochs=5).record.params
    assert found == {"verdicts": ["", "", "enough"]}
    assert [report.epoch.epoch for report in watcher.reports] == [1, 2, 3]
    assert watcher.reports[0].figures == {"parameters": 5.0}


def test_trials_of_one_program_are_judged_in_one_round_trip(warm, fakes):
    watcher, asked = fakes.Listener(lambda report: "enough" if report.epoch.trial == report.epoch.epoch else ""), []
    judge_all = watcher.judge_all
    watcher.judge_all = lambda reports: asked.append(len(reports)) or judge_all(reports)
    judged = [fakes.alone(trial, do, judged=True, **options) for trial, do, options in REPORTED_TOGETHER]
    warm.submit(tuple(assignment for group in judged for assignment in group))
    found = {}
    while len(found) < 3:
        found |= {each.trial: each for each in warm.wait(watcher, 20.0)}
    assert found[1].record.params["verdicts"] == [["enough", "", ""], ["enough", ""], ["enough"]]
    assert asked == [3, 2, 1]


def test_a_trial_that_is_not_judged_waits_for_nobody(warm, fakes):
    watcher = fakes.Listener(lambda _: "nobody hears this")
    warm.submit(fakes.alone(0, "report", epochs=5))
    time.sleep(0.2)
    assert ended(warm, watcher).record.params == {"verdicts": [""] * 5}
    assert len(watcher.reports) == 5


def test_checkpoints_are_kept_in_their_order(warm, fakes, carry_out):
    watcher, size = fakes.Listener(), 3_000_000
    carry_out(warm, 4, "checkpoint", watcher, size=size)
    assert watcher.checkpoints == [(4, b"\1" * size), (4, b"\2" * size)]


def test_a_large_assignment_waits_for_nobody_and_arrives_whole(start, fakes):
    executor, ballast = start(opens_after_s=0.3), os.urandom(5_000_000)
    began = time.monotonic()
    executor.submit(fakes.alone(0, "echo", text=ballast))
    assert time.monotonic() - began < 0.3
    assert ended(executor, fakes.Listener()).record.params == {"text": ballast}


@pytest.mark.parametrize(
    ("do", "options", "reason"),
    [
        ("raise_signal", {"number": signal.SIGKILL}, "its worker died of SIGKILL"),
        ("raise_signal", {"number": signal.SIGSEGV}, "its worker died of SIGSEGV"),
        ("raise_signal", {"number": signal.SIGTERM}, "its worker died of SIGTERM"),
        ("leave", {"code": 0}, "its worker exited with code 0"),
        ("sys_exit", {"code": 3}, "its worker exited with code 3"),
        ("fail", {}, "its worker exited with code 1: LookupError: planted in the trainer"),
        ("die_talking", {}, "its worker exited with code 0"),
        ("die_with_a_child", {}, "its worker exited with code 3"),
    ],
)
def test_a_dead_worker_is_noticed_at_once_and_replaced(do, options, reason, warm, carry_out):
    carry_out(warm, 0, "nothing")
    began = time.monotonic()
    lost = carry_out(warm, 1, do, **options)
    assert time.monotonic() - began < AT_ONCE_S
    assert (lost.trial, lost.outcome, lost.reason) == (1, Outcome.CRASHED, reason)
    assert 0 < lost.seconds < AT_ONCE_S
    assert carry_out(warm, 2, "nothing").record.outcome is Outcome.COMPLETE


def test_the_death_of_a_worker_does_not_touch_the_others(warm, fakes, carry_out):
    watcher = fakes.Listener()
    warm.submit(fakes.alone(0, "until_stopped"))
    hear(warm, watcher, 1)
    assert carry_out(warm, 1, "leave", code=1).trial == 1
    warm.cancel(0, "enough")
    assert ended(warm, watcher).record.reason == "enough"


def test_what_a_worker_sent_before_it_died_counts(warm, fakes, carry_out):
    carry_out(warm, 0, "nothing")
    warm.submit(fakes.alone(1, "die_later"))
    time.sleep(0.4)
    assert ended(warm, fakes.Listener()).record.trial == 1
    assert carry_out(warm, 2, "nothing").record.trial == 2


@linux
def test_a_worker_that_died_idle_is_replaced(warm, carry_out):
    pid = carry_out(warm, 0, "describe").record.params["pid"]
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    # A zombie whose threads are still ending counts as running.
    assert select.select([end], [], [], AT_ONCE_S)[0]
    os.close(end)
    assert carry_out(warm, 1, "describe").record.params["pid"] != pid


@pytest.mark.parametrize("when", ["loaded", "opened"])
def test_a_module_that_is_missing_in_the_worker_is_the_reason(when, start, fakes, carry_out):
    name = "a_module_that_is_not_there"
    executor = start(payload=fakes.Unloadable()) if when == "loaded" else start(imports=name)
    lost = carry_out(executor, 0, "nothing")
    assert lost.outcome is Outcome.CRASHED
    assert lost.reason == f"its worker exited with code 1: ModuleNotFoundError: No module named '{name}'"


def test_a_worker_that_never_gets_ready_is_given_up(start, carry_out, monkeypatch):
    monkeypatch.setattr(processes, "START_S", 0.5)
    lost = carry_out(start(opens_after_s=60.0), 0, "nothing")
    assert (lost.outcome, lost.reason) == (Outcome.TIMEOUT, "its worker was not ready after 0.5 s and was killed")


def test_a_process_that_cannot_be_started_is_a_matter_of_the_machine(start, fakes, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    executor = start()
    with pytest.raises(HardwareError, match=r"a worker process cannot be started \(No such file .*\); use fewer"):
        executor.submit(fakes.alone(0, "nothing"))


def test_a_cancelled_assignment_ends_for_the_reason_given(warm, fakes):
    watcher = fakes.Listener()
    warm.submit(fakes.alone(0, "until_stopped"))
    hear(warm, watcher, 1)
    warm.cancel(1, "of another trial")
    warm.cancel(0, "the time of the run was used up")
    record = ended(warm, watcher).record
    assert (record.outcome, record.reason) == (Outcome.INTERRUPTED, "the time of the run was used up")


def test_a_cancel_that_comes_too_late_does_not_hit_the_next_assignment(warm, fakes, carry_out):
    watcher = fakes.Listener()
    carry_out(warm, 0, "nothing")
    warm.submit(fakes.alone(1, "nothing"))
    time.sleep(0.2)
    warm.cancel(1, "too late")
    assert ended(warm, watcher).record.outcome is Outcome.COMPLETE
    warm.submit(fakes.alone(2, "until_stopped"))
    assert warm.wait(watcher, 0.2) == []
    warm.cancel(2, "in time")
    assert ended(warm, watcher).record.reason == "in time"


def test_a_cancel_right_after_the_assignment_reaches_it(warm, fakes, carry_out):
    carry_out(warm, 0, "nothing")
    warm.submit(fakes.alone(1, "until_stopped"))
    warm.cancel(1, "at once")
    assert ended(warm, fakes.Listener()).record.reason == "at once"


def test_an_assignment_cancelled_before_its_worker_is_ready_ends_at_once(start, fakes, carry_out):
    executor = start(opens_after_s=0.5)
    executor.submit(fakes.alone(0, "sleep"))
    executor.cancel(0, "the run was asked to stop")
    lost = ended(executor, fakes.Listener(), 0.0)
    assert (lost.trial, lost.outcome, lost.reason) == (0, Outcome.INTERRUPTED, "the run was asked to stop")
    assert carry_out(executor, 1, "nothing").record.trial == 1


@pytest.mark.parametrize("do", ["sleep", "hold_python"])
def test_a_worker_that_does_not_answer_a_cancel_is_killed(do, start, fakes):
    executor, watcher = start(), fakes.Listener()
    executor.submit(fakes.alone(0, do))
    hear(executor, watcher, 1)
    executor.cancel(0, "the run was asked to stop")
    lost = ended(executor, watcher)
    assert lost.outcome is Outcome.INTERRUPTED
    assert lost.reason == "the run was asked to stop; it did not answer for 0.2 s and was killed"


@pytest.mark.parametrize("do", ["hold_python", "stop_talking"])
def test_a_worker_that_does_not_end_in_time_is_killed_and_replaced(do, start, carry_out):
    executor = start()
    carry_out(executor, 0, "nothing")
    began = time.monotonic()
    lost = carry_out(executor, 1, do, time_s=0.3)
    assert 0.5 <= time.monotonic() - began < 0.5 + AT_ONCE_S
    assert lost.outcome is Outcome.TIMEOUT
    assert lost.reason == "its time of 0.3 s was over; it did not answer for 0.2 s and was killed"
    assert carry_out(executor, 2, "nothing").record.trial == 2


def test_starting_takes_nothing_of_the_time_of_a_trial(start, carry_out):
    assert carry_out(start(opens_after_s=0.5), 0, "nothing", time_s=0.2).record.outcome is Outcome.COMPLETE


def test_what_a_trial_has_started_is_killed_with_it(start, fakes, carry_out):
    watcher = fakes.Listener()
    assert carry_out(start(), 0, "sleep_with_a_child", watcher, time_s=0.3).outcome is Outcome.TIMEOUT
    ((_, child),) = watcher.checkpoints
    assert gone(int(child))


def test_what_a_trial_prints_stops_nothing_and_reaches_nobody(warm, carry_out, capfd):
    assert carry_out(warm, 0, "chatter").record.outcome is Outcome.COMPLETE
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        ("terminate called after throwing an instance of 'std::bad_alloc'", Outcome.OOM, "out of memory: its worker"),
        ("x" * 100_000 + " Cannot allocate memory", Outcome.OOM, "out of memory: its worker died of SIGABRT"),
        ("free(): invalid pointer", Outcome.CRASHED, "its worker died of SIGABRT"),
    ],
)
def test_the_last_words_of_a_worker_tell_a_lack_of_memory(text, outcome, reason, warm, carry_out):
    lost = carry_out(warm, 0, "say_and_abort", text=text)
    assert lost.outcome is outcome
    assert lost.reason.startswith(reason)


def test_what_an_earlier_trial_printed_says_nothing_of_a_later_death(warm, carry_out):
    carry_out(warm, 0, "say", text="MemoryError")
    assert carry_out(warm, 1, "leave", code=1).outcome is Outcome.CRASHED


@pytest.mark.parametrize(
    ("counts", "outcome", "reason"),
    [
        ([4, 5], Outcome.OOM, "out of memory: its worker was killed by the kernel"),
        ([4, 4], Outcome.CRASHED, "its worker died of SIGKILL"),
        ([None, None], Outcome.CRASHED, "its worker died of SIGKILL"),
    ],
)
def test_the_count_of_the_kernel_tells_who_killed_a_worker(counts, outcome, reason, warm, carry_out, monkeypatch):
    carry_out(warm, 0, "nothing")
    monkeypatch.setattr(child, "oom_kills", iter(counts).__next__)
    lost = carry_out(warm, 1, "raise_signal", number=signal.SIGKILL)
    assert (lost.outcome, lost.reason) == (outcome, reason)


@linux
def test_the_kernel_is_told_to_take_a_worker_first(warm, carry_out):
    pid = carry_out(warm, 0, "describe").record.params["pid"]
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"


def test_what_the_watcher_raises_gets_out_and_closing_still_works(start, fakes, children):
    executor = start()

    def full(_):
        raise StorageError("no space left on the disk")

    executor.submit(fakes.alone(0, "report", judged=True))
    with pytest.raises(StorageError, match="no space"):
        executor.wait(fakes.Listener(full), 20.0)
    executor.close()
    assert children() == []


@linux
def test_closing_leaves_neither_processes_nor_descriptors(start, fakes, carry_out, children):
    descriptors = len(list(DESCRIPTORS.iterdir()))
    executor, watcher = start(workers=3), fakes.Listener()
    carry_out(executor, 0, "leave", code=1)
    executor.submit(fakes.alone(1, "hold_python"))
    hear(executor, watcher, 1)
    executor.submit(fakes.alone(2, "nothing"))
    began = time.monotonic()
    executor.close()
    executor.close()
    assert time.monotonic() - began < AT_ONCE_S
    assert children() == []
    assert len(list(DESCRIPTORS.iterdir())) == descriptors
    assert executor.wait(watcher, 60.0) == []


def test_an_executor_that_nobody_closes_leaves_nothing_either(fakes, children):
    executor = LocalProcesses(fakes.FakeWorkshop(), workers=1, threads=1, device="cpu")
    executor.submit(fakes.alone(0, "sleep"))
    assert children()
    del executor
    gc.collect()
    assert children() == []


COORDINATOR = """
import sys
sys.path.insert(0, {here!r})
import fake_training as fakes
from harness.study.execute.processes import LocalProcesses
executor = LocalProcesses(fakes.FakeWorkshop(), workers=3, threads=1, device="cpu")
watcher = fakes.Listener()
for trial, do in enumerate({assignments!r}):
    executor.submit(fakes.alone(trial, do))
while len(watcher.reports) < {reports}:
    executor.wait(watcher, 0.1)
print("under way", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def coordinate(running):
    """Return a function that starts a coordinator in a process of its own and returns it with its workers' ids."""
    started = []

    def coordinate(assignments, reports):
        code = COORDINATOR.format(here=str(HERE), assignments=assignments, reports=reports)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", code], **pipes))
        assert started[-1].stdout.readline() == b"under way\n"
        every = []
        until = time.monotonic() + 20.0
        while len(every) < len(assignments) and time.monotonic() < until:
            every = running("harness-worker", of=started[-1].pid)
        return started[-1], every

    yield coordinate
    for coordinator in started:
        with coordinator:
            coordinator.kill()


@linux
@pytest.mark.parametrize("reports", [2, 0], ids=["in training", "starting"])
def test_workers_go_with_a_coordinator_that_is_killed(reports, coordinate):
    coordinator, workers = coordinate(["until_stopped", "hold_python"], reports)
    coordinator.kill()
    assert len(workers) == 2
    assert all(gone(pid) for pid in workers)


@linux
def test_ctrl_c_ends_no_worker_and_the_end_of_the_coordinator_ends_them_all(coordinate):
    coordinator, workers = coordinate(["until_stopped", "sleep"], 0)
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert all(psutil.pid_exists(pid) for pid in workers)
    coordinator.stdin.close()
    assert coordinator.wait(10) == 0
    assert all(gone(pid) for pid in workers)
