import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from harness.bench.comparison.compare import compare_bench
from harness.bench.comparison.runs import CASE_COLUMNS, join, load_bench
from harness.bench.comparison.verdict import Verdict
from harness.bench.rows import Case, Row
from harness.errors import InputError, StorageError


@pytest.fixture
def pair(bench_runs, tmp_path):
    """Two runs whose rows and environment a test may change: returns their comparison."""

    def make(change=None, env_a=None, env_b=None, *, allow=(), change_a=None):
        first, second = bench_runs.usual_rows(0), bench_runs.usual_rows(1)
        a = bench_runs.write_run(tmp_path / "a", change_a(first) if change_a else first, env_a or bench_runs.GPU)
        b = bench_runs.write_run(tmp_path / "b", change(second) if change else second, env_b or bench_runs.GPU)
        return compare_bench(a, b, allow=allow)

    return make


def slowed(row, factor):
    times = tuple(factor * seconds for seconds in row.blocks_s)
    return replace(row, blocks_s=times, t_median_s=factor * row.t_median_s)


def changed(place, **fields):
    return lambda rows: [replace(row, **fields) if at == place else row for at, row in enumerate(rows)]


def row_of(comparison, place, bench_runs):
    case = bench_runs.usual_rows(0)[place].case
    return next(row for row in comparison.rows if row.case == case)


def with_machine(env, **fields):
    env = copy.deepcopy(env)
    env["machine"].update(fields)
    return env


def died(bench, status="failed", note="it died"):
    """Let a whole group come to nothing."""
    gone = Row(case=Case(bench=bench), status=status, note=note)
    return lambda rows: [gone, *(row for row in rows if row.case.bench != bench)]


def test_two_runs_of_one_machine_differ_in_no_row(pair):
    comparison = pair()
    timed = [row for row in comparison.rows if row.a_s == row.a_s]
    assert len(timed) == 21
    assert {row.verdict for row in timed} == {Verdict.SAME}
    assert comparison.regressions(0.0) == []


def test_a_row_that_became_slower_and_one_that_became_faster_are_found(pair, bench_runs):
    factors = {2: 1.1, 5: 0.9}
    comparison = pair(lambda rows: [slowed(row, factors.get(at, 1.0)) for at, row in enumerate(rows)])
    assert row_of(comparison, 2, bench_runs).verdict is Verdict.SLOWER
    assert row_of(comparison, 5, bench_runs).verdict is Verdict.FASTER
    assert comparison.count(Verdict.SLOWER) == comparison.count(Verdict.FASTER) == 1
    assert [row.case for row in comparison.regressions(0.05)] == [bench_runs.usual_rows(0)[2].case]
    assert comparison.regressions(0.2) == []


def test_a_slowdown_of_every_row_is_found_in_every_row(pair):
    comparison = pair(lambda rows: [slowed(row, 1.1) for row in rows])
    assert comparison.count(Verdict.SLOWER) == 21
    assert {each.family: each.ratio for each in comparison.families if each.rows} == {
        name: pytest.approx(1.1, rel=0.01) for name in ("matmul", "copy", "triad", "train_step", "launch")
    }


def test_the_mean_of_a_family_is_geometric_and_leaves_out_confounded_rows(pair, bench_runs):
    factors = {0: 2.0, 1: 0.5, 2: 3.0}

    def change(rows):
        rows = [slowed(row, factors.get(at, 1.0)) for at, row in enumerate(rows)]
        return changed(2, throttle="software power cap")(rows)

    comparison = pair(change)
    matmul = next(each for each in comparison.families if each.family == "matmul")
    ratios = [row.estimate.ratio for row in comparison.rows if row.case.bench == "matmul"]
    assert (matmul.rows, matmul.confounded) == (11, 1)
    assert matmul.ratio == pytest.approx(np.exp(np.mean(np.log([*ratios[:2], *ratios[3:]]))))
    assert row_of(comparison, 2, bench_runs).estimate.ratio == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"throttle": "software power cap"}, "throttle", "nothing and by software power cap"),
        ({"psi_cpu": 35.0}, "contention", "35 %"),
        ({"note": "warm; contended: the GPU was 30 % busy before the work began"}, "contention", "30 % busy"),
        ({"note": "contended: other processes hold 900 MiB of the GPU; b"}, "contention", "hold 900 MiB of the GPU"),
    ],
)
def test_a_row_measured_under_other_conditions_is_confounded(pair, bench_runs, fields, kind, text):
    comparison = pair(changed(3, **fields))
    row = row_of(comparison, 3, bench_runs)
    assert row.verdict is Verdict.CONFOUNDED
    assert [each.kind for each in row.differs] == [kind]
    assert text in row.differs[0].text
    assert comparison.count(Verdict.CONFOUNDED) == 1


