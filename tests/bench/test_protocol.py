from __future__ import annotations

import math
import time
import weakref
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.bench.rows import Case, Row
from harness.bench.timing import clocks, energy, protocol, timed
from harness.bench.timing.clocks import Clock
from harness.bench.timing.conditions import Conditions, Watch
from harness.bench.timing.protocol import fair_share, measure, run_group, take_turns
from harness.bench.timing.timed import Stage, Timed, Used
from harness.bench.workload import Setting, Workload
from harness.measure import only_new_garbage
from harness.plan.running import tf32_arithmetic
from harness.records import Figures
from harness.statistics import median_interval

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def _quick_collections():
    with only_new_garbage():
        yield


def setting(seconds=0.05, **changes):
    return Setting(
        **{"device": CPU, "level": "quick", "threads": 1, "seconds": seconds, "memory_mib": 100.0, **changes}
    )


def workload(call, *, shape="s", variant="", macro=False, **more):
    case = Case(bench="copy", shape=shape, variant=variant)
    return Workload(case=case, prepare=lambda: call, macro=macro, **more)


class ScriptedClock:
    """Gives every call the next of some seconds, the last for ever."""

    def __init__(self, *seconds):
        self.seconds = list(seconds)
        self.cold = []

    def block(self, work, calls, *, cold):
        self.cold.append(cold)
        work()
        return [self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0] for _ in range(calls)]


class Unwatched:
    """Sees nothing."""

    metered = False

    def begin(self):
        return None

    def end(self, _):
        return Conditions()


def stage(clock, watch=None, **changes):
    return Stage(setting(**changes), clock, watch or Unwatched(), Used(0.0, 0.0))


def timing(clock, **more):
    one = Timed(workload(lambda: None, **more), stage(clock))
    one.warm_up(0.01)
    return one


# The interval.


@given(st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=30), st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_the_interval_holds_the_median_and_scales_with_the_times(blocks, factor):
    middle, low, high = median_interval(blocks)
    assert middle == np.median(blocks)
    assert min(blocks) <= low <= middle <= high <= max(blocks)
    np.testing.assert_allclose(
        median_interval([factor * each for each in blocks]), np.multiply(factor, (middle, low, high))
    )


def test_the_interval_is_the_percentile_bootstrap_of_the_blocks():
    # The median of an odd number of draws is at most the k-th smallest when more than half of them are (Efron, 1979).
    blocks = np.random.default_rng(3).lognormal(size=41)
    at_most = stats.binom.sf(20, 41, np.arange(1, 42) / 41)
    found, ordered = median_interval(blocks), np.sort(blocks)
    assert abs(np.searchsorted(ordered, found.low) - np.argmax(at_most >= 0.025)) <= 1
    assert abs(np.searchsorted(ordered, found.high) - np.argmax(at_most >= 0.975)) <= 1


def test_one_block_tells_nothing_of_its_spread():
    middle, low, high = median_interval([2.0])
    assert middle == 2.0
    assert math.isnan(low)
    assert math.isnan(high)


# When to stop.


def test_equal_blocks_are_precise_after_the_third_and_not_before():
    one = timing(ScriptedClock(0.001))
    for _ in range(3):
        assert one.active
        one.time_block()
        one.judge(0.5, 0.1)
    assert one.stop_reason == "precise"
    assert len(one.blocks) == 3


def test_and_only_when_they_spread_over_half_of_the_time():
    one = timing(ScriptedClock(1.0))
    one.blocks = [1.0] * 20
    one.judge(0.49, 0.49)
    assert one.active
    one.judge(0.5, 0.49)
    assert one.stop_reason == "precise"


@pytest.mark.parametrize(
    ("macro", "spread", "reason"), [(False, 0.015, ""), (True, 0.015, "precise"), (True, 0.03, "")]
)
def test_micro_benchmarks_stop_at_one_percent_and_macro_benchmarks_at_two(macro, spread, reason):
    one = timing(ScriptedClock(1.0), macro=macro)
    one.blocks = [1 - spread] * 10 + [1.0] + [1 + spread] * 10
    assert median_interval(one.blocks).half_width == pytest.approx(spread)
    one.judge(0.6, 0.5)
    assert one.stop_reason == reason


