"""Candidates that earlier runs found, to be tried first in a new search: ``--warm-start``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.records import Outcome
from harness.spec import Spec, options_of
from harness.spec.first import fitted
from harness.store import check_run
from harness.store.files import read_object, read_parquet

MOST = 5
"""So many candidates at most, of all earlier runs together: every one is a trial that the sampler does not choose."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A complete trial of an earlier run."""

    trial: int
    candidate: Mapping[str, Any]
    searched: tuple[str, ...]
    """The paths of the parameters that were searched there."""


def warm_started(spec: Spec, runs: Sequence[Path]) -> tuple[Spec, tuple[str, ...]]:
    """Return the spec with the best candidates of earlier runs before its own first ones, and what to say of it.

    Of each run the best trial comes first, then of each the second, and so on to five in all. Only the values decide
    that the runs themselves have of them; their data need not be that of the new search. What a candidate lacks in the
    new space is drawn at random. Raises :class:`InputError` where a folder is no run of a search with a table of
    trials, and where nothing in any of them is of this space.
    """
    if runs and spec.search.sampler == "grid":
        raise InputError("warm start: a grid visits every candidate in an order of its own; use another sampler")
    taken: list[dict[str, Any]] = []
    remarks: list[str] = []
    for run, found in _in_turns(runs):
        if len(taken) == MOST:
            break
        candidate, kept = fitted(spec.group, found.candidate)
        if "architecture" in kept and candidate not in taken:
            taken.append(candidate)
            remarks.append(_remark(run, found, [path for path in found.searched if path not in kept]))
    if runs and not taken:
        listed = ", ".join(options_of(spec))
        raise InputError(
            f"warm start: no complete trial of {_names(runs)} has an architecture of this space ({listed})"
        )
    search = spec.search.model_copy(update={"first": (*taken, *spec.search.first)})
    return spec.model_copy(update={"search": search}), tuple(remarks)


def _in_turns(runs: Sequence[Path]) -> Iterator[tuple[Path, _Found]]:
    """Yield the best trial of each run, then the second best of each, and so on."""
    for rank in zip_longest(*(_ranked(run) for run in runs)):
        yield from ((run, found) for run, found in zip(runs, rank, strict=True) if found is not None)


def _ranked(run: Path) -> list[_Found]:
    """Return the complete trials of a run, the best by its first objective first, the earlier of equals."""
    check_run(run)
    if not (run / "trials.parquet").is_file() or not (run / "stats.json").is_file():
        raise InputError(f"warm start: {run}: has no table of trials; end it first with --resume {run}")
    trials, objective = read_parquet(run / "trials.parquet"), read_object(run / "stats.json")["objective"]
    complete = trials[(trials["outcome"] == Outcome.COMPLETE) & trials["value"].notna()]
    best = complete.sort_values("value", ascending=objective[0]["direction"] == "minimize", kind="stable")
    rows = zip(best["trial"], best["candidate"], best["params"], strict=True)
    return [_Found(int(trial), json.loads(candidate), tuple(json.loads(params))) for trial, candidate, params in rows]


def _remark(run: Path, found: _Found, lost: Sequence[str]) -> str:
    left = f"; not of this space, so left out: {', '.join(lost)}" if lost else ""
    return f"a first candidate is trial {found.trial} of {run.resolve().name}{left}"


def _names(runs: Sequence[Path]) -> str:
    return ", ".join(map(str, runs))
