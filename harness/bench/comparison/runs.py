"""A run of the benchmark as it is read from its folder, and which rows of two runs belong together."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.bench.comparison.differences import device_class, device_name
from harness.bench.frames import read_bench
from harness.bench.rows import Case

CASE_COLUMNS = tuple(each.name for each in dataclasses.fields(Case))
_LOOSE = tuple(name for name in CASE_COLUMNS if name not in ("tf32", "threads"))
COMPLETE = "complete"
"""State of a run that came to its end."""


@dataclass(frozen=True)
class BenchRun:
    """A run as it was read."""

    path: str
    rows: Mapping[Case, Mapping[str, Any]]
    rounds: Mapping[Case, tuple[tuple[float, ...], ...]]
    """Seconds of each block of each round, in the order of time."""
    env: Mapping[str, Any]

    @property
    def device(self) -> str:
        """The model of the device."""
        return device_name(self.env)

    @property
    def described(self) -> str:
        """The model of the device with its class."""
        kind = device_class(self.env)
        return f"{self.device} ({kind})" if self.device != kind else kind

    @property
    def state(self) -> str:
        """``complete``, ``interrupted``, or ``running`` where it was killed."""
        return str(self.env.get("state", COMPLETE))


def load_bench(path: Path) -> BenchRun:
    """Read a run of the benchmark. Raises :class:`InputError` or :class:`StorageError`, as :func:`read_bench` does."""
    frame, blocks, env = read_bench(path)
    rounds: dict[Case, tuple[tuple[float, ...], ...]] = {}
    if len(blocks):
        ordered = blocks.sort_values(["round", "block"], kind="stable")
        for key, group in ordered.groupby(list(CASE_COLUMNS), sort=False, dropna=False):
            seconds = group.groupby("round")["seconds"]
            rounds[_case(dict(zip(CASE_COLUMNS, key, strict=True)))] = tuple(
                tuple(map(float, each)) for _, each in seconds
            )
    rows = {_case(record): {str(name): value for name, value in record.items()} for record in frame.to_dict("records")}
    return BenchRun(str(path), rows, rounds, env)


def join_runs(a: BenchRun, b: BenchRun) -> list[tuple[Case, Case]]:
    """Return the cases that belong together, and those of A whose whole group came to nothing in B.

    A group that dies, hangs or has no time leaves one row that has nothing but the name of its bench: that is the
    partner of every case of A that B would have measured after it.
    """
    pairs = dict(join(a.rows, b.rows))
    for case, row in a.rows.items():
        whole = Case(bench=case.bench)
        if row["status"] == "ok" and case not in pairs and b.rows.get(whole, row)["status"] != "ok":
            pairs[case] = whole
    return [(case, pairs[case]) for case in a.rows if case in pairs]


def join(a: Collection[Case], b: Collection[Case]) -> list[tuple[Case, Case]]:
    """Return the cases that belong together: the same in everything, else in all but TF32 and threads if no other is.

    The order is that of ``a``.
    """
    pairs = {case: case for case in a if case in set(b)}
    rest_a, rest_b = ([case for case in cases if case not in pairs] for cases in (a, b))
    partner = _unique(rest_b, _loose)
    pairs |= {case: partner[key] for key, case in _unique(rest_a, _loose).items() if key in partner}
    return [(case, pairs[case]) for case in a if case in pairs]


def _unique(cases: Collection[Case], key: Callable[[Case], Hashable]) -> dict[Hashable, Case]:
    times = Counter(map(key, cases))
    return {key(case): case for case in cases if times[key(case)] == 1}


def _loose(case: Case) -> Hashable:
    return tuple(getattr(case, name) for name in _LOOSE)


def _case(record: Mapping[Any, Any]) -> Case:
    kinds = {"batch": int, "threads": int, "tf32": bool, "compile": bool}
    return Case(
        **{
            name: kinds.get(name, str)(record[name]) if not pd.isna(record[name]) else kinds.get(name, str)()
            for name in CASE_COLUMNS
        }
    )