def test_one_contended_round_does_not_confound_what_was_quiet_on_the_whole(pair, bench_runs):
    note = "contended: some task waited for a CPU 35 % of the time"
    assert row_of(pair(changed(3, psi_cpu=4.0, note=note)), 3, bench_runs).verdict is Verdict.SAME


def test_another_level_confounds_unless_it_is_allowed(bench_runs, tmp_path):
    a = bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(0))
    b = bench_runs.write_run(tmp_path / "b", bench_runs.usual_rows(1), {**bench_runs.GPU, "level": "full"})
    comparison = compare_bench(a, b)
    assert comparison.count(Verdict.CONFOUNDED) == 21
    assert {(each.kind, each.text) for row in comparison.rows for each in row.differs} == {
        ("level", "level quick and full")
    }
    assert compare_bench(a, b, allow=["level"]).count(Verdict.SAME) == 21


def test_contention_confounds_on_either_side(pair, bench_runs):
    comparison = pair(change_a=changed(3, psi_cpu=35.0))
    assert row_of(comparison, 3, bench_runs).verdict is Verdict.CONFOUNDED


def test_the_same_throttling_on_both_sides_does_not_confound(pair, bench_runs):
    reasons = [
        changed(3, throttle=text) for text in ("sync boost, software power cap", "software power cap, sync boost")
    ]
    assert row_of(pair(reasons[0], change_a=reasons[1]), 3, bench_runs).verdict is Verdict.SAME


def test_tf32_and_threads_that_differ_confound_the_row_instead_of_hiding_it(pair, bench_runs):
    def change(rows):
        cases = [replace(rows[0].case, tf32=True), replace(rows[12].case, threads=4)]
        return [replace(rows[0], case=cases[0]), *rows[1:12], replace(rows[12], case=cases[1]), *rows[13:]]

    comparison = pair(change, bench_runs.CPU, bench_runs.CPU)
    kinds = {row.case.label: [each.kind for each in row.differs] for row in comparison.rows if row.differs}
    assert sorted(kinds.values()) == [["tf32"], ["threads"]]
    assert not comparison.only_a
    assert not comparison.only_b


def test_the_threads_of_the_host_do_not_confound_a_gpu(pair, bench_runs):
    def change(rows):
        return [replace(rows[0], case=replace(rows[0].case, threads=4)), *rows[1:]]

    assert row_of(pair(change), 0, bench_runs).verdict is Verdict.SAME


def test_a_power_limit_confounds_every_row_of_the_same_gpu(pair, bench_runs):
    gpus = [{**bench_runs.GPU["machine"]["gpus"][0], "power_limit_w": 500.0}]
    comparison = pair(env_b=with_machine(bench_runs.GPU, gpus=gpus))
    assert comparison.count(Verdict.CONFOUNDED) == 21
    assert {each.text for row in comparison.rows for each in row.differs} == {"power limit 700 W and 500 W"}


def test_the_power_limit_of_another_model_is_a_part_of_it(pair, bench_runs):
    env = with_machine(bench_runs.GPU, gpus=[{**bench_runs.GPU["machine"]["gpus"][0], "power_limit_w": 500.0}])
    comparison = pair(env_b={**env, "device_name": "NVIDIA H100 PCIe"})
    assert comparison.count(Verdict.CONFOUNDED) == 0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"driver_version": "570.1"}, "driver 550.54 and 570.1"),
        ({"torch": {"version": "2.14.0", "cuda_build": "12.8", "devices": []}}, "torch 2.13.0 and 2.14.0"),
        ({"torch": {"version": "2.13.0", "cuda_build": "13.0", "devices": []}}, "CUDA 12.8 and 13.0"),
    ],
)
def test_other_versions_confound_unless_they_are_what_is_compared(bench_runs, tmp_path, fields, text):
    a = bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(0))
    rows = [slowed(row, 1.2) for row in bench_runs.usual_rows(1)]
    b = bench_runs.write_run(tmp_path / "b", rows, with_machine(bench_runs.GPU, **fields))
    refused = compare_bench(a, b)
    assert refused.count(Verdict.CONFOUNDED) == 21
    assert refused.regressions(0.05) == []
    assert {each.text for row in refused.rows for each in row.differs} == {text}
    allowed = compare_bench(a, b, allow=["versions"])
    assert allowed.count(Verdict.SLOWER) == 21
    assert allowed.allowed == (text,)


