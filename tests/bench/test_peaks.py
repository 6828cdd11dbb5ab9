from __future__ import annotations

import math

import pytest

from harness.bench.peaks import (
    GPUS,
    ONEDNN,
    Peaks,
    cpu_peaks,
    gpu_peaks,
    measured_peaks,
    with_peaks,
)
from harness.bench.remarks import PUBLIC, with_memory_roof, with_other_library, with_public_figures
from harness.bench.rows import Case, Row
from harness.hardware import Cpu


def cpu(*isa):
    return Cpu(
        model="x",
        architecture="x86_64",
        isa=isa,
        physical_cores=8,
        logical_cores=16,
        affinity_cores=16,
        quota_cores=None,
        usable_cores=8,
    )


def clock(root, driver="amd-pstate-epp", khz="5000000"):
    folder = root / "sys/devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_driver").write_text(f"{driver}\n")
    (folder / "cpuinfo_max_freq").write_text(f"{khz}\n")
    return root


@pytest.mark.parametrize(
    ("name", "dtype", "tflops", "gbps"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16", 312.0, 2039.0),
        ("NVIDIA A100-PCIE-40GB", "tf32", 156.0, 1555.0),
        ("NVIDIA H100 80GB HBM3", "fp8", 1978.9, 3352.0),
        ("NVIDIA H100 PCIe", "bf16", 756.4, 2039.0),
        ("NVIDIA H200", "fp16", 989.4, 4800.0),
        ("NVIDIA B200", "bf16", 2250.0, 8000.0),
        ("Tesla T4", "fp16", 65.0, 320.0),
        ("Tesla V100-SXM2-32GB", "fp32", 15.7, 900.0),
        ("NVIDIA GeForce RTX 4090", "bf16", 165.2, 1008.0),
        ("NVIDIA RTX A6000", "int8", 309.7, 768.0),
        ("NVIDIA L4", "fp8", 242.5, 300.0),
    ],
)
def test_data_sheets_are_found_by_the_name_of_the_driver(name, dtype, tflops, gbps):
    found = gpu_peaks(name)
    assert found.tflops[dtype] == pytest.approx(tflops, rel=0.01)
    assert found.gbps == gbps
    assert "data sheet" in found.source


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A10G",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA L40",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "AMD Instinct MI300X",
    ],
)
def test_a_gpu_with_a_similar_name_is_another(name):
    found = gpu_peaks(name)
    assert not found.tflops
    assert math.isnan(found.gbps)
    assert repr(name) in found.source


def test_tensor_cores_are_never_slower_than_the_rest():
    for tflops, gbps in GPUS.values():
        assert tflops["fp16"] > tflops["fp32"]
        assert tflops.get("tf32", math.inf) >= tflops["fp32"]
        assert tflops.get("int8", math.inf) > tflops["fp16"]
        assert 300 <= gbps <= 8000


def test_a_cpu_is_cores_times_clock_times_flops_per_cycle(tmp_path):
    found = cpu_peaks(cpu("avx2", "avx512f"), 8, clock(tmp_path))
    assert found.tflops == {"fp32": pytest.approx(8 * 5e9 * 64 / 1e12)}
    assert math.isnan(found.gbps)


def test_amx_counts_for_bf16_and_int8(tmp_path):
    isa = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
    found = cpu_peaks(cpu(*isa), 1, clock(tmp_path, "intel_pstate", "4000000"))
    assert found.tflops == {"fp32": 4e9 * 64e-12, "bf16": 4e9 * 1024e-12, "int8": 4e9 * 2048e-12}


@pytest.mark.parametrize(("driver", "khz"), [("acpi-cpufreq", "2000000"), ("amd-pstate", "fast")])
def test_a_clock_that_is_not_the_highest_or_not_told_gives_no_peak(tmp_path, driver, khz):
    found = cpu_peaks(cpu("avx2"), 8, clock(tmp_path, driver, khz))
    assert not found.tflops
    assert "clock" in found.source
    assert "clock" in cpu_peaks(cpu("avx2"), 8, tmp_path / "nowhere").source


def test_an_instruction_set_that_is_not_known_gives_no_peak(tmp_path):
    assert "FLOPs per cycle" in cpu_peaks(cpu("asimd"), 8, clock(tmp_path)).source


def row(bench, dtype="fp32", variant="", **figures):
    return Row(case=Case(bench=bench, dtype=dtype, variant=variant), **figures)


def test_the_measured_peak_is_the_best_of_all_rows_of_the_device():
    rows = [
        row("matmul", tflops=1.0),
        row("matmul", tflops=2.0),
        row("matmul", "bf16", tflops=8.0),
        row("train_step", "bf16", tflops=3.0),
        row("matmul", "fp16"),
        row("inference", "fp16", tflops=9.0),
        row("conv3x3", tflops=5.0),
        row("threads", tflops=7.0),
        row("copy", gbps=10.0),
        row("triad", gbps=12.0),
        row("reduction", gbps=50.0),
        row("copy", variant="in cache", gbps=99.0),
    ]
    found = measured_peaks(rows)
    assert found.tflops == {"fp32": 5.0, "bf16": 8.0}
    assert found.gbps == 50.0
    assert found.source == "fp32: conv3x3 fp32; bf16: matmul bf16; memory: reduction fp32"


