"""Out of memory: half the samples at once, the same batch, until it fits; planted errors first, then real limits."""

import errno
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.hardware.cgroup import group_folders
from harness.measure import is_out_of_memory
from harness.records import Outcome
from harness.study.trial.memory import halved
from harness.study.trial.speed import measure_speed

PLANTED = {
    "planted_memory": """
import sys
import weakref
import torch
from torch import nn

MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
ERRORS = {
    "device": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\\nmore"),
    "host": lambda: RuntimeError(MESSAGE),
    "python": MemoryError,
}
TRIED, TRAINED, ALIVE = [], [], []


def callers():
    frame = sys._getframe()
    while frame := frame.f_back:
        yield frame.f_code.co_name


class Model(nn.Module):
    def __init__(self, shape, limit, where, error, dropout, after):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Dropout(dropout))
        self.last = nn.Linear(32, shape.outputs)
        self.limit, self.where, self.error, self.after = limit, where, error, after
        self.cycle = [self]  # only the garbage collector frees it

    def fails(self, samples):
        if samples <= self.limit or self.after > 0:
            return False
        if self.where == "training":
            return self.training
        return not self.training and (self.where == "validation" or "measure_speed" in callers())

    def forward(self, x):
        if self.training:
            if not TRAINED or TRAINED[-1]() is not self:
                TRAINED.append(weakref.ref(self))
                TRIED.append(len(x))
            self.after -= 1
        if self.fails(len(x)):
            raise ERRORS[self.error]()
        return self.last(self.layers(x))


def build(shape, limit=10**9, where="training", error="host", dropout=0.0, after=0):
    ALIVE.append(sum(model() is not None for model in TRAINED))
    return Model(shape, limit, where, error, dropout, after)
"""
}


@pytest.fixture(scope="module")
def bench(real):
    with real.bench() as evaluate:
        yield evaluate


@pytest.fixture
def planted(real):
    """Return the module of the planted model, which has seen nothing yet."""
    assert real, "makes it importable"
    module = importlib.import_module("planted_memory")
    for noted in (module.TRIED, module.TRAINED, module.ALIVE):
        noted.clear()
    return module


@pytest.fixture
def evaluate(real, bench):
    """Return a function that evaluates the planted model with these parameters."""

    def evaluate(watcher=None, *, batch=32, overrides=(), limit=10**9, options=None, **params):
        job = real.own_job(*overrides, module="planted_memory", batch=batch, limit=limit, **params)
        return bench(job, watcher, **(options or {}))

    return evaluate


def told(real, evaluation):
    """Return what must be equal of two trials of models that are told apart by what was planted only."""
    candidate = repr(evaluation.record.candidate)
    return real.told(evaluation).replace(candidate, "")


def parts(batch, micro_batch):
    return f"out of memory with a batch of {batch}: trained in parts of {micro_batch}"


@pytest.mark.parametrize(
    ("error", "batch", "limit", "micro_batch"),
    [("device", 32, 16, 16), ("host", 32, 9, 8), ("python", 32, 1, 1), ("host", 512, 49, 25)],
)
def test_what_does_not_fit_is_trained_in_parts_of_half_and_is_what_these_parts_make(
    real, evaluate, planted, error, batch, limit, micro_batch
):
    watcher = real.Recorder()
    adapted = evaluate(watcher, batch=batch, limit=limit, error=error, dropout=0.3)
    assert adapted.outcome is Outcome.COMPLETE
    assert adapted.record.plan.micro_batch == micro_batch
    whole = min(batch, 99)  # training samples of the task
    assert adapted.record.notes[0] == parts(whole, micro_batch)
    assert (planted.TRIED[0], planted.TRIED[-1] <= micro_batch) == (whole, True)
    assert watcher.epochs == [1, 2, 3, 4]
    begun_so = evaluate(batch=batch, dropout=0.3, options={"micro_batch": micro_batch})
    assert told(real, adapted) == told(real, begun_so)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_without_batch_statistics_and_chance_parts_are_the_batch(evaluate, where):
    adapted, whole = evaluate(limit=5, where=where), evaluate()
    assert adapted.record.plan.micro_batch == 4
    assert whole.record.plan.micro_batch == 0
    assert whole.record.notes == adapted.record.notes[1:]
    assert len(adapted.epochs) == len(whole.epochs) == 4
    for one, other in zip(adapted.epochs, whole.epochs, strict=True):
        assert one.train["loss"] == pytest.approx(other.train["loss"], rel=1e-5)
        assert one.validation["loss"] == pytest.approx(other.validation["loss"], rel=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)


