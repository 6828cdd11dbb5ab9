"""The files of a run; what cannot be read is a finding, and nothing is compared with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from harness.errors import StorageError
from harness.integrity.findings import Finding, first_few
from harness.records import Outcome
from harness.store.files import is_file, read_object, read_parquet

T = TypeVar("T")


class Contents:
    """What a run holds, and what was found out about it."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.findings: list[Finding] = []
        self.unchecked: list[str] = []
        self._broken: set[str] = set()
        self._objects: dict[str, dict[str, Any] | None] = {}
        self._tables: dict[str, pd.DataFrame | None] = {}

    def has(self, name: str) -> bool:
        """Tell whether the run has a file."""
        return is_file(self.run / name)

    def read(self, name: str, reader: Callable[[Path], T]) -> T | None:
        """Return what a file holds; None where it is not there, or cannot be read, which is noted once."""
        if name in self._broken or not self.has(name):
            return None
        try:
            return reader(self.run / name)
        except StorageError as error:
            self._broken.add(name)
            self.note([self.fault(name, error)])
            return None

    def object(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object."""
        if name not in self._objects:
            self._objects[name] = self.read(name, read_object)
        return self._objects[name]

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table."""
        if name not in self._tables:
            self._tables[name] = self.read(name, read_parquet)
        return self._tables[name]

    def fault(self, name: str, error: StorageError) -> Finding:
        """Return what an error says of a file, without the path to it."""
        return Finding(name, str(error).removeprefix(f"{self.run / name}: "))

    def note(self, findings: Iterable[Finding]) -> None:
        """Keep what a check has found; of many the first few."""
        self.findings += first_few(findings)

    def leave(self, what: str) -> None:
        """Say what cannot be checked, and why."""
        self.unchecked.append(what)

    @property
    def stats(self) -> Mapping[str, Any]:
        """What ``stats.json`` says; empty where there is none."""
        return self.object("stats.json") or {}

    @cached_property
    def trials(self) -> pd.DataFrame | None:
        """The trials with their numbers as the index; None without them, or where a row is none."""
        frame = self.table("trials.parquet")
        if frame is None:
            return None
        if missing := [name for name in NEEDED if name not in frame.columns]:
            self.note([Finding("trials.parquet", f"has no column {missing[0]!r}")])
            return None
        if not frame["trial"].is_unique:
            self.note([Finding("trials.parquet", "has several rows of one trial")])
            return None
        if broken := [name for name in JSON_COLUMNS if not _decodes(frame[name])]:
            self.note([Finding("trials.parquet", f"column {broken[0]!r} does not hold JSON in every row")])
            return None
        if unknown := sorted(set(map(str, frame["outcome"])) - set(Outcome)):
            self.note([Finding("trials.parquet", "column 'outcome' holds no outcome", found=unknown[0])])
            return None
        return frame.set_index("trial", drop=False).sort_index()


JSON_COLUMNS = ("values", "candidate", "params")
NEEDED = ("trial", "outcome", "value", "seed", "epochs", "best_epoch", *JSON_COLUMNS)
"""Columns of ``trials.parquet`` that every version wrote, and that others rest on."""


def _decodes(column: pd.Series) -> bool:
    try:
        return all(isinstance(json.loads(text), dict | list) for text in column)
    except (TypeError, ValueError, RecursionError):
        return False
