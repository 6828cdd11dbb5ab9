"""How many trials share a device, against a device that really runs out."""

import math
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.study.execute.packing import Packing, Placement, usable_mib


def test_without_a_bound_on_memory_all_slots_are_used_from_the_start():
    packing = Packing(slots=6, devices=1, usable_mib=math.inf)
    assert packing.allowed() == 6
    packing.finished(10_000.0)
    assert packing.allowed() == 6


def test_a_device_has_one_trial_until_a_peak_is_known_then_as_many_as_fit():
    packing = Packing(slots=8, devices=2, usable_mib=1000.0)
    assert packing.allowed() == 2
    packing.finished(math.nan)
    assert packing.allowed() == 2, "a peak that was not measured says nothing"
    packing.finished(300.0)
    assert packing.allowed() == 6
    packing.finished(100.0)
    assert packing.allowed() == 6, "the largest one counts"
    packing.finished(math.nan)
    assert packing.allowed() == 6
    packing.finished(501.0)
    assert packing.allowed() == 2
    packing.finished(5000.0)
    assert packing.allowed() == 2, "one trial a device goes on, whatever its size"


def test_there_are_never_more_than_slots():
    packing = Packing(slots=3, devices=2, usable_mib=1e6)
    packing.finished(1.0)
    assert packing.allowed() == 3
    assert Packing(slots=1, devices=4, usable_mib=1e6).allowed() == 1


def test_running_out_of_memory_beside_others_is_not_the_trials_fault_and_lowers_the_bound_for_good():
    packing = Packing(slots=4, devices=1, usable_mib=1000.0)
    packing.finished(200.0)
    assert packing.allowed() == 4
    assert packing.out_of_memory(sharing=4)
    assert packing.allowed() == 3
    assert packing.out_of_memory(sharing=4), "another one that began before"
    packing.finished(10.0)
    assert packing.allowed() == 3
    assert packing.out_of_memory(sharing=2)
    assert packing.allowed() == 1


def test_running_out_of_memory_alone_is_the_trials_own_and_changes_nothing():
    packing = Packing(slots=4, devices=1, usable_mib=1000.0)
    packing.finished(250.0)
    assert not packing.out_of_memory(sharing=1)
    assert packing.allowed() == 4


def test_a_full_host_takes_fewer_workers_too():
    packing = Packing(slots=4, devices=1, usable_mib=math.inf)
    assert packing.out_of_memory(sharing=4)
    assert packing.allowed() == 3


@pytest.mark.parametrize(
    ("total", "others", "left"), [(1000.0, 0.0, 900.0), (1000.0, 400.0, 500.0), (100.0, 95.0, 0.0)]
)
def test_a_tenth_of_the_memory_and_what_others_hold_is_left_alone(total, others, left):
    assert usable_mib(total, others) == pytest.approx(left)


PEAKS = st.floats(1.0, 2000.0) | st.just(math.nan) | st.just(0.0)
EVENTS = st.lists(PEAKS.map(lambda peak: ("finished", peak)) | st.integers(1, 9).map(lambda k: ("oom", k)), max_size=30)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 4), st.floats(0.0, 4000.0) | st.just(math.inf), EVENTS)
def test_whatever_happens_one_may_run_and_what_is_known_to_fit_is_not_exceeded(slots, devices, usable, events):
    packing = Packing(slots, devices, usable)
    largest, shared = 0.0, math.inf
    for kind, value in events:
        if kind == "finished":
            packing.finished(value)
            largest = max(largest, value) if value > 0 else largest
        elif packing.out_of_memory(value):
            shared = min(shared, value)
        allowed = packing.allowed()
        assert 1 <= allowed <= slots
        per_device = math.ceil(allowed / devices)
        assert per_device == 1 or per_device * largest <= usable
        assert per_device == 1 or per_device < shared


@dataclass
class Job:
    peak_mib: float
    worker: int = -1
    reached: int = 0
    """Steps until the peak is reached."""
    left: int = 0


@dataclass
class Device:
    """Holds jobs, each of which takes memory as it goes; who asks for more than there is runs out."""

    memory_mib: float
    jobs: list[Job] = field(default_factory=list)

    def step(self, rng: random.Random) -> tuple[list[Job], list[tuple[Job, int]]]:
        """Return the jobs that finished, and those that ran out with how many were on the device."""
        finished, failed = [], []
        for job in rng.sample(self.jobs, len(self.jobs)):
            job.left -= 1
            held = sum(other.peak_mib for other in self.jobs if other.left < other.reached and other is not job)
            if job.left < job.reached and held + job.peak_mib > self.memory_mib:
                failed.append((job, len(self.jobs)))
                self.jobs.remove(job)
            elif job.left <= 0:
                finished.append(job)
                self.jobs.remove(job)
        return finished, failed


