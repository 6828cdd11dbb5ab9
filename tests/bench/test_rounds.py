import math
from dataclasses import replace

import numpy as np
import pytest

from harness.bench.comparison.verdict import best_round
from harness.bench.frames import blocks_frame
from harness.bench.rows import Case, Row
from harness.bench.timing.rounds import merge_rounds
from harness.statistics import median_interval, rounds_interval

CASE = Case(bench="copy")


def row(blocks, **fields):
    middle = float(np.median(blocks))
    known = Row(
        case=CASE,
        n_blocks=len(blocks),
        n_samples=10 * len(blocks),
        stop_reason="precise",
        t_median_s=middle,
        t_min=min(blocks),
        t_iqr=0.1,
        samples_s=100 / middle,
        tflops=8 / middle,
        gbps=6 / middle,
        blocks_s=tuple(blocks),
    )
    return replace(known, **fields)


def test_the_median_is_over_the_blocks_of_all_rounds_and_the_rates_follow_it():
    merged = merge_rounds([row([1.0, 2.0, 3.0]), row([4.0, 5.0, 6.0, 7.0])])[0]
    assert merged.t_median_s == 4.0
    assert (merged.samples_s, merged.tflops, merged.gbps) == pytest.approx((25.0, 2.0, 1.5))
    assert (merged.n_blocks, merged.n_samples, merged.t_min) == (7, 70, 1.0)
    assert merged.blocks_s == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    assert merged.round_blocks == (3, 4)


def test_conditions_are_peaks_means_and_everything_that_was_said():
    first = row([1.0] * 5, temp_max_c=60.0, psi_cpu=2.0, throttle="power", note="a; b")
    second = row([1.0] * 5, temp_max_c=70.0, psi_cpu=math.nan, throttle="heat", note="b; c", stop_reason="cap")
    merged = merge_rounds([first, second])[0]
    assert (merged.temp_max_c, merged.psi_cpu) == (70.0, 2.0)
    assert (merged.throttle, merged.note, merged.stop_reason) == ("power, heat", "a; b; c", "precise, cap")
    assert math.isnan(merged.energy_j)


def test_a_round_that_failed_is_told_and_undoes_nothing():
    failed = Row(case=CASE, status="oom", note="no memory")
    merged = merge_rounds([failed, row([1.0] * 5), row([3.0] * 5)])[0]
    assert (merged.status, merged.t_median_s) == ("ok", 2.0)
    assert merged.note == "oom in 1 of 3 rounds (no memory)"
    assert merge_rounds([failed, failed]) == [failed]


def test_bad_ends_of_several_rounds_are_counted_and_the_last_reason_is_one_remark():
    notes = ["no time: 3 s", "no time: 4 s; one round is too short"]
    skipped = [Row(case=CASE, status="skipped", note=note) for note in notes]
    merged = merge_rounds([skipped[0], row([1.0] * 5), Row(case=CASE, status="oom", note="no memory"), skipped[1]])[0]
    assert merged.note.split("; ") == [
        "skipped in 2 of 4 rounds (no time: 4 s, one round is too short)",
        "oom in 1 of 4 rounds (no memory)",
    ]


def test_what_went_wrong_outlives_that_there_was_no_time():
    failed, skipped = (Row(case=CASE, status=status, note=status) for status in ("failed", "skipped"))
    assert merge_rounds([failed, skipped, skipped]) == [failed]
    assert merge_rounds([skipped, failed, skipped]) == [failed]
    assert merge_rounds([skipped]) == [skipped]


def test_remarks_that_differ_in_their_figures_are_one():
    notes = ["contended: waited 12 % of the time", "contended: waited 35.5 % of the time; throttled: heat"]
    merged = merge_rounds([row([1.0] * 5, note=note) for note in notes])[0]
    assert merged.note == "contended: waited 12 % of the time; throttled: heat"


def test_energy_is_all_from_the_round_that_measured_it():
    without = row([1.0] * 5, energy_source="not measured: it takes 5 s", idle_w=50.0)
    metered = replace(
        without, energy_j=3.0, energy_source="counter of the GPU", j_per_sample=0.5, facts={"power_w": 90.0}
    )
    merged = merge_rounds([without, metered, replace(metered, energy_j=9.0, facts={"power_w": 10.0})])[0]
    assert (merged.energy_j, merged.j_per_sample, merged.energy_source) == (3.0, 0.5, "counter of the GPU")
    assert merged.facts == {"power_w": 90.0}
    assert merge_rounds([without, without])[0].energy_source == "not measured: it takes 5 s"


def test_cases_stay_in_their_order_and_one_round_stays_as_it_is():
    other = replace(row([2.0] * 5), case=Case(bench="triad"))
    first, second = merge_rounds([row([1.0] * 5), other])
    assert (first.case.bench, second.case.bench) == ("copy", "triad")
    assert first == replace(row([1.0] * 5), round_blocks=(5,))


def test_blocks_are_written_with_the_number_of_their_round():
    frame = blocks_frame(merge_rounds([row([1.0, 2.0]), row([3.0, 4.0, 5.0])]))
    assert frame["round"].tolist() == [0, 0, 1, 1, 1]
    assert frame["block"].tolist() == [0, 1, 2, 3, 4]
    assert blocks_frame([row([1.0, 2.0])])["round"].tolist() == [0, 0]


def test_rounds_that_differ_widen_the_interval_beyond_that_of_their_blocks():
    generator = np.random.default_rng(0)
    rounds = [np.exp(generator.normal(shift, 0.01, 20)) for shift in (0.0, 0.1, 0.2)]
    found, blind = rounds_interval(rounds), median_interval(np.concatenate(rounds))
    assert found.median == blind.median
    assert found.low < math.exp(0.02) < math.exp(0.18) < found.high
    assert found.high - found.low > 1.5 * (blind.high - blind.low)
    assert rounds_interval(rounds[:1]) == median_interval(rounds[0])


@pytest.mark.parametrize(
    ("rounds", "best", "apart"),
    [
        ([[2.0] * 3, [3.0] * 4, [9.0] * 5], [2.0] * 3, 2 * math.log(1.5)),
        ([[2.0] * 3, [3.0] * 3, [1.0, 1.0]], [2.0] * 3, 2 * math.log(1.5)),
        ([[2.0] * 3, [1.0, 1.0]], [2.0] * 3, math.nan),
        ([[2.0], [1.0]], [1.0], 2 * math.log(2.0)),
        ([[2.0, 3.0, 9.0]], [2.0, 3.0, 9.0], math.nan),
        ([[], [3.0]], [3.0], math.nan),
        ([], [], math.nan),
    ],
)
def test_the_best_round_is_as_sure_as_the_second_best_is_near_and_one_alone_is_not(rounds, best, apart):
    blocks, distance = best_round(rounds)
    assert list(blocks) == best
    assert distance == pytest.approx(apart, nan_ok=True)