def test_measuring_the_speed_adapts_too(evaluate, monkeypatch):
    monkeypatch.setattr("harness.study.trial.finishing.measure_speed", measure_speed)
    adapted = evaluate(limit=5, where="speed", overrides=["budget.epochs=1"])
    assert adapted.outcome is Outcome.COMPLETE
    assert adapted.record.plan.micro_batch == 4
    assert adapted.record.figures["inference_samples_s"] > 0


def test_making_the_plan_adapts_too(evaluate, monkeypatch):
    from harness.study.trial import attempt

    make = attempt.plan_training

    def measured(*arguments, micro_batch):
        if (micro_batch or 32) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return make(*arguments, micro_batch=micro_batch)

    monkeypatch.setattr(attempt, "plan_training", measured)
    adapted = evaluate()
    assert (adapted.outcome, adapted.record.plan.micro_batch) == (Outcome.COMPLETE, 8)


def test_only_one_sample_that_does_not_fit_is_out_of_memory(evaluate, planted):
    ended = evaluate(limit=0, error="device")
    assert ended.outcome is Outcome.OOM
    assert ended.record.reason == (
        "not even one sample fits in memory: CUDA out of memory. Tried to allocate 20.00 GiB."
    )
    assert planted.TRIED == [32, 16, 8, 4, 2, 1]
    assert (ended.epochs, ended.weights, ended.record.values) == ([], b"", ())
    assert ended.record.figures["parameters"] > 0


def test_beside_others_it_is_not_the_trials_own_fault(evaluate, planted):
    ended = evaluate(limit=16, options={"shared": True})
    assert ended.outcome is Outcome.OOM
    assert ended.record.reason.startswith("out of memory while sharing the device: [enforce fail at alloc_cpu.cpp:127]")
    assert planted.TRIED == [32]


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_failed_try_is_freed_before_the_next_one_is_built(evaluate, planted, where):
    evaluate(limit=9, where=where)
    assert len(planted.TRAINED) == 3
    assert planted.ALIVE
    assert not any(planted.ALIVE)
    assert not any(model() for model in planted.TRAINED)


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_later_stretch_goes_on_in_the_same_parts(real, evaluate, where):
    params = {"limit": 9, "where": where, "dropout": 0.3}
    whole = evaluate(**params)
    first = evaluate(**params, options={"until": 2})
    assert first.record.plan.micro_batch == 8
    for micro_batch in (0, 8, 16):  # whatever the coordinator has heard of it
        watcher = real.Recorder()
        last = evaluate(watcher, **params, options={"checkpoint": first.checkpoint, "micro_batch": micro_batch})
        assert real.told(last) == real.told(whole)
        assert last.record.notes[0] == parts(32, 8)
        assert watcher.epochs == [1, 2, 3, 4]
        assert last.seconds > first.seconds


def test_a_checkpoint_of_parts_that_are_now_too_large_is_passed_over(real, evaluate, planted):
    first = evaluate(options={"until": 2})
    planted.TRIED.clear()
    anew = evaluate(options={"checkpoint": first.checkpoint, "micro_batch": 8})
    assert planted.TRIED == [8]
    assert real.told(anew) == real.told(evaluate(options={"micro_batch": 8}))
    assert anew.record.plan.micro_batch == 8


def test_a_trial_that_outgrows_its_memory_after_its_checkpoint_begins_anew_in_parts(real, evaluate):
    first = evaluate(limit=16, after=1000, options={"until": 2})
    assert first.record.plan.micro_batch == 0
    watcher = real.Recorder()
    last = evaluate(watcher, limit=16, options={"checkpoint": first.checkpoint, "spent_s": first.seconds})
    assert last.record.plan.micro_batch == 16
    assert watcher.epochs == [1, 2, 1, 2, 3, 4]
    assert [epoch.epoch for epoch in last.epochs] == [1, 2, 3, 4]
    assert last.record.lost_s == first.seconds