@dataclass
class Simulation:
    packing: Packing
    slots: int
    devices: list[Device]
    rng: random.Random
    measured: float
    """What is measured of a peak, as a share of it."""
    retries: int = 0
    done: list[Job] = field(default_factory=list)
    hopeless: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.placement = Placement(self.slots, len(self.devices))

    def run(self, jobs: list[Job]) -> None:
        waiting, steps = list(jobs), 0
        while waiting or any(device.jobs for device in self.devices):
            steps += 1
            assert steps < 50 * (len(jobs) + self.retries + 1), "it hangs"
            while waiting and len(busy := self.busy()) < self.packing.allowed():
                job = waiting.pop(0)
                job.left = self.rng.randint(2, 6)
                job.reached = self.rng.randint(1, job.left)
                job.worker = self.placement.choose(busy, lambda _worker: self.rng.randint(0, 2))
                device = self.devices[self.placement.device_of(job.worker)]
                device.jobs.append(job)
                self.look(device)
            for device in self.devices:
                waiting += self._settle(*device.step(self.rng))

    def busy(self) -> set[int]:
        """Return the workers that have a job."""
        return {job.worker for device in self.devices for job in device.jobs}

    def look(self, chosen: Device) -> None:
        """See that each job has its own worker, and the chosen device no more than its share while another is idle."""
        assert len(self.busy()) == sum(len(device.jobs) for device in self.devices)
        assert len(chosen.jobs) <= math.ceil(self.packing.allowed() / len(self.devices))
        with_workers = {self.placement.device_of(worker) for worker in range(self.slots)}
        assert len(chosen.jobs) == 1 or all(self.devices[number].jobs for number in with_workers)

    def _settle(self, finished: list[Job], failed: list[tuple[Job, int]]) -> list[Job]:
        for job in finished:
            self.packing.finished(self.measured * job.peak_mib)
        self.done += finished
        again = []
        for job, sharing in failed:
            if self.packing.out_of_memory(sharing):
                again.append(job)
            else:
                self.hopeless.append(job)
        self.retries += len(again)
        return again


@settings(max_examples=25)
@given(
    st.lists(st.floats(20.0, 1300.0), min_size=1, max_size=25),
    st.integers(1, 6),
    st.integers(1, 3),
    st.sampled_from([1.0, 0.6, 0.2, math.nan]),
    st.randoms(use_true_random=False),
)
def test_every_job_ends_and_only_what_no_device_can_hold_is_out_of_memory(peaks, slots, devices, measured, rng):
    packing = Packing(slots, devices, usable_mib(1000.0, 0.0))
    simulation = Simulation(packing, slots, [Device(1000.0) for _ in range(devices)], rng, measured)
    simulation.run([Job(peak) for peak in peaks])
    assert sorted(job.peak_mib for job in simulation.hopeless) == sorted(peak for peak in peaks if peak > 1000.0)
    assert len(simulation.done) + len(simulation.hopeless) == len(peaks)
    most = math.ceil(slots / devices)
    assert simulation.retries <= devices * sum(range(2, most + 1)), (
        "each level is left after at most as many as it holds"
    )
    if measured == 1.0:
        before = simulation.retries
        simulation.run([Job(peak) for peak in peaks if peak <= 1000.0])
        assert simulation.retries == before, "once every size was seen nothing overflows"


def test_sizes_that_are_measured_too_low_settle_where_nothing_overflows():
    packing = Packing(slots=8, devices=1, usable_mib=usable_mib(1000.0, 0.0))
    simulation = Simulation(packing, 8, [Device(1000.0)], random.Random(0), measured=0.1)
    simulation.run([Job(300.0) for _ in range(60)])
    assert packing.allowed() == 3
    assert simulation.retries > 0
    before = simulation.retries
    simulation.run([Job(300.0) for _ in range(60)])
    assert simulation.retries == before


def test_an_idle_device_comes_before_a_warm_worker_on_a_shared_one():
    placement = Placement(workers=4, devices=2)
    assert [placement.device_of(worker) for worker in range(4)] == [0, 1, 0, 1]
    warmth = {0: 0, 1: 2, 2: 0, 3: 1}.__getitem__
    assert placement.choose((), warmth) == 0
    assert placement.choose({0}, warmth) == 3, "of the idle device's workers the warmer one"
    assert placement.choose({0, 2}, warmth) == 3
    assert placement.choose({1, 3}, warmth) == 0
    assert placement.choose({0, 2, 3}, warmth) == 1
    with pytest.raises(AssertionError, match="all 4 workers are busy"):
        placement.choose({0, 1, 2, 3}, warmth)


def test_where_there_are_fewer_workers_than_devices_each_has_its_own():
    placement = Placement(workers=2, devices=3)
    assert placement.choose({0}, lambda _worker: 0) == 1
