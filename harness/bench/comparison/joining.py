"""Which rows of two runs belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable

from harness.bench.comparison.runs import CASE_COLUMNS, BenchRun
from harness.bench.rows import Case

_LOOSE = tuple(name for name in CASE_COLUMNS if name not in ("tf32", "threads"))


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
