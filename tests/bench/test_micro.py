from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from harness.bench.catalog import CATALOG
from harness.bench.micro import layers, matmul, memory, onednn, threads
from harness.bench.micro.data import normal
from harness.bench.peaks import IN_CACHE, ONEDNN
from harness.bench.rows import Row
from harness.bench.workload import Setting, groups
from harness.hardware import native_precisions

SETTING = Setting(device=torch.device("cpu"), level="quick", threads=2, seconds=0.2, memory_mib=4000.0)
MACRO = {"train_step", "inference", "largest_batch"}
MIB = 2**20


@pytest.mark.parametrize("name", sorted(set(CATALOG) - MACRO))
def test_every_case_of_a_group_is_its_own_and_can_be_called(name):
    items = list(groups[name](SETTING))
    cases = [item.case for item in items]
    assert len(set(cases)) == len(cases)
    assert {case.bench for case in cases} == {name}
    for item in items:
        if isinstance(item, Row):
            assert item.status == "skipped"
            assert item.note
        elif not item.case.variant.startswith("workers=") or item.case.variant == "workers=0":
            item.prepare()()


@pytest.mark.parametrize("name", ["matmul", "conv3x3", "attention", "lstm_cell"])
def test_a_format_that_is_not_native_is_skipped_with_the_reason(name):
    items = list(groups[name](SETTING))
    for dtype, reason in native_precisions(SETTING.device).items():
        rows = [item for item in items if item.case.dtype == dtype]
        assert rows
        assert all(isinstance(row, Row) and row.note == reason for row in rows) is bool(reason)
        assert all(row.case.tf32 is (dtype == "tf32") for row in rows)


def test_a_product_is_that_of_its_matrices():
    call = matmul.prepare((5, 7, 3), "fp32", SETTING)
    a_MK, b_KN = (cell.cell_contents for cell in call.__closure__ if cell.cell_contents.shape != (5, 3))
    assert a_MK.std() > 0.1
    torch.testing.assert_close(call().double(), a_MK.double() @ b_KN.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not onednn.has_onednn(SETTING), reason="this build of torch has no oneDNN")
def test_the_other_library_multiplies_the_same_matrices():
    workload = onednn.packed_product((5, 7, 3), SETTING)
    a_MK = normal(5, 7, dtype=torch.float32, setting=SETTING)
    b_NK = normal(3, 7, dtype=torch.float32, setting=SETTING, seed=1)
    torch.testing.assert_close(workload.prepare()().double(), a_MK.double() @ b_NK.double().T, rtol=1e-5, atol=1e-5)
    usual = matmul.product((5, 7, 3), "fp32", SETTING)
    assert (workload.flops, workload.bytes_moved) == (usual.flops, usual.bytes_moved)
    products = [item.case for item in groups["matmul"](SETTING) if not isinstance(item, Row)]
    shapes = {case.shape for case in products if case.dtype == "fp32" and not case.variant}
    assert {case.shape for case in products if case.variant == ONEDNN} == {
        s for s in shapes if len({*s.split("x")}) == 1
    }


def test_a_product_of_bytes_is_exact():
    call = matmul.prepare((32, 32, 32), "int8", SETTING)
    a_MK, b_KN = (cell.cell_contents for cell in call.__closure__ if cell.cell_contents.dtype == torch.int8)
    assert a_MK.abs().max() > 20
    try:
        found = call()
    except RuntimeError as error:
        pytest.skip(f"this build of torch has no such kernel: {error}")
    assert torch.equal(found.long(), a_MK.long() @ b_KN.long())


@pytest.mark.parametrize(
    "workload",
    [
        matmul.product((4, 5, 6), "fp32", SETTING),
        layers.convolution(2, "fp32", "channels_last", SETTING),
    ],
)
def test_flops_by_formula_are_those_that_torch_counts(workload):
    call = workload.prepare()
    with FlopCounterMode(display=False) as counter:
        call()
    assert counter.get_total_flops() == workload.flops


def test_flops_of_attention_are_those_of_its_two_products():
    batch, heads, length = 2, 3, 16
    with FlopCounterMode(display=False) as counter:
        q_BHSD = torch.randn(batch, heads, length, layers.WIDTH)
        (q_BHSD @ q_BHSD.mT) @ q_BHSD
    assert layers.attend((batch, heads, length), "fp32", SETTING).flops == counter.get_total_flops()


def test_flops_of_a_cell_are_those_of_its_weights():
    cell = torch.nn.LSTMCell(24, 24, bias=False)
    weights = sum(parameter.numel() for parameter in cell.parameters())
    assert layers.step(8, 24, "fp32", SETTING).flops == 2 * 8 * weights