def test_a_product_tells_how_much_faster_the_other_library_is_where_that_is_clear():
    def product(rate, shape="512x512x512", **more):
        case = Case(bench="matmul", shape=shape, variant=more.pop("variant", ""), dtype=more.pop("dtype", "fp32"))
        return Row(case=case, tflops=rate, **more)

    rows = [
        product(0.10, note="fits in the last-level cache"),
        product(0.22, variant=ONEDNN),
        product(0.10, "1024x1024x1024"),
        product(0.105, "1024x1024x1024", variant=ONEDNN),
        product(0.10, dtype="int8"),
        product(0.10, "2048x2048x2048"),
        product(math.nan, "2048x2048x2048", variant=ONEDNN, status="skipped"),
    ]
    told = with_other_library(rows)
    assert told[0].note == "fits in the last-level cache; oneDNN computes it 2.20 times as fast"
    assert told[1:] == rows[1:]


def test_what_is_faster_than_memory_could_bring_its_data_says_that_a_cache_holds_them():
    def at(tflops, *, flops=2e6, bench="lstm_cell"):  # 2 FLOPs a byte: 10 GB/s bring data for 0.02 TFLOP/s
        return row(bench, tflops=tflops, flops=flops, bytes_moved=1e6)

    rows = [at(0.0209), at(0.05), at(0.05, flops=math.nan), at(0.05, bench="threads"), row("copy", gbps=10.0)]
    told = with_memory_roof(rows, Peaks(gbps=10.0))
    assert told[1].note == "2.5 times what memory could bring: its data are in a cache"
    assert [each.note for each in (told[0], *told[2:])] == [""] * 4
    assert with_memory_roof(rows, Peaks()) == rows


def test_no_row_is_above_the_measured_peak():
    rows = [row(bench, tflops=rate) for bench, rate in (("matmul", 0.19), ("conv3x3", 0.44), ("train_step", 0.3))]
    rows += [row(bench, gbps=rate) for bench, rate in (("copy", 20.0), ("reduction", 31.0))]
    peaks = measured_peaks(rows)
    shares = [with_peaks(each, spec=Peaks(), measured=peaks).pct_measured_peak for each in rows]
    assert shares == pytest.approx([100 * 0.19 / 0.44, 100.0, 100 * 0.3 / 0.44, 100 * 20 / 31, 100.0])


def test_without_products_and_copies_there_is_no_measured_peak():
    found = measured_peaks([row("conv3x3", tflops=5.0), row("reduction", gbps=50.0)])
    assert (found.tflops, math.isnan(found.gbps), found.source) == ({}, True, "no row")


def test_rates_are_shares_of_both_peaks():
    peaks = {"spec": Peaks({"fp32": 4.0}, 100.0), "measured": Peaks({"fp32": 2.0}, 50.0)}
    product = with_peaks(row("conv3x3", tflops=1.0), **peaks)
    assert (product.pct_spec_peak, product.pct_measured_peak, product.note) == (25.0, 50.0, "")
    copied = with_peaks(row("reduction", gbps=40.0), **peaks)
    assert (copied.pct_spec_peak, copied.pct_measured_peak) == (40.0, 80.0)
    for other in (
        row("host_to_device", gbps=40.0),
        row("copy", variant="in cache", gbps=400.0),
        row("matmul", "int8", tflops=9.0),
        row("threads", tflops=9.0),
    ):
        assert math.isnan(with_peaks(other, **peaks).pct_spec_peak)


def test_a_convolution_above_the_specification_may_be_winograds():
    found = with_peaks(row("conv3x3", tflops=5.2), spec=Peaks({"fp32": 4.0}), measured=Peaks())
    assert found.note.startswith("impossible unless its convolutions multiply less than counted (Winograd): 130 %")


@pytest.mark.parametrize(("tflops", "flagged"), [(4.2, False), (5.2, True)])
def test_more_than_the_specification_allows_is_flagged(tflops, flagged):
    found = with_peaks(row("matmul", tflops=tflops, note="before"), spec=Peaks({"fp32": 4.0}), measured=Peaks())
    assert found.note == ("before; impossible: 130 % of the specified peak" if flagged else "before")


def products(*tflops, dtype="bf16", size=8192):
    return [row("matmul", dtype, tflops=each, flops=2.0 * size**3, note="before") for each in tflops]


@pytest.mark.parametrize(("best", "word"), [(400.0, "low"), (900.0, "high"), (790.0, "")])
def test_a_best_product_out_of_the_range_of_public_figures_has_a_hint(best, word):
    rows = [row("copy"), *products(100.0, best, 50.0)]
    found = with_public_figures(rows, "NVIDIA H100 80GB HBM3")
    hint = f"before; unusually {word} for this device: public figures are 600 to 830 TFLOP/s"
    assert [each.note for each in found] == ["", "before", hint if word else "before", "before"]
    assert [each.tflops for each in found[1:]] == [100.0, best, 50.0]


def test_there_is_no_hint_for_other_devices_precisions_and_small_products():
    for rows, device in (
        (products(1.0), "NVIDIA H100 PCIe"),
        (products(1.0, dtype="fp32"), "NVIDIA H100 80GB HBM3"),
        (products(1.0, size=2048), "NVIDIA H100 80GB HBM3"),
        ([row("matmul", "bf16")], "NVIDIA H100 80GB HBM3"),
    ):
        assert [each.note for each in with_public_figures(rows, device)] == [each.note for each in rows]


def test_public_figures_are_below_the_data_sheet():
    for name, ranges in PUBLIC.items():
        sheets = [tflops for pattern, (tflops, _) in GPUS.items() if pattern.split("-")[0] == name.split("-")[0]]
        assert sheets
        for dtype, (low, high) in ranges.items():
            assert all(low < high < each[dtype] for each in sheets)