@given(st.integers(2, 2**20))
def test_halving_always_gets_smaller_and_never_below_one(size):
    assert size / 2 <= halved(size) <= size / 2 + 0.5
    assert halved(1) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
        (KeyError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    assert is_out_of_memory(error) == expected


WIDE = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, shape, copies):
        super().__init__()
        self.copies = copies
        self.gain = nn.Parameter(torch.ones(64))
        self.last = nn.Linear(64, shape.outputs)

    def forward(self, x):
        # In training three tensors of copies / 4 KiB a sample, and two more on the way back.
        x_BCF = x.flatten(1)[:, None, :].repeat(1, self.copies, 1)
        return self.last((x_BCF * self.gain).tanh().mean(1))


def build(shape, copies):
    return Model(shape, copies)
"""
COMMON = """
import json, os, pathlib, re, resource, sys
import torch
import harness

def search(copies, **options):
    space = f"space={{architecture: {{wide: {{family: 'wide:build', copies: {copies}}}}}, batch_size: 512}}"
    overrides = [space, "task={builtin: digits, limit: 640}", "budget.epochs=1", "training.precision=fp32"]
    overrides += ["search.baselines=false", "search.checks=false"]
    return harness.search("digits", overrides=overrides, trials=1, out="runs", device="cpu", trust=True, **options)

def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

def tell(result, **more):
    trial = result.trials.iloc[0]
    found = {name: str(trial[name]) for name in ("outcome", "micro_batch", "batch_size", "notes", "attempts")}
    print(json.dumps({**found, "state": result.state, "test": result.test["accuracy"], **more}))

if __name__ == "__main__":
"""
BOUNDED_PROCESS = """
    resource.setrlimit(resource.RLIMIT_DATA, ((kib("VmData") << 10) + (750 << 20),) * 2)
    tell(search(2048, workers=0))
"""
BOUNDED_GROUP = """
    group, limit = map(pathlib.Path, sys.argv[1:])
    (group / "cgroup.procs").write_text(str(os.getpid()))
    import harness.study.part
    from harness.hardware import oom_kills
    limit.write_text(str(2 * (kib("RssAnon") << 10) + (750 << 20)))  # for this process, its worker, and the model
    tell(search(2048, workers=1), kills=oom_kills())
"""


def carry_out(folder, script, *arguments):
    """Run a script beside ``wide.py`` in a process of its own; return what it tells."""
    (folder / "wide.py").write_text(WIDE)
    (folder / "script.py").write_text(COMMON + script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "script.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_adapted(found):
    micro_batch = int(found["micro_batch"])
    assert (found["outcome"], found["state"], found["batch_size"]) == ("complete", "complete", "512")
    assert micro_batch in (32, 64, 128, 256)
    assert parts(512, micro_batch) in found["notes"]
    assert 0 <= found["test"] <= 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a limit on data counts what is allocated on Linux only")
def test_a_process_at_its_own_limit_trains_in_smaller_parts(tmp_path):
    found = carry_out(tmp_path, BOUNDED_PROCESS)
    assert_adapted(found)
    assert found["attempts"] == "1"


@pytest.fixture
def group():
    """A control group of this test's own, and the file of its memory limit."""
    if sys.platform != "linux":
        pytest.skip("control groups are Linux's")
    own = next((folder for folder in group_folders(Path("/"), "memory") if (folder / "cgroup.procs").exists()), None)
    if own is None:
        pytest.skip("this process is in no memory control group")
    folder = own / f"harness-test-ladder-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group may be made here: {error}")
    try:
        limit = next((folder / n for n in ("memory.max", "memory.limit_in_bytes") if (folder / n).exists()), None)
        if limit is None:
            pytest.skip("the memory controller is not on in a group of this one")
        if (folder / "memory.swap.max").exists():
            (folder / "memory.swap.max").write_text("0")
        if (folder / "memory.swappiness").exists():
            (folder / "memory.swappiness").write_text("0")
        yield folder, limit
    finally:
        folder.rmdir()


@pytest.mark.slow
def test_a_worker_that_the_kernel_kills_for_memory_costs_half_the_parts_and_not_the_search(group, tmp_path):
    found = carry_out(tmp_path, BOUNDED_GROUP, *group)
    assert_adapted(found)
    assert found["kills"] >= 1
    assert found["attempts"] == str(1 + found["kills"])
