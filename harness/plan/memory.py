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
from collections.abc import Callable, Hashable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from harness.errors import StorageError
from harness.hardware.cpu import read_cpu
from harness.plan.calibration import Choice
from harness.store import read_json, write_json


def memory_file() -> Path:
    """Return the file of remembered choices in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness" / "calibration.json"


def remembered(what: str, shape: Hashable, measure: Callable[[], Choice]) -> Choice:
    """Return the choice of ``what`` for ``shape`` on this machine, measured now if it has never been.

    A memory that cannot be read or written costs a measurement, no more.
    """
    known = _load(memory_file())
    key = hashlib.sha256(repr((what, _machine(), torch.get_num_threads(), shape)).encode()).hexdigest()[:32]
    if key not in known:
        choice = measure()
        known[key] = {**asdict(choice), "ratio": choice.ratio if choice.ratio == choice.ratio else None}
        with contextlib.suppress(StorageError, OSError):
            memory_file().parent.mkdir(parents=True, exist_ok=True)
            with FileLock(memory_file().with_suffix(".lock")):
                # What another process has learned meanwhile is kept, and it had the first word.
                known.update(_read(memory_file()))
                write_json(memory_file(), known)
    found = known[key]
    return Choice(found["value"], found["ratio"] if found["ratio"] is not None else float("nan"), found["reason"])


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
    fields = {"value", "ratio", "reason"}
    return {key: choice for key, choice in known.items() if isinstance(choice, dict) and set(choice) == fields}


@cache
def _machine() -> str:
    """Return what a timing depends on and a shape does not say."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return json.dumps([read_cpu().model, read_cpu().isa, torch.__version__, gpus])
