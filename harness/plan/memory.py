"""What was measured once: one small file for each answer, in the folder of the run and in the user's cache.

Two ways that are nearly equal can come out either way when they are timed twice, and a network trained in another
layout rounds differently. So a choice is measured once per machine, torch, threads, device and shape, and kept. A run
looks at its own record first, which resuming it or following it replays, then at what the machine remembers from other
runs, and writes whatever it goes by into its record. The first who writes an answer has the word; deleting a file
measures anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from harness.cache import user_cache
from harness.errors import StorageError
from harness.hardware.cpu import read_cpu
from harness.hardware.nvml import open_nvml
from harness.plan.calibration import Choice
from harness.records import NAN
from harness.store import plain, read_json, write_first, write_json

KEYS = 2
"""Version of what the keys hold: answers under earlier ones are not found, and measured anew. 1: only shapes."""

Entry = Mapping[str, Any]
"""One answer as its file holds it: ``what`` it is about, with a choice's fields or with ``figures``."""


def cache_folder() -> Path:
    """Return where this machine keeps what its runs have measured, in the user's cache."""
    return user_cache() / "calibration"


@dataclass(frozen=True, slots=True)
class Memory:
    """Answers as the run has recorded them, else as the machine remembers them, else as they are measured now.

    An answer that is damaged is measured anew, and a folder that cannot be written costs measurements, no more.
    """

    record: Path | None = None
    """The folder of the run's own answers, which is there already or not on this machine; None: no run is recorded."""
    follows: str = ""
    """The run whose record this one began with."""
    shared: bool = True
    """Whether what other runs of this machine have found counts, and is told to them."""

    def choice(
        self,
        what: str,
        shape: Hashable,
        options: Sequence[str],
        measure: Callable[[], Choice],
        *,
        confirm: Callable[[Choice], Choice] | None = None,
    ) -> Choice:
        """Return which of ``options`` was chosen as ``what`` for ``shape``, measured now if it never was.

        ``confirm`` is asked what holds now, where only another run of this machine has chosen.
        """

        def valid(entry: Entry) -> bool:
            right = {"value": str, "ratio": float | int | None, "reason": str}
            return all(isinstance(entry.get(name, ...), kind) for name, kind in right.items()) and (
                entry["value"] in options
            )

        found = self._recall(
            what,
            (what, shape),
            valid,
            lambda: asdict(measure()),
            (lambda entry: asdict(confirm(_as_choice(entry)))) if confirm else None,
        )
        return _as_choice(found)

    def figures(self, what: str, key: Hashable, measure: Callable[[], Mapping[str, float]]) -> dict[str, float]:
        """Return figures by name, as :meth:`choice` does a choice; what is not finite comes back as NaN.

        ``key`` says what ``what`` depends on beyond the machine, torch and its threads; it is compared by its ``repr``.
        """

        def valid(entry: Entry) -> bool:
            figures = entry.get("figures")
            return isinstance(figures, dict) and all(
                isinstance(value, float | int | None) for value in figures.values()
            )

        found = self._recall(what, (("figures", what), key), valid, lambda: {"figures": dict(measure())})
        return {name: _number(value) for name, value in found["figures"].items()}

    def of_this_run(self) -> Memory:
        """Return the memory without what other runs have found, for what one must measure itself."""
        return replace(self, shared=False)

    def _recall(
        self,
        what: str,
        key: Hashable,
        valid: Callable[[Entry], bool],
        measure: Callable[[], Entry],
        confirm: Callable[[Entry], Entry] | None = None,
    ) -> Entry:
        name = f"{_digest(key)}.json"
        if self.record and (recorded := _read(self.record / name, valid)):
            return recorded
        path = cache_folder() / name
        found = _read(path, valid) if self.shared else None
        if found is None:
            found = {"what": what, **measure()}
            if self.shared:
                with suppress(OSError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                found = _keep(path, found, valid)
        elif confirm:
            found = {"what": what, **confirm(found)}
        if self.record is None:
            return found
        if self.follows and "reason" in found:
            found = {**found, "reason": f"{found['reason']}; not in the record of {self.follows}"}
        return _keep(self.record / name, found, valid)


@cache
def machine() -> Mapping[str, Any]:
    """Return what a timing depends on and a shape does not say."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    driver = {"driver": open_nvml().driver_version} if gpus else {}
    return {"cpu": read_cpu().model, "isa": read_cpu().isa, "torch": torch.__version__, "gpus": gpus, **driver}


def _digest(key: Hashable) -> str:
    facts = json.dumps(plain(machine()))
    return hashlib.sha256(repr((KEYS, facts, torch.get_num_threads(), key)).encode()).hexdigest()[:32]


def _keep(path: Path, entry: Entry, valid: Callable[[Entry], bool]) -> Entry:
    """Write an entry unless a good one is there; return the one that counts."""
    with suppress(StorageError):
        if not write_first(path, json.dumps(plain(entry), ensure_ascii=False) + "\n"):
            if (first := _read(path, valid)) is not None:
                return first
            write_json(path, entry)
    return entry


def _read(path: Path, valid: Callable[[Entry], bool]) -> Entry | None:
    """Return what the file holds; None when it is not there or damaged."""
    with suppress(StorageError):
        entry = read_json(path)
        if isinstance(entry, dict) and valid(entry):
            return entry
    return None


def _as_choice(entry: Entry) -> Choice:
    return Choice(entry["value"], _number(entry["ratio"]), entry["reason"])


def _number(value: float | None) -> float:
    return NAN if value is None else value
