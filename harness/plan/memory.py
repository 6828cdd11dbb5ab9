"""What was measured once on this machine, kept from run to run.

Two ways that are nearly equal can come out either way when they are timed twice, and a network trained in another
layout rounds differently. So a choice is measured once per machine, torch, threads, device and shape, and remembered:
two runs of one seed make the same choices, and the second one need not measure. Deleting the file measures anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from harness.errors import StorageError
from harness.hardware.cpu import read_cpu
from harness.plan.calibration import Choice
from harness.records import NAN
from harness.store import plain, read_json, write_json


def memory_file() -> Path:
    """Return the file of remembered choices and figures in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness" / "calibration.json"


def remembered(what: str, shape: Hashable, measure: Callable[[], Choice]) -> Choice:
    """Return the choice of ``what`` for ``shape`` on this machine, measured now if it has never been.

    A memory that cannot be read or written costs a measurement, no more.
    """
    found = _recall(what, shape, lambda: asdict(measure()))
    return Choice(found["value"], _number(found["ratio"]), found["reason"])


def remembered_figures(what: str, key: Hashable, measure: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    """Return figures by name, as :func:`remembered` does a choice; what is not finite comes back as NaN.

    ``key`` says what ``what`` depends on beyond the machine, torch and its threads; it is compared by its ``repr``.
    """
    found = _recall(("figures", what), key, lambda: {"figures": dict(measure())})
    return {name: _number(value) for name, value in found["figures"].items()}


def _recall(what: Hashable, shape: Hashable, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the entry of ``what`` for ``shape``, with None for what is not finite; measured if there is none."""
    known = _load(memory_file())
    key = hashlib.sha256(repr((what, _machine(), torch.get_num_threads(), shape)).encode()).hexdigest()[:32]
    if key not in known:
        known[key] = plain(measure())
        with contextlib.suppress(StorageError, OSError):
            memory_file().parent.mkdir(parents=True, exist_ok=True)
            with FileLock(memory_file().with_suffix(".lock")):
                # What another process has learned meanwhile is kept, and it had the first word.
                known.update(_read(memory_file()))
                write_json(memory_file(), known)
    entry: dict[str, Any] = known[key]
    return entry


def _number(value: float | None) -> float:
    return NAN if value is None else value


def forget() -> None:
    """Let this process read the file anew."""
    _load.cache_clear()


@cache
def _load(path: Path) -> dict[str, Any]:
    """Return what was remembered when this process first asked, and what it has learned since."""
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    """Return what the file holds; nothing when it is not there or damaged."""
    known = None
    with contextlib.suppress(StorageError):
        known = read_json(path)
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, dict) and _whole(entry)}


def _whole(entry: Mapping[str, Any]) -> bool:
    """Tell whether the entry is a choice or figures."""
    if isinstance(figures := entry.get("figures"), dict):
        return all(value is None or isinstance(value, int | float) for value in figures.values())
    return set(entry) == {"value", "ratio", "reason"}


@cache
def _machine() -> str:
    """Return what a timing depends on and a shape does not say."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return json.dumps([read_cpu().model, read_cpu().isa, torch.__version__, gpus])