def moved(prepare):
    """Return the bytes of all tensors that a call reads, and of those that it returns."""
    call = prepare()
    cells = [cell.cell_contents for cell in call.__closure__]
    modules = [each for each in cells if isinstance(each, torch.nn.Module)]
    tensors = [each for each in cells if torch.is_tensor(each)]
    tensors += [parameter for module in modules for parameter in module.parameters()]
    result = call()
    tensors += result if isinstance(result, tuple) else [result]
    return sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "work",
    [
        lambda dtype: layers.convolution(2, dtype, "contiguous", SETTING),
        lambda dtype: layers.attend((2, 3, 16), dtype, SETTING),
        lambda dtype: layers.step(8, 24, dtype, SETTING),
    ],
)
def test_an_operation_moves_what_it_reads_and_returns(work, dtype):
    workload = work(dtype)
    assert workload.bytes_moved == moved(workload.prepare)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_convolution_keeps_its_layout(layout):
    call = layers.convolution(2, "fp32", layout, SETTING).prepare()
    assert call().is_contiguous(memory_format=layers.LAYOUTS[layout])


def test_layouts_and_formats_of_a_convolution_have_one_shape_so_that_they_take_turns():
    cases = [item.case for item in groups["conv3x3"](SETTING)]
    assert len({case.shape for case in cases}) == 1
    assert {case.layout for case in cases} == {"contiguous", "channels_last"}


@given(
    st.floats(1e-6, 10.0), st.floats(0.5, 300.0), st.floats(1.0, 1e6), st.sampled_from(["quick", "standard", "full"])
)
@settings(max_examples=25)
def test_sizes_keep_to_time_and_memory(probe_s, seconds, memory_mib, level):
    setting = replace(SETTING, seconds=seconds, memory_mib=memory_mib, level=level)
    sizes = matmul.fitting(lambda size: probe_s * (size / 512) ** 3, setting, 1)
    assert sizes == tuple(sorted(sizes))
    assert 512 <= sizes[0] <= sizes[-1] <= 8192
    assert level != "quick" or len(sizes) <= 2
    if sizes[-1] > 512:
        assert matmul.CALLS * probe_s * (sizes[-1] / 512) ** 3 <= seconds / 2
        assert 3 * 4 * sizes[-1] ** 2 <= memory_mib * MIB / 4


def test_a_quick_device_gets_all_sizes():
    setting = replace(SETTING, seconds=30.0, memory_mib=80_000.0, level="standard")
    assert matmul.fitting(lambda _: 1e-4, setting, 6) == matmul.SIZES


@pytest.mark.parametrize("size", matmul.SIZES)
def test_the_ragged_shape_fits_no_tile(size):
    shape = matmul.ragged(size)
    assert all(side % 2 for side in shape)
    assert max(shape) == size + 1


@given(st.floats(1e5, 1e9), st.floats(2000.0, 1e6))
@settings(max_examples=25)
def test_arrays_beyond_the_cache_are_four_of_it_unless_memory_is_short(cache, memory_mib):
    size = memory.beyond_cache(cache, memory_mib)
    assert size & (size - 1) == 0
    assert size >= min(4 * cache, memory.MEMORY_SHARE * memory_mib * MIB / 2)
    assert size <= memory.MEMORY_SHARE * memory_mib * MIB


@given(st.floats(1e5, 1e9), st.integers(1, 3))
@settings(max_examples=25)
def test_arrays_in_the_cache_fill_a_quarter_of_it_at_most(cache, arrays):
    assert cache / 8 < memory.in_cache(cache, arrays) * arrays <= cache / 4


@pytest.mark.parametrize(("bench", "arrays"), [("copy", 2), ("triad", 3), ("reduction", 1)])
def test_memory_work_does_what_its_name_says_and_counts_its_bytes(bench, arrays):
    workload = memory.operation(bench, memory.BEYOND, 4096, SETTING)
    assert workload.bytes_moved == arrays * 4096
    call = workload.prepare()
    found = call()
    if bench == "reduction":
        numbers = call.__self__
        assert numbers.std() > 0.5
        torch.testing.assert_close(found, numbers.double().sum().float(), rtol=1e-4, atol=1e-3)
    elif bench == "copy":
        assert torch.equal(found, call.args[0])
        assert found.data_ptr() != call.args[0].data_ptr()
    else:
        b_N, c_N = call.args
        torch.testing.assert_close(found, b_N + 1.5 * c_N)


def test_only_data_beyond_the_cache_is_flushed_from_it():
    for bench in memory.ARRAYS:
        assert memory.operation(bench, memory.BEYOND, 4096, SETTING).flush
        assert not memory.operation(bench, IN_CACHE, 4096, SETTING).flush


def test_a_cache_of_unknown_size_leaves_its_own_row_out(monkeypatch):
    monkeypatch.setattr(memory, "cache_bytes", lambda _: float("nan"))
    workload, row = groups["copy"](SETTING)
    assert workload.case.shape == "128 MiB"
    assert row.status == "skipped"
    assert "cache size is not available" in row.note


@given(st.integers(1, 256))
@settings(max_examples=25)
def test_thread_counts_double_up_to_all(most):
    counts = threads.thread_counts(most)
    assert counts[0] == 1
    assert counts[-1] == most
    assert all(low < high <= 2 * low for low, high in pairwise(counts))


def test_threads_are_cases_of_one_shape_with_their_own_count():
    cases = [item.case for item in groups["threads"](SETTING)]
    assert [(case.threads, case.variant) for case in cases] == [(1, "threads=1"), (2, "threads=2")]
    assert len({case.shape for case in cases}) == 1
