from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from harness.bench.comparison.compare import compare_bench
from harness.bench.comparison.verdict import Verdict
from harness.bench.rows import Case, Row
from harness.report.bench_page import build_bench, build_comparison, write_bench_report
from harness.report.bench_plots import forest
from harness.report.charts import Chart

ATTACK = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


def figures(page):
    found = re.findall(r'data-chart="([^"]+)">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in found}


def titles(page):
    return re.findall(r"<figcaption>([^<]+)", page)


@pytest.fixture(scope="module")
def run(bench_runs, tmp_path_factory):
    return bench_runs.write_run(tmp_path_factory.mktemp("runs") / "a", bench_runs.usual_rows(0))


@pytest.fixture(scope="module")
def texts(run):
    return build_bench(run)


@pytest.fixture(scope="module")
def comparison(run, bench_runs, tmp_path_factory):
    factors = {0: 1.2, 1: 0.8}

    def changed(at, row):
        if not row.blocks_s:
            return row
        times = tuple(factors.get(at, 1.0) * seconds for seconds in row.blocks_s)
        return replace(row, blocks_s=times, throttle="software power cap" if at == 2 else "")

    rows = [changed(at, row) for at, row in enumerate(bench_runs.usual_rows(1))]
    return compare_bench(run, bench_runs.write_run(tmp_path_factory.mktemp("runs") / "b", rows))


def test_the_roofs_are_the_bandwidth_up_to_the_peak_measured_and_specified(texts, bench_runs):
    traces = {trace["name"]: trace for trace in figures(texts["report.html"])["chart-roofline-0"]["data"]}
    rows = bench_runs.usual_rows(0)
    peak = max(row.tflops for row in rows if row.case.dtype == "bf16" and row.case.bench == "matmul")
    memory = max(row.gbps for row in rows if row.case.bench in ("copy", "triad") and row.case.variant != "in cache")
    for name, flat, slope in (("bf16, measured", peak, memory), ("bf16, specified", 989.4, 3352.0)):
        x, y = traces[name]["x"], traces[name]["y"]
        assert y == pytest.approx([min(flat, each * slope * 1e-3) for each in x], rel=1e-4)
        assert x[1] == pytest.approx(1e3 * flat / slope, rel=1e-4)
    assert traces["bf16, specified"]["line"]["dash"] == "dash"


def test_the_points_of_the_roofline_are_the_rows_with_operations_and_bytes(texts, bench_runs):
    figure = figures(texts["report.html"])["chart-roofline-0"]
    points = {
        (x, y)
        for trace in figure["data"]
        if trace["mode"] == "markers"
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    rows = [row for row in bench_runs.usual_rows(0) if row.case.bench == "matmul"]
    expected = {(float(f"{row.flops / row.bytes_moved:.6g}"), float(f"{row.tflops:.6g}")) for row in rows}
    assert points == expected
    assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"


def test_work_of_the_cpu_is_not_under_the_roofs_of_a_gpu(bench_runs, tmp_path):
    rows = bench_runs.usual_rows(0)
    host = replace(rows[0], case=replace(rows[0].case, bench="threads", threads=4))
    pages = [build_bench(bench_runs.write_run(tmp_path / f"{len(each)}", each)) for each in (rows, [*rows, host])]
    roofs = [figures(page["report.html"])["chart-roofline-0"] for page in pages]
    assert roofs[0] == roofs[1]
    assert "threads, TFLOP/s" in titles(pages[1]["report.html"])


def test_a_run_that_did_not_come_to_its_end_says_so(bench_runs, tmp_path):
    rows = bench_runs.usual_rows(0)
    env = {**bench_runs.GPU, "state": "interrupted"}
    a = bench_runs.write_run(tmp_path / "a", rows)
    b = bench_runs.write_run(tmp_path / "b", rows, env)
    assert "; not complete: interrupted" in build_bench(b)["report.md"]
    assert "not complete" not in build_bench(a)["report.md"]
    assert (
        f"{b} (NVIDIA H100 80GB HBM3); not complete: interrupted"
        in (build_comparison(compare_bench(a, b))["comparison.md"])
    )


def test_every_family_with_a_time_has_bars_in_its_own_unit(texts):
    assert titles(texts["report.html"])[1:] == [
        "matmul, TFLOP/s",
        "copy, GB/s",
        "triad, GB/s",
        "train_step, samples/s",
        "launch, time (µs)",
    ]
    bars = figures(texts["report.html"])["chart-families-4"]["data"][0]
    assert bars["x"] == pytest.approx([4.5], rel=0.01)
    assert bars["error_x"]["array"] == pytest.approx([4.5 * 0.005], rel=0.02)


def test_the_interval_of_a_rate_is_that_of_the_time_turned_over(texts):
    bars = figures(texts["report.html"])["chart-families-1"]["data"][0]
    assert np.array(bars["error_x"]["array"]) / np.array(bars["x"]) == pytest.approx(abs(1 / 1.005 - 1), rel=0.02)


def test_the_table_has_every_row_with_its_flags(texts, bench_runs):
    lines = [line for line in texts["report.md"].splitlines() if line.startswith("| ")]
    for row in bench_runs.usual_rows(0):
        assert any(row.case.shape in line and row.case.bench in line for line in lines)
    (oom,) = [line for line in lines if "transformer-1" in line]
    assert "oom; CUDA out of memory" in oom
    (launch,) = [line for line in lines if line.startswith("| launch")]
    assert "throttled: software power cap" in launch
    (largest,) = [line for line in lines if line.startswith("| largest")]
    assert "batch 4,096" in largest


def test_rows_that_were_measured_come_first(bench_runs, tmp_path):
    rows = [Row(case=Case(bench="conv3x3"), status="skipped", note="no"), *bench_runs.usual_rows(0)[:2]]
    text = build_bench(bench_runs.write_run(tmp_path / "a", rows))["report.md"]
    table = text.partition("## All rows")[2]
    assert table.index("| matmul 2048") < table.index("| conv3x3")


def test_the_peaks_stand_beside_what_the_maker_says(texts):
    assert re.search(
        r"\| bf16 \(TFLOP/s\) \| (61\d\.\d) \| \1 \| 989\.4 \| 6\d\.\d % \| matmul 8192x8192x8192 bf16 \|",
        texts["report.md"],
    )
    assert "data sheet of the H100" in texts["report.html"]


def test_the_same_files_give_the_same_bytes_and_are_written_into_the_folder(run, texts):
    paths = write_bench_report(run)
    assert {path.name: path.read_text() for path in paths} == texts == build_bench(run)


def test_a_run_without_operations_peaks_or_times_has_a_report(bench_runs, tmp_path):
    rows = [Row(case=Case(bench="matmul"), status="failed", note="no"), Row(case=Case(bench="copy"), status="skipped")]
    texts = build_bench(bench_runs.write_run(tmp_path / "a", rows, bench_runs.CPU))
    assert "Not drawn: no row has both FLOPs and bytes counted." in texts["report.html"]
    assert "No peak was measured." in texts["report.md"]
    assert figures(texts["report.html"]) == {}


def test_text_of_a_run_is_shown_and_never_acts(bench_runs, tmp_path):
    rows = [replace(row, case=replace(row.case, shape=ATTACK), note=ATTACK) for row in bench_runs.usual_rows(0)[:1]]
    env = {**bench_runs.GPU, "device_name": ATTACK}
    a = bench_runs.write_run(tmp_path / "a", rows, env)
    pages = [build_bench(a)["report.html"], build_comparison(compare_bench(a, a))["comparison.html"]]
    for page in pages:
        assert page.count("<script>") == 2
        assert "<img" not in page.partition("<main>")[2].partition("</main>")[0]
        assert "alert(1)" in page


def test_the_forest_has_every_ratio_with_its_interval_and_verdict(comparison):
    page = build_comparison(comparison)["comparison.html"]
    traces = {trace["name"]: trace for trace in figures(page)["chart-ratios-0"]["data"]}
    matmul = [row for row in comparison.rows if row.case.bench == "matmul"]
    assert {name: len(trace["x"]) for name, trace in traces.items()} == {
        str(verdict): sum(row.verdict is verdict for row in matmul)
        for verdict in Verdict
        if any(row.verdict is verdict for row in matmul)
    }
    slower = traces["slower"]
    assert slower["x"] == pytest.approx([1.2], rel=0.02)
    found = matmul[0].estimate
    assert slower["error_x"]["array"] == pytest.approx([found.high - found.ratio], rel=1e-4)
    assert slower["error_x"]["arrayminus"] == pytest.approx([found.ratio - found.low], rel=1e-4)


def test_the_axis_of_a_forest_holds_every_interval(comparison):
    for figure in figures(build_comparison(comparison)["comparison.html"]).values():
        low, high = (10**edge for edge in figure["layout"]["xaxis"]["range"])
        for trace in figure["data"]:
            for x, below, above in zip(
                trace["x"], trace["error_x"]["arrayminus"], trace["error_x"]["array"], strict=True
            ):
                assert low < x - below <= x + above < high


def test_an_interval_that_would_flatten_a_forest_is_cut_and_told(comparison):
    rows = [row for row in comparison.rows if row.case.bench == "matmul"]
    wild = replace(rows[3], estimate=replace(rows[3].estimate, low=1e-4, high=1e4))
    figure = forest([*rows[:3], wild, *rows[4:]], 1.0)
    low, high = figure.as_plotly().layout.xaxis.range
    assert all(0.25 < 10**edge < 4 for edge in (low, high))
    ratios = [ratio for trace in figure.as_plotly().data for ratio in trace.x]
    assert all(low < np.log10(ratio) < high for ratio in ratios)
    assert "1 point lies partly or wholly outside" in Chart("matmul", figure, "").caption
    assert Chart("matmul", forest(rows, 1.0), "").caption == ""


def test_the_peak_is_the_best_row_and_the_page_says_why_products_are_below(bench_runs, tmp_path):
    rows = bench_runs.usual_rows(0)
    (best,) = [row for row in rows if row.case.shape == "8192x8192x8192" and row.case.dtype == "fp32"]
    conv = replace(best, case=Case(bench="conv3x3", shape="64x56x56", dtype="fp32"), tflops=2.3 * best.tflops)
    text = build_bench(bench_runs.write_run(tmp_path / "a", [*rows, conv]))["report.md"]
    (line,) = [line for line in text.splitlines() if line.startswith("| fp32 (TFLOP/s)")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert float(cells[1]) == pytest.approx(2.3 * best.tflops, rel=1e-3)
    assert float(cells[2]) == pytest.approx(best.tflops, rel=1e-3)
    assert cells[-1] == "conv3x3 64x56x56 fp32"
    assert "The best matrix product is below the peak for fp32." in text
    assert "Winograd" in text
    assert "below the peak" not in build_bench(bench_runs.write_run(tmp_path / "b", rows))["report.md"]


def test_the_comparison_in_words_has_verdicts_means_and_what_confounds(comparison):
    text = build_comparison(comparison)["comparison.md"]
    assert "**1 faster, 1 slower" in text
    assert "**Confounded by: throttle.**" in text
    assert re.search(r"\| matmul 1024x1024x1024 fp32 \| slower \| 1\.\d{3} \| 1\.\d{3} to 1\.\d{3} \|", text)
    assert "throttled by nothing and by software power cap" in text
    mean = next(each for each in comparison.families if each.family == "matmul")
    assert f"| matmul | {mean.ratio:.3f} | 11 | 1 |" in text


def test_rows_without_a_partner_are_named(bench_runs, tmp_path):
    rows = bench_runs.usual_rows(0)
    a = bench_runs.write_run(tmp_path / "a", rows[:3])
    b = bench_runs.write_run(tmp_path / "b", rows[1:5])
    text = build_comparison(compare_bench(a, b))["comparison.md"]
    alone = text.partition("## Rows in one run only")[2]
    assert alone.index("Only in A") < alone.index(rows[0].case.label) < alone.index("Only in B")
    assert rows[4].case.label in alone