def test_a_difference_that_does_not_exist_cannot_be_allowed(tmp_path):
    with pytest.raises(InputError, match="did you mean 'versions'"):
        compare_bench(tmp_path, tmp_path, allow=["version"])


def test_a_version_that_one_run_does_not_know_does_not_confound(pair, bench_runs):
    assert pair(env_b=with_machine(bench_runs.GPU, driver_version=None)).count(Verdict.CONFOUNDED) == 0


def test_the_ratio_at_equal_clocks_stands_beside(pair, bench_runs):
    def change(rows):
        rows = [slowed(rows[0], 1.25), *rows[1:]]
        return [replace(rows[0], sm_mhz_median=1360.0), replace(rows[1], sm_mhz_median=float("nan")), *rows[2:]]

    comparison = pair(change)
    first, second = (row_of(comparison, place, bench_runs) for place in (0, 1))
    assert first.estimate.ratio == pytest.approx(1.25, rel=0.01)
    assert first.clock_ratio == pytest.approx(1.0, rel=0.01)
    assert np.isnan(second.clock_ratio)


def test_a_row_that_b_could_not_do_any_more_is_a_regression(pair, bench_runs):
    case = bench_runs.usual_rows(1)[0].case
    comparison = pair(lambda rows: [Row(case=case, status="oom", note="CUDA out of memory"), *rows[1:]])
    row = row_of(comparison, 0, bench_runs)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.note == "B: oom (CUDA out of memory)"
    assert comparison.regressions(0.05) == [row]


@pytest.mark.parametrize("status", ["failed", "oom"])
def test_every_row_of_a_group_that_died_in_b_is_a_regression(pair, status):
    comparison = pair(died("matmul", status))
    lost = [row for row in comparison.rows if row.case.bench == "matmul"]
    assert len(lost) == 12
    assert comparison.regressions(0.05) == lost
    assert {(row.verdict, row.note, row.differs) for row in lost} == {
        (Verdict.INCONCLUSIVE, f"B: {status} (it died)", ())
    }
    assert not comparison.only_a
    assert not comparison.only_b
    assert not any(row.unjudged for row in comparison.rows)


def test_a_group_that_died_in_a_is_no_regression(pair):
    comparison = pair(change_a=died("matmul"))
    assert comparison.regressions(0.0) == []
    assert len(comparison.only_b) == 12


def test_what_b_had_no_time_for_is_no_regression_and_not_judged(pair, bench_runs):
    case = bench_runs.usual_rows(1)[13].case
    late = died("matmul", "skipped", "no time was left")

    def change(rows):
        return [row if row.case != case else Row(case=case, status="skipped", note="no time") for row in late(rows)]

    comparison = pair(change)
    unjudged = [row for row in comparison.rows if row.unjudged]
    assert [row.case for row in unjudged] == [*(row.case for row in bench_runs.usual_rows(0)[:12]), case]
    assert {row.note for row in unjudged} == {"B: skipped (no time was left)", "B: skipped (no time)"}
    assert comparison.regressions(0.0) == []


@pytest.mark.parametrize(
    ("rounds", "note"),
    [
        ((20,), "no interval: one round only in B"),
        ((18, 2), "no interval: one round only in B"),
        ((2, 2), "no interval: 10 and 2 blocks in the best round, of at least 3 each"),
    ],
)
def test_a_row_of_too_few_rounds_or_blocks_has_a_ratio_and_is_not_judged(pair, bench_runs, rounds, note):
    blocks = tuple(1.3 * each for each in bench_runs.usual_rows(1)[3].blocks_s[: sum(rounds)])
    comparison = pair(changed(3, blocks_s=blocks, round_blocks=rounds, n_blocks=len(blocks)))
    row = row_of(comparison, 3, bench_runs)
    assert (row.verdict, row.note, row.unjudged) == (Verdict.INCONCLUSIVE, note, True)
    assert row.estimate.ratio == pytest.approx(1.3, rel=0.02)
    assert np.isnan(row.estimate.low)
    assert comparison.regressions(0.0) == []


