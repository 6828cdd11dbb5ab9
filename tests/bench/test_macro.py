"""Training steps, inference and largest batches of the reference models."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional

from harness.bench.macro import group as macro
from harness.bench.macro import largest_batch as macro_largest
from harness.bench.macro import plan as macro_plan
from harness.bench.macro import step as macro_step
from harness.bench.macro import ways as macro_ways
from harness.bench.macro.largest_batch import SHARE, MemoryLine, memory_line, peak_rss_mib, search
from harness.bench.macro.models import FULL, SMALL, references
from harness.bench.macro.plan import Speed, affordable, predicted_seconds
from harness.bench.macro.step import make_call
from harness.bench.macro.ways import Way, case_for, compile_obstacle, unavailable, ways
from harness.bench.rows import Case, Row
from harness.bench.workload import Setting, Workload, groups
from harness.measure import free_memory, only_new_garbage

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
EVERY = {"fp32": "", "tf32": "", "bf16": "", "fp16": ""}
SPEED = Speed(1e-4, 1e-4)
WITHOUT_AMX = {"fp32": "", "tf32": "no GPU", "bf16": "no AMX", "fp16": "slow"}


@pytest.fixture(autouse=True, scope="module")
def _quick_collections():
    with only_new_garbage():
        yield


def setting(level="quick", device=CPU, seconds=100.0, memory_mib=4000.0):
    return Setting(device=device, level=level, threads=1, seconds=seconds, memory_mib=memory_mib)


def case(bench="train_step", variant="mlp-1-small", batch=3, **more):
    return Case(bench=bench, variant=variant, batch=batch, **more)


@pytest.fixture
def native(monkeypatch):
    """Sets which precisions the device has, and that it can compile."""

    def say(precisions):
        monkeypatch.setattr(macro_ways, "native_precisions", lambda _: precisions)
        monkeypatch.setattr(macro_ways, "compile_obstacle", lambda _: "")

    return say


@pytest.fixture
def twins(monkeypatch):
    """Stand in for the models in full size, with nothing to wait for."""
    monkeypatch.setattr(macro, "FULL", SMALL)
    monkeypatch.setattr(macro, "start_compiler", lambda _: None)
    monkeypatch.setattr(macro, "speeds_of", lambda cases, _: {(each.bench, each.variant): SPEED for each in cases})


def reference_model(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return references[name].build()


def inputs(name, batch):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(batch, *references[name].sample, generator=generator), generator


# One call


@pytest.mark.parametrize("name", SMALL)
def test_a_step_returns_the_loss_of_its_model_on_its_batch(name):
    x, generator = inputs(name, 3)
    targets_B = torch.randint(10, (3,), generator=generator)
    expected = functional.cross_entropy(reference_model(name).train()(x), targets_B)
    torch.testing.assert_close(make_call(case(variant=name), device=CPU, seed=7)(), expected.detach())


@pytest.mark.parametrize("name", SMALL)
def test_an_inference_returns_the_outputs_in_evaluation_mode_without_autograd(name):
    x, _ = inputs(name, 3)
    outputs = make_call(case("inference", name), device=CPU, seed=7)()
    assert outputs.is_inference()
    torch.testing.assert_close(outputs.clone(), reference_model(name).eval()(x).detach())


def test_a_step_learns(monkeypatch):
    monkeypatch.setattr(macro_step, "LEARNING_RATE", 1e-3)
    step = make_call(case(batch=8), device=CPU, seed=0)
    first = step()
    for _ in range(20):
        last = step()
    assert last < first / 2


def test_but_so_little_that_its_work_stays_the_same():
    step = make_call(case(batch=8), device=CPU, seed=0)
    losses = [step().item() for _ in range(30)]
    assert losses[-1] != losses[0]
    assert losses[-1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_rounds_and_keeps_fp32_outputs(precision):
    exact, rounded = (
        make_call(case("inference", "transformer-1-small", dtype=each), device=CPU, seed=0)()
        for each in ("fp32", precision)
    )
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded.clone(), exact.clone(), rtol=0.1, atol=0.05)


def test_images_lie_channels_last_before_the_first_call(monkeypatch):
    seen = []
    original = macro_step._inference
    monkeypatch.setattr(
        macro_step, "_inference", lambda forward, x, dtype: seen.append(x) or original(forward, x, dtype)
    )
    wanted = case("inference", "cnn-1-small", layout="channels_last")
    plain = case("inference", "cnn-1-small", layout="contiguous")
    outputs = [make_call(each, device=CPU, seed=0)().clone() for each in (wanted, plain)]
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert seen[1].is_contiguous()
    torch.testing.assert_close(*outputs)


def test_making_a_call_leaves_the_generator_alone():
    before = torch.random.get_rng_state()
    make_call(case(), device=CPU, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


# Compiling


@pytest.fixture
def eager_backend(monkeypatch):
    """Lets dynamo look at models without making kernels."""
    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: original(self, backend="eager", **options))
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", FULL)
@pytest.mark.usefixtures("eager_backend")
def test_a_model_is_compiled_as_a_whole_unless_it_says_why_not(name):
    counters.clear()
    make_call(case("inference", f"{name}-small", batch=2, compile=True), device=CPU, seed=0)()
    assert counters["stats"]["unique_graphs"] == (0 if references[name].not_compiled else 1)
    assert not counters["graph_break"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.usefixtures("eager_backend")
def test_no_limit_is_reached_however_many_are_compiled(together):
    calls = []
    with torch._dynamo.config.patch(recompile_limit=macro_step.MAX_COMPILED if together else 2):
        for batch in range(2, 12 if together else 6):
            counters.clear()
            calls.append(make_call(case("inference", batch=batch, compile=True), device=CPU, seed=0))
            calls[-1]()
            assert counters["stats"]["unique_graphs"] == 1, batch
            if not together:
                calls.clear()
                free_memory(CPU)


@pytest.mark.usefixtures("eager_backend")
def test_those_in_use_stay_compiled_when_another_one_is():
    calls = [make_call(case("inference", batch=batch, compile=True), device=CPU, seed=0) for batch in (2, 3)]
    for call in calls:
        call()
    counters.clear()
    for call in calls:
        call()
    assert counters["stats"]["unique_graphs"] == 0


# Ways


def test_quick_takes_the_fastest_precision_alone(native):
    native(EVERY)
    assert ways(setting("quick", CUDA)) == [Way("bf16")]
    native(WITHOUT_AMX)
    assert ways(setting("quick")) == [Way("fp32")]


def test_standard_takes_every_native_precision_and_compiles_on_cuda_alone(native):
    native(EVERY)
    names = ("bf16", "fp16", "tf32", "fp32")
    assert ways(setting("standard", CUDA)) == [Way(name, on) for on in (False, True) for name in names]
    native({**WITHOUT_AMX, "bf16": ""})
    assert ways(setting("standard")) == [Way("bf16"), Way("fp32")]


def test_full_adds_compiling_on_a_cpu_and_channels_last_to_all(native):
    native(WITHOUT_AMX)
    plain = [Way("fp32"), Way("fp32", compile=True)]
    assert ways(setting("full")) == [*plain, *(Way("fp32", way.compile, channels_last=True) for way in plain)]


def test_channels_last_is_for_images_and_compiling_for_what_it_changes():
    suiting = [name for name in FULL if Way("fp32", channels_last=True).suits(references[name])]
    assert suiting == ["cnn-1"]
    assert [name for name in FULL if not Way("fp32", compile=True).suits(references[name])] == ["lstm-1"]


def test_what_the_device_cannot_do_is_one_skipped_row_each_with_the_reason(native):
    native(WITHOUT_AMX)
    rows = list(unavailable("inference", setting("standard")))
    assert [(row.case.dtype, row.status, row.note) for row in rows] == [
        ("tf32", "skipped", "no GPU"),
        ("bf16", "skipped", "no AMX"),
        ("fp16", "skipped", "slow"),
    ]


def test_without_a_compiler_one_row_says_so_and_nothing_is_compiled(native, monkeypatch):
    native(WITHOUT_AMX)
    monkeypatch.setattr(macro_ways, "compile_obstacle", lambda _: "no compiler")
    rows = [row for row in unavailable("inference", setting("full")) if row.case.compile]
    assert [row.note for row in rows] == ["no compiler"]
    assert not any(way.compile for way in ways(setting("full")))


def test_a_compiler_is_looked_for_where_torch_finds_it(monkeypatch, tmp_path):
    monkeypatch.setattr(macro_ways.sysconfig, "get_path", lambda _: str(tmp_path))
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "g++" in compile_obstacle(CPU)
    (tmp_path / "my-c++").touch(mode=0o755)
    monkeypatch.setenv("CXX", "my-c++")
    assert compile_obstacle(CPU) == ""
    (tmp_path / "Python.h").unlink()
    assert "Python.h" in compile_obstacle(CPU)


# Groups


@pytest.mark.parametrize("bench", ["train_step", "inference"])
def test_quick_on_a_cpu_yields_the_twins_with_small_batches(bench):
    rows = [item for item in groups[bench](setting()) if isinstance(item, Workload)]
    assert {(each.case.variant, each.case.batch) for each in rows} == {(n, b) for n in SMALL for b in (1, 32)}
    assert all(each.macro and each.samples == each.case.batch for each in rows)
    passes = 3 if bench == "train_step" else 1
    mlp = next(each for each in rows if each.case.variant == "mlp-1-small" and each.samples == 32)
    assert (mlp.flops, mlp.flops_source) == (537_600 * 32 * passes, "counter")
    mlp.prepare()()


@pytest.mark.usefixtures("twins")
def test_the_ways_to_do_the_same_work_are_neighbours_and_large_batches_come_last(native):
    native(EVERY)
    items = list(groups["train_step"](setting("full", CUDA, seconds=1e9)))
    assert not [item for item in items if isinstance(item, Row) and not item.case.compile]
    cases = [item.case for item in items if isinstance(item, Workload)]
    assert [each.batch for each in cases] == sorted(each.batch for each in cases)
    turns = [(each.batch, each.variant) for each in cases]
    assert turns == sorted(turns)
    shapes = {each.variant: each.shape for each in cases}
    assert len(set(shapes.values())) == len(shapes)
    cnn = [each for each in cases if each.variant == "cnn-1-small" and each.batch == 256]
    assert len(cnn) == len(set(cnn)) == 4 * 2 * 2


@pytest.mark.usefixtures("twins")
def test_cases_without_time_are_skipped_rows_and_the_fastest_way_goes_first(native):
    native(EVERY)
    items = list(groups["inference"](setting("standard", CUDA, seconds=4.5)))
    kept = [item.case for item in items if isinstance(item, Workload)]
    dropped = [item for item in items if isinstance(item, Row) and item.case.batch]
    assert {each.dtype for each in kept if each.batch == 256} == {"bf16"}
    assert all(row.status == "skipped" and "no time" in row.note for row in dropped)
    assert len(kept) + len(dropped) == 3 * (4 * 4 + 4 * 3)


@pytest.mark.usefixtures("twins")
def test_with_no_time_at_all_nothing_is_measured():
    items = list(groups["inference"](setting("standard", seconds=0.0)))
    assert items
    assert all(isinstance(item, Row) and item.status == "skipped" for item in items)


def test_time_goes_to_the_earlier_cases_and_what_is_left_to_those_that_fit():
    cases = [case(batch=batch) for batch in (1, 100, 2)]
    chosen = affordable(cases, lambda each: float(each.batch), seconds=50.0)
    assert [each.batch for each in chosen] == [1, 2]


def test_the_prediction_grows_with_the_batch_and_an_unknown_speed_costs_the_least():
    speeds = {("train_step", "mlp-1-small"): Speed(1.0, 0.01)}
    assert predicted_seconds(case(batch=1001), speeds, rounds=1) == pytest.approx(6 * 11.0)
    compiled = [predicted_seconds(case(batch=1, compile=True), speeds, rounds=rounds) for rounds in (1, 2)]
    mean_s = (macro_plan.COMPILE_S + macro_plan.COMPILED_S) / 2
    assert compiled == pytest.approx([6.0 + macro_plan.COMPILE_S, 6.0 + mean_s])
    for speed in (Speed(1e-6, 1e-6), Speed(math.nan, math.nan)):
        assert predicted_seconds(case(), {("train_step", "mlp-1-small"): speed}, rounds=1) == macro_plan.LEAST_S


def test_a_speed_is_the_line_through_the_fastest_calls_of_two_batches(monkeypatch):
    now = [0.0]
    calls = iter([9.0, 3.0, 2.0, 9.0, 9.0, 16.0])

    def take():
        now[0] += next(calls)

    monkeypatch.setattr(macro_plan, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(macro_plan, "make_call", lambda *_, **__: take)
    (speed,) = macro_plan.speeds_of([case(), case(batch=256)], setting()).values()
    assert (speed.one_s, speed.sample_s) == (2.0, 1.0)
    assert speed.call_s(8) == 9.0


def test_a_model_that_fails_has_no_speed(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(macro_plan, "make_call", fail)
    assert math.isnan(macro_plan.speeds_of([case()], setting())["train_step", "mlp-1-small"].call_s(4))


# The largest batch


def test_the_line_goes_through_two_batches():
    asked = []
    line = memory_line(lambda batch: asked.append(batch) or 500.0 + 3.0 * batch, cap=1000, room_mib=9000.0)
    assert asked == [1, 1, 4, 16, 64, 128]
    assert line == MemoryLine(128, 884.0, 3.0)
    assert line.peak(200) == 1100.0


def test_what_the_allocator_keeps_back_does_not_make_the_line_flatter():
    line = memory_line(lambda batch: max(900.0, 500.0 + 3.0 * batch), cap=10**6, room_mib=9000.0)
    assert line.peak(2000) == pytest.approx(6500.0)


def test_no_batch_is_tried_that_would_not_fit():
    peaks = []
    line = memory_line(lambda batch: peaks.append(100.0 + 5.0 * batch) or peaks[-1], cap=10**6, room_mib=400.0)
    assert max(peaks) <= 400.0
    assert line.mib_per_sample == 5.0


def test_at_the_cap_the_line_ends_and_without_time_there_is_none():
    assert memory_line(lambda _: 500.0, cap=6, room_mib=9000.0) == MemoryLine(6, 500.0, 0.0)
    assert memory_line(lambda _: 500.0, cap=6, room_mib=9000.0, seconds=0.0) is None
    assert memory_line(lambda batch: 500.0 + 20 * batch, cap=6, room_mib=9000.0) == MemoryLine(6, 620.0, 0.0)


def test_the_peak_holds_what_was_alive_during_the_calls():
    def make():
        def work():
            big = torch.ones(96 * 2**18)
            big.add_(1).mul_(2).sqrt_().exp_()

        return work

    nothing = peak_rss_mib(lambda: lambda: None)
    assert peak_rss_mib(make) > nothing + 80


def test_on_a_cpu_the_largest_batch_is_predicted_from_the_free_memory():
    wanted = case_for("train_step", "cnn-1-small", 1, Way("fp32"), setting())
    row = search(wanted, setting(memory_mib=1000.0), seconds=60.0)
    assert (row.case.bench, row.case.variant, row.case.batch) == ("largest_batch", "cnn-1-small train_step", 0)
    assert row.status == "ok"
    assert "predicted" in row.note
    # For the way back a sample keeps itself, 6 maps of 16 x 32 x 32, 5 of 32 x 16 x 16 and 5 of 64 x 8 x 8 floats.
    kept_mib = 4 * (3 * 32**2 + 6 * 16 * 32**2 + 5 * 32 * 16**2 + 5 * 64 * 8**2) / 2**20
    most = SHARE * 1000.0 / kept_mib
    assert most / 10 < row.facts["batch"] < most  # it also needs room to work


@pytest.fixture
def gpu_of_300(monkeypatch):
    """A GPU on which 300 samples fit."""

    def make(wanted, *, device, seed):
        assert seed == 0
        assert device == CPU
        if wanted.batch > 300:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return lambda: None

    monkeypatch.setattr(macro_largest, "make_call", make)
    monkeypatch.setattr(macro_largest, "_predicted", macro_largest._tried)


@pytest.mark.usefixtures("gpu_of_300")
def test_elsewhere_it_is_tried_out():
    row = search(case(), setting(), seconds=60.0)
    assert row.status == "ok"
    assert 297 <= row.facts["batch"] <= 300 < row.facts["too_large"] <= 304
    assert row.stop_reason == "precise"


def test_no_tensor_gets_more_elements_than_an_index_has(monkeypatch):
    monkeypatch.setattr(macro_largest, "_predicted", lambda _, __, cap, ___: macro_largest.Found(cap, None, 1, "cap"))
    row = search(case(variant="cnn-1"), setting(), seconds=1.0)
    assert row.facts["batch"] == (2**31 - 1) // (64 * 32 * 32)
    assert search(case(variant="mlp-1"), setting(), seconds=1.0).facts["batch"] == 2**20


@pytest.mark.parametrize(
    ("error", "status"), [(torch.OutOfMemoryError("CUDA out of memory."), "oom"), (RuntimeError("no kernel"), "failed")]
)
@pytest.mark.usefixtures("gpu_of_300")
def test_a_search_that_cannot_end_well_says_how_it_ended(monkeypatch, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(macro_largest, "make_call", fail)
    row = search(case(), setting(), seconds=60.0)
    assert row.status == status
    assert "batch" not in row.facts


@pytest.mark.usefixtures("gpu_of_300")
def test_without_time_no_largest_batch_is_told():
    row = search(case(), setting(), seconds=0.0)
    assert (row.status, dict(row.facts)) == ("skipped", {})


def test_quick_looks_for_no_largest_batch():
    (row,) = groups["largest_batch"](setting("quick"))
    assert (row.status, row.note) == ("skipped", "no time at this level")


@pytest.mark.usefixtures("gpu_of_300", "twins")
def test_the_work_at_the_largest_batch_is_offered_too():
    items = list(groups["largest_batch"](setting("standard")))
    rows = [item for item in items if isinstance(item, Row)]
    workloads = [item for item in items if isinstance(item, Workload)]
    assert len(rows) == len(workloads) == 2 * 4
    assert {each.case.bench for each in workloads} == {"train_step", "inference"}
    assert {each.samples for each in workloads} == {int(row.facts["batch"]) for row in rows}
