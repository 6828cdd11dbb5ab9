"""The list of trials that a run was asked for, as its folder records it: ``replicates.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import InputError, StorageError
from harness.records import NAN
from harness.spec import Resampling, Spec
from harness.spec.parameters import Scalar
from harness.store.files import damaged, read_object
from harness.store.runs import REPLICATES
from harness.study.decide.fixed import Replicate

SCHEMA_VERSION = 1

_Seed = Annotated[int, Field(ge=0, lt=2**63)]


class _Recorded(TypedDict):
    params: dict[str, Scalar]
    seed: _Seed
    split: _Seed | None


_LIST = TypeAdapter(list[_Recorded])


def listed_spec(spec: Spec, count: int) -> Spec:
    """Return the spec of a run of so many listed trials of a space: nothing is sampled, pruned, refitted or decided.

    The time of a search says nothing of a list, whose end is known.
    """
    plain = {"sampler": "random", "pruner": "none", "baselines": False, "first": ()}
    return spec.model_copy(
        update={
            "budget": spec.budget.model_copy(update={"trials": count, "time": None}),
            "search": spec.search.model_copy(update=plain),
            "training": spec.training.model_copy(update={"final": "keep", "threshold": None}),
        }
    )


def on_one_holdout(spec: Spec, replicates: Sequence[Replicate]) -> Spec:
    """Return the spec with each trial trained once where seeds split the samples, so that each of them is one value."""
    return spec.model_copy(update={"evaluation": Resampling()}) if splits_of(replicates) else spec


def splits_of(replicates: Sequence[Replicate]) -> dict[int, int]:
    """Return the seed of the split by that of the trial, of those that do not have the task's own split."""
    return {each.seed: each.split for each in replicates if each.split is not None}


def with_recorded(run: Path | None, asked: Sequence[Replicate]) -> tuple[Replicate, ...]:
    """Return the list of a run: what its folder has of one that is resumed, with what was asked for beyond that.

    Raises :class:`InputError` where the one is no continuation of the other, or one seed is to split in two ways.
    """
    known = read_replicates(run) if run is not None else ()
    for number, (old, new) in enumerate(zip(known, asked, strict=False)):
        if old != new:
            raise InputError(f"{run}: trial {number} of the run is not that of the list; start a new run for it")
    listed = known if len(known) > len(asked) else tuple(asked)
    splits = {each.seed: each.split for each in listed}
    if wrong := next((each for each in listed if splits[each.seed] != each.split), None):
        raise InputError(f"seed {wrong.seed} is to split the samples in two ways; give each split a seed of its own")
    return listed


def read_replicates(run: Path) -> tuple[Replicate, ...]:
    """Return the list that a run was asked for; empty for a search. Raises :class:`StorageError` if it is damaged."""
    path = run / REPLICATES
    if not path.is_file():
        return ()
    contents = read_object(path)
    if (version := contents.get("schema_version")) != SCHEMA_VERSION:
        raise StorageError(f"{path}: schema version {version!r}, this harness reads {SCHEMA_VERSION}")
    try:
        return tuple(Replicate(**each) for each in _LIST.validate_python(contents.get("trials"), strict=True))
    except ValidationError as error:
        raise damaged(path, error, "trials") from None


def as_record(replicates: Sequence[Replicate]) -> dict[str, Any]:
    """Return what ``replicates.json`` says of a list."""
    trials = [{"params": dict(each.params), "seed": each.seed, "split": each.split} for each in replicates]
    return {"schema_version": SCHEMA_VERSION, "trials": trials}


def spread(trials: Sequence[int], measured: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Return each metric of all trials, NaN where one has none, with mean and sample standard deviation of the others.

    ``count`` is how many these are; the deviation of a single one is NaN.
    """
    names = dict.fromkeys(name for metrics in measured.values() for name in metrics)
    return {name: _spread([float(measured.get(trial, {}).get(name, NAN)) for trial in trials]) for name in names}


def _spread(values: list[float]) -> dict[str, Any]:
    finite = [value for value in values if np.isfinite(value)]
    deviation = float(np.std(finite, ddof=1)) if len(finite) > 1 else NAN
    mean = float(np.mean(finite)) if finite else NAN
    return {"mean": mean, "sd": deviation, "count": len(finite), "values": values}