def test_a_limit_below_the_band_is_honoured(pair, bench_runs):
    comparison = pair(lambda rows: [slowed(row, 1.045) if at == 16 else row for at, row in enumerate(rows)])
    row = row_of(comparison, 16, bench_runs)
    assert row.case.bench == "train_step"
    assert row.verdict is Verdict.INCONCLUSIVE
    assert comparison.regressions(0.01) == [row]
    assert comparison.regressions(0.045) == []


def test_a_confounded_row_is_no_regression(pair):
    comparison = pair(lambda rows: [replace(slowed(row, 2.0), psi_cpu=50.0) for row in rows])
    assert comparison.regressions(0.05) == []


def test_rows_of_one_side_are_named_and_nothing_in_common_is_refused(bench_runs, tmp_path):
    rows = bench_runs.usual_rows(0)
    a = bench_runs.write_run(tmp_path / "a", rows[:6])
    b = bench_runs.write_run(tmp_path / "b", rows[3:9])
    c = bench_runs.write_run(tmp_path / "c", rows[12:])
    comparison = compare_bench(a, b)
    assert [row.case for row in comparison.rows] == [row.case for row in rows[3:6]]
    assert comparison.only_a == tuple(row.case for row in rows[:3])
    assert comparison.only_b == tuple(row.case for row in rows[6:9])
    with pytest.raises(InputError, match="measured no case in common"):
        compare_bench(a, c)


def test_another_class_of_device_is_refused_with_both_named(bench_runs, tmp_path):
    a = bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(0))
    b = bench_runs.write_run(tmp_path / "b", bench_runs.usual_rows(0), bench_runs.CPU)
    with pytest.raises(InputError, match=r"H100 80GB HBM3 \(cuda\).*Test CPU \(cpu\)"):
        compare_bench(a, b)


def test_a_folder_of_another_schema_is_refused(bench_runs, tmp_path):
    a = bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(0))
    env = json.loads((a / "env.json").read_text())
    (a / "env.json").write_text(json.dumps({**env, "schema_version": 99}))
    with pytest.raises((InputError, StorageError), match="99"):
        load_bench(a)


def test_starved_work_counts_as_contended_where_the_system_tells_no_pressure(pair, bench_runs):
    fields = {"psi_cpu": float("nan"), "cpu_wall_ratio": 0.6}
    comparison = pair(changed(3, **fields), bench_runs.CPU, bench_runs.CPU)
    assert [each.kind for each in row_of(comparison, 3, bench_runs).differs] == ["contention"]


def test_reading_gives_back_the_cases_and_blocks(bench_runs, tmp_path):
    rows = bench_runs.usual_rows(0)
    read = load_bench(bench_runs.write_run(tmp_path / "a", rows))
    assert list(read.rows) == [row.case for row in rows]
    assert read.rounds == {row.case: (row.blocks_s[:10], row.blocks_s[10:]) for row in rows if row.blocks_s}


def test_a_pair_is_joined_by_everything_before_it_is_by_less():
    def case(**fields):
        return Case(bench="matmul", **fields)

    a = [case(tf32=False), case(tf32=True), case(threads=2, shape="9")]
    b = [case(tf32=True), case(threads=8, shape="9"), case(tf32=False)]
    assert join(a, b) == [(a[0], b[2]), (a[1], b[0]), (a[2], b[1])]
    several = [case(threads=1), case(threads=4)]
    assert join([case(threads=2)], several) == []
    assert "threads" in CASE_COLUMNS


def test_what_neither_run_could_do_is_not_compared(pair):
    assert not [row for row in pair().rows if row.case.variant == "transformer-1"]


def test_the_verdicts_travel_as_json(pair):
    text = json.dumps(pair(changed(3, psi_cpu=35.0)).as_dict(), default=str)
    rows = json.loads(text)["rows"]
    assert {row["verdict"] for row in rows} == {"same", "confounded", "inconclusive"}
    assert {"bench", "variant", "shape", "batch", "dtype", "ratio", "ratio_low", "ratio_high"} <= set(rows[0])


def test_the_same_runs_give_the_same_comparison(bench_runs, tmp_path):
    a = bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(0))
    b = bench_runs.write_run(tmp_path / "b", bench_runs.usual_rows(1))
    assert str(compare_bench(a, b).as_dict()) == str(compare_bench(a, b).as_dict())