@pytest.mark.parametrize(("progress", "spent"), [(1.0, 0.9), (0.9, 1.0)])
def test_blocks_that_scatter_stop_at_the_cap_but_not_before_the_third(progress, spent):
    one = timing(ScriptedClock(1.0))
    one.blocks = [1.0, 2.0]
    one.judge(0.8, 1.5)
    assert one.active
    one.blocks.append(1.5)
    one.judge(0.9, 0.9)
    assert one.active
    one.judge(progress, spent)
    assert one.stop_reason == "cap"


def test_three_times_the_time_ends_it_before_the_third_block():
    one = timing(ScriptedClock(1.0))
    one.time_block()
    one.judge(0.2, 3.0)
    assert one.stop_reason == "overtime after 1 of 3 blocks"


class Clockwork:
    """The time of day as this test makes it: every block takes its seconds."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    process_time = perf_counter

    def block(self, work, calls, *, cold):  # noqa: ARG002 - the protocol's name
        seconds = work()
        self.now += calls * seconds
        return [seconds] * calls


@pytest.fixture
def clockwork(monkeypatch):
    found = Clockwork()
    monkeypatch.setattr(timed, "time", found)
    monkeypatch.setattr(protocol, "time", found)
    return found


def warmed(clockwork, seconds_of, share_s=1.0, **more):
    """Return the run of a workload whose calls take what ``seconds_of`` returns."""
    one = Timed(workload(seconds_of, **more), stage(clockwork))
    one.warm_up(share_s)
    return one


def test_a_warm_up_ends_when_three_medians_agree(clockwork):
    calls = iter([9.0, 9.0, 5.0, 3.0, 1.0, 1.01, 1.0])
    one = warmed(clockwork, lambda: next(calls, 1.0), 60.0)
    assert next(calls, None) is None
    one.time_block()
    assert "settle" not in one.row(Conditions()).note


def test_a_warm_up_that_does_not_settle_is_noted_and_takes_a_quarter_of_its_time(clockwork):
    calls = iter([1.0, 2.0] * 1000)
    one = warmed(clockwork, lambda: next(calls), 60.0)
    assert 15.0 <= clockwork.now <= 15.0 + 5.0
    one.time_block()
    assert "the warm-up did not settle" in one.row(Conditions()).note


# Turns.


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=8), st.floats(0.1, 100.0))
@settings(max_examples=25)
def test_shares_are_equal_but_for_those_that_need_more_and_sum_to_the_time(least_s, seconds):
    share_s = fair_share(least_s, seconds)
    if share_s > 0:
        assert sum(max(share_s, least) for least in least_s) == pytest.approx(seconds)
    else:
        assert sum(least_s) >= seconds * (1 - 1e-9)


def test_all_end_together_and_blocks_of_each_spread_over_the_whole_time(clockwork):
    scatter = np.random.default_rng(0).lognormal(0, 0.3, 100_000).tolist()
    log = []

    def work(name, seconds):
        def call():
            log.append((name, clockwork.now))
            return seconds * scatter.pop()

        return call

    costs = {"short": 0.01, "middle": 0.3, "long": 4.0}
    runs = [warmed(clockwork, work(name, seconds), 10.0) for name, seconds in costs.items()]
    log.clear()
    start = clockwork.now
    take_turns(runs, 60.0)
    total_s = clockwork.now - start
    assert 50.0 < total_s < 80.0
    assert [run.stop_reason for run in runs] == ["cap"] * 3
    assert len(runs[2].blocks) >= 3
    assert len(runs[0].blocks) > 10
    for name in costs:
        moments = [(moment - start) / total_s for other, moment in log if other == name]
        assert moments[0] < 0.3
        assert moments[-1] > 0.6
        assert max(np.diff(moments)) < 0.45


def test_a_spell_of_slowness_falls_on_all(clockwork):
    def call():
        return 0.02 if 4.0 < clockwork.now < 6.0 else 0.01

    runs = [warmed(clockwork, call, shape=shape) for shape in "abcd"]
    clockwork.now = 0.0
    take_turns(runs, 12.0)
    slow = [np.mean(np.array(run.blocks) > 0.015) for run in runs]
    assert min(slow) > 0.1
    assert max(slow) < 1.5 * min(slow)


# Many workloads.


def measured(workloads, seconds=0.05):
    return measure(workloads, setting(seconds), watch=nullcontext(Unwatched()))


def without_repetitions(log):
    """Drop repetitions."""
    return [each for number, each in enumerate(log) if number == 0 or log[number - 1] != each]


def test_workloads_of_whatever_shape_take_turns():
    log = []
    pair = [workload(partial(log.append, name), shape=name) for name in "ab"]
    rows = list(measured(pair, 0.2))
    assert [row.status for row in rows] == ["ok", "ok"]
    assert without_repetitions(log)[:10] == ["a", "b"] * 5


def test_a_failure_costs_its_own_row_alone():
    def fail():
        raise ValueError("first line\nsecond line")

    rows = list(measured([workload(fail, variant="bad"), workload(lambda: None, variant="good")]))
    assert [row.status for row in rows] == ["failed", "ok"]
    assert rows[0].note.startswith("ValueError: first line")
    assert "second" not in rows[0].note
    assert math.isnan(rows[0].t_median_s)
    assert rows[0].n_blocks == 0


@pytest.mark.parametrize(
    "error", [MemoryError("host"), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("std::bad_alloc")]
)
def test_running_out_of_memory_is_told_from_other_failures(error):
    def fail():
        raise error

    (row,) = measured([workload(fail)])
    assert row.status == "oom"


def test_workloads_that_do_not_fit_together_are_measured_as_many_at_a_time_as_do():
    alive = weakref.WeakSet()
    most = []

    def prepare():
        if len(alive) == 2:
            raise MemoryError("there are two others")
        tensor = torch.ones(4)
        alive.add(tensor)
        most.append(len(alive))
        return tensor.sum

    cases = [Workload(case=Case(bench="copy", variant=name), prepare=prepare) for name in "abcde"]
    assert [row.status for row in measured(cases)] == ["ok"] * 5
    assert most == [1, 2, 1, 2, 1]


def test_no_more_is_prepared_when_half_of_the_memory_is_taken(monkeypatch):
    made = []

    def prepare():
        made.append(torch.ones(4))
        alive.append(weakref.ref(made[-1]))
        return made.pop().sum

    alive = []
    monkeypatch.setattr(
        protocol, "free_mib", lambda _: 100.0 - 30.0 * sum(reference() is not None for reference in alive)
    )
    held = []
    monkeypatch.setattr(protocol, "take_turns", lambda runs, _: held.append(len(runs)) or take_turns(runs, 0.01))
    cases = [Workload(case=Case(bench="copy", shape=name), prepare=prepare) for name in "abcde"]
    assert [row.status for row in measured(cases)] == ["ok"] * 5
    assert held == [2, 2, 1]


def test_memory_of_a_row_leaves_out_what_the_others_hold(monkeypatch):
    class Watching(Unwatched):
        def end(self, _):
            return Conditions(mem_device_peak_mib=900.0, mem_rss_peak_mib=700.0)

    one = Timed(workload(lambda: None), Stage(setting(), ScriptedClock(1.0), Watching(), Used(10.0, 100.0)))
    monkeypatch.setattr(timed, "used_mib", lambda _: Used(310.0, 250.0))
    one.warm_up(0.01)
    one.time_block()
    row = one.row(Conditions(mem_device_peak_mib=5000.0, mem_rss_peak_mib=5000.0))
    assert (row.mem_device_peak_mib, row.mem_rss_peak_mib) == (600.0, 550.0)


def test_calls_run_on_the_threads_of_their_case():
    seen = {1: set(), 2: set()}
    before = torch.get_num_threads()
    cases = [
        Workload(
            case=Case(bench="threads", threads=count),
            prepare=lambda c=count: lambda: seen[c].add(torch.get_num_threads()),
        )
        for count in seen
    ]
    list(measured(cases))
    assert seen == {1: {1}, 2: {2}}
    assert torch.get_num_threads() == before


def test_a_row_tells_the_threads_that_torch_used_and_not_those_that_were_asked_for(monkeypatch):
    monkeypatch.setattr(timed, "thread_count", lambda _count: nullcontext())
    asked, matterless = (Workload(case=Case(bench="x", threads=n), prepare=lambda: lambda: None) for n in (97, 0))
    rows = list(measured([asked, matterless]))
    assert [row.case.threads for row in rows] == [torch.get_num_threads(), 0]


def test_a_row_has_the_rates_that_follow_from_its_median():
    work = workload(partial(time.sleep, 0.001), samples=10, flops=2e6, flops_source="formula", bytes_moved=3e9)
    (row,) = measure([work], setting(1.0))
    assert 0.001 <= row.t_min <= row.t_median_s < 0.05
    assert row.t_ci_lo <= row.t_median_s <= row.t_ci_hi
    assert row.t_median_s == np.median(row.blocks_s)
    assert len(row.blocks_s) == row.n_blocks >= 3
    assert row.n_samples >= row.n_blocks
    assert row.samples_s == pytest.approx(10 / row.t_median_s)
    assert row.tflops == pytest.approx(2e-6 / row.t_median_s)
    assert row.gbps == pytest.approx(3 / row.t_median_s)
    assert row.stop_reason in ("precise", "cap")
    assert math.isnan(row.mem_allocated_peak_mib)
    assert row.mem_rss_peak_mib > 1
    assert row.energy_source == "not measured: no energy meter for cpu"


def test_a_group_yields_its_own_rows_first_and_shares_its_time():
    skipped = Row(case=Case(bench="copy", variant="x"), status="skipped")

    def group(_):
        yield workload(lambda: None)
        yield skipped

    assert [row.status for row in run_group(group, setting())] == ["skipped", "ok"]


def test_the_time_of_a_group_is_kept():
    start = time.perf_counter()
    list(measured([workload(partial(time.sleep, 0.001), variant=str(n)) for n in range(5)], 0.5))
    assert time.perf_counter() - start < 3.0


# On a GPU, by stand-ins.


def test_a_cuda_clock_flushes_before_each_call_and_waits_only_at_the_end(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            log.append(("record", stream))

        def elapsed_time(self, _):
            return 2.0

    cuda = SimpleNamespace(
        get_device_properties=lambda _: SimpleNamespace(L2_cache_size=100),
        current_stream=lambda _: "stream",
        synchronize=lambda _: log.append("synchronize"),
    )
    monkeypatch.setattr(clocks, "new_event", Event)
    monkeypatch.setattr(clocks.torch, "cuda", cuda)
    flushed = SimpleNamespace(zero_=lambda: log.append("flush"))
    monkeypatch.setattr(clocks.torch, "empty", lambda size, **_: log.append(size) or flushed)
    clock = Clock(torch.device("cuda"))
    assert log == [200]
    log.clear()
    call = ["flush", ("record", "stream"), "work", ("record", "stream")]
    assert clock.block(lambda: log.append("work"), 2, cold=True) == [0.002, 0.002]
    assert log == [*call, *call, "synchronize"]
    log.clear()
    clock.block(lambda: log.append("work"), 1, cold=False)
    assert log == [*call[1:], "synchronize"]


@pytest.mark.parametrize(("flush", "macro", "cold"), [(True, False, True), (False, False, False), (True, True, False)])
def test_only_micro_benchmarks_that_want_it_start_cold(flush, macro, cold):
    clock = ScriptedClock(1.0)
    timing(clock, flush=flush, macro=macro)
    assert set(clock.cold) == {cold}


class Counter:
    """A GPU that draws 200 W."""

    def __init__(self):
        self.start = time.time()

    def read(self):
        return Figures({"power_w": 190.0, "energy_counter_j": 200 * (time.time() - self.start)})


def test_energy_is_that_of_one_call_from_the_counter_and_from_power(monkeypatch, scripted_sampler):
    monkeypatch.setattr(energy, "ENERGY_S", 0.2)
    with Watch(CPU, scripted_sampler(Counter())) as watch:
        one = Timed(workload(partial(time.sleep, 0.01), samples=5), stage(Clock(CPU), watch))
        one.warm_up(0.01)
        one.time_block()
        one.measure_energy()
        row = one.row(Conditions())
    assert row.energy_source == "counter of the GPU"
    assert 200 * 0.01 < row.energy_j < 200 * 0.1
    assert row.j_per_sample == pytest.approx(row.energy_j / 5)
    assert row.facts["energy_from_power_j"] == pytest.approx(row.energy_j * 190 / 200, rel=0.25)


def test_energy_goes_to_the_last_that_want_it_and_others_say_why():
    works = [workload(print, shape=str(n), energy=n != 1) for n in range(4)]
    cuda = torch.device("cuda")
    gpu = stage(ScriptedClock(1.0), SimpleNamespace(metered=True), seconds=26.0, device=cuda, level="standard")
    reasons = protocol._without_energy(works, gpu)
    assert [bool(reasons[id(work)]) for work in works] == [True, True, False, False]
    quick = stage(ScriptedClock(1.0), SimpleNamespace(metered=True), seconds=60.0, device=cuda)
    assert all("quick" in reason for reason in protocol._without_energy(works, quick).values())


def test_rounds_share_the_time_for_energy_and_each_measures_other_rows():
    works = [workload(print, shape=str(n), energy=True) for n in range(6)]
    cuda, found = torch.device("cuda"), []
    for number in range(3):
        gpu = stage(
            ScriptedClock(1.0),
            SimpleNamespace(metered=True),
            seconds=26.0 * 2 / 3,
            device=cuda,
            level="standard",
            round=number,
            rounds=3,
        )
        reasons = protocol._without_energy(works, gpu)
        found += [n for n, work in enumerate(works) if not reasons[id(work)]]
    assert sorted(found) == [2, 3, 4, 5]


def test_energy_that_cannot_be_measured_costs_no_times():
    def fail(_):
        raise RuntimeError("the meter is gone")

    one = timing(ScriptedClock(0.001))
    one.time_block()
    one._stage.watch.begin = partial(fail, None)
    one.attempt(one.measure_energy)
    row = one.row(Conditions())
    assert (row.status, row.n_blocks) == ("ok", 1)
    assert row.energy_source == "not measured: RuntimeError: the meter is gone"


def test_workloads_have_time_even_if_the_probes_took_it_all():
    rows = list(measure([workload(lambda: None)], setting(0.5), spent_s=10.0, watch=nullcontext(Unwatched())))
    assert rows[0].n_blocks >= 3


def test_work_of_the_host_is_held_against_its_own_cache(monkeypatch):
    monkeypatch.setattr(timed, "cache_bytes", lambda device: 100.0 if device.type == "cpu" else 1000.0)
    for host in (True, False):
        one = timing(ScriptedClock(1.0), bytes_moved=500.0, host=host)
        one._device = torch.device("cuda")
        assert one._flags(Row(case=Case(bench="threads"), bytes_moved=500.0)) == ([] if host else ["fits in L2"])


@pytest.mark.parametrize(("bytes_moved", "flagged"), [(100.0, True), (101.0, False), (math.nan, False)])
def test_data_that_the_cache_holds_is_flagged(monkeypatch, bytes_moved, flagged):
    monkeypatch.setattr(timed, "cache_bytes", lambda _: 100.0)
    one = timing(ScriptedClock(1.0), bytes_moved=bytes_moved)
    one.time_block()
    assert ("fits in the last-level cache" in one.row(Conditions()).note) is flagged


@pytest.mark.parametrize("left_on", [True, False])
def test_tf32_that_is_on_in_an_fp32_row_is_flagged(monkeypatch, left_on):
    one = timing(ScriptedClock(1.0))
    monkeypatch.setattr(timed, "cache_bytes", lambda _: math.nan)
    one._device = torch.device("cuda")
    with tf32_arithmetic(one._device, "tf32" if left_on else "fp32"):
        found = one._rounds_to_tf32()
    assert found is left_on
    assert ("TF32 on" in one._flags(Row(case=Case(bench="matmul", tf32=found)))) is left_on


def test_flags_of_the_conditions_are_in_the_note():
    one = timing(ScriptedClock(1.0))
    one.time_block()
    row = one.row(Conditions(psi_cpu=50.0, flags=("contended: some task waited for a CPU 50 % of the time",)))
    assert "contended: some task" in row.note
    assert row.psi_cpu == 50.0
