"""The ways in which a reference model can be run on a device, and why not in others."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from harness.bench.macro.models import Reference, references
from harness.bench.rows import Case, Row, skipped
from harness.bench.workload import Setting
from harness.hardware import native_precisions

FASTEST_FIRST = ("bf16", "fp16", "tf32", "fp32")
"""What is native is meant to be faster in this order."""
COMPILERS = {"cuda": ("CC", ("gcc", "clang", "cc", "cl")), "cpu": ("CXX", ("g++", "clang++", "c++", "cl"))}
"""By kind of device: the variable that names the compiler that torch.compile calls, and what else it may find."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a model is run."""

    precision: str
    compile: bool = False
    channels_last: bool = False

    def suits(self, reference: Reference) -> bool:
        """Return whether it would make a difference to the model."""
        images = len(reference.sample) == 3
        return (images or not self.channels_last) and not (self.compile and reference.not_compiled)


def ways(setting: Setting) -> list[Way]:
    """Return the ways of the level, the most telling first.

    quick: the fastest precision alone. standard: every native precision, on CUDA compiled too. full: on a CPU the
    fastest precision compiled too, and channels_last.
    """
    native = native_precisions(setting.device)
    precisions = [name for name in FASTEST_FIRST if native.get(name) == ""]
    eager = [Way(name) for name in precisions]
    if setting.level == "quick":
        return eager[:1]
    found = [*eager, *(Way(name, compile=True) for name in _compiled(precisions, setting))]
    if setting.level == "full":
        found += [Way(way.precision, way.compile, channels_last=True) for way in found]
    return found


def unavailable(bench: str, setting: Setting) -> Iterator[Row]:
    """Yield a skipped row for every precision, and for compiling, that the device or the machine cannot do."""
    for name, reason in native_precisions(setting.device).items():
        if reason:
            yield skipped(Case(bench=bench, dtype=name, tf32=name == "tf32", threads=setting.threads), reason)
    if not _wants_compiled(setting):
        return
    if obstacle := compile_obstacle(setting.device):
        yield skipped(Case(bench=bench, compile=True, threads=setting.threads), obstacle)
        return
    for name, reference in references.items():
        if reference.not_compiled and not name.endswith("-small"):
            case = Case(bench=bench, variant=name, compile=True, threads=setting.threads)
            yield skipped(case, reference.not_compiled)


def case_for(bench: str, name: str, batch: int, way: Way, setting: Setting) -> Case:
    """Return the case of a model run in such a way."""
    sample = references[name].sample
    return Case(
        bench=bench,
        variant=name,
        shape="x".join(map(str, sample)),
        batch=batch,
        dtype=way.precision,
        tf32=way.precision == "tf32",
        layout=("channels_last" if way.channels_last else "contiguous") if len(sample) == 3 else "",
        compile=way.compile,
        threads=setting.threads,
    )


def compile_obstacle(device: torch.device) -> str:
    """Return why torch.compile cannot make kernels for the device, empty if it can."""
    if device.type not in COMPILERS:
        return f"torch.compile is not measured on {device.type}"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] < 7:
            return "torch.compile needs compute capability 7.0"
        if find_spec("triton") is None:
            return "torch.compile needs triton, which is not installed"
    variable, names = COMPILERS[device.type]
    if not any(shutil.which(name) for name in (os.environ.get(variable, ""), *names)):
        return f"torch.compile needs a compiler: found none of {', '.join(names)}"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "torch.compile needs Python.h: install Python's development headers"
    return ""


def _wants_compiled(setting: Setting) -> bool:
    return setting.level == "full" or (setting.level == "standard" and setting.device.type == "cuda")


def _compiled(precisions: list[str], setting: Setting) -> list[str]:
    """Return the precisions that are compiled too: on a CPU, where it takes minutes, the fastest alone."""
    if not _wants_compiled(setting) or compile_obstacle(setting.device):
        return []
    return precisions[:1] if setting.device.type == "cpu" else precisions
