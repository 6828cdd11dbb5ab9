"""What is suspicious about the samples of a task: copies across the parts, and columns that give the answer away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from harness.data.alike import alike
from harness.data.sources.source import Source
from harness.data.splits import Indices
from harness.data.suspicion import Suspicion

_LEAST = 20
"""Training samples below which a column may fit the target by chance."""
_SHOWN = 5
"""Samples of a part that are named."""
_EXACT = 1.0 - 1e-12
"""Correlation from which a column is the target itself, but for a factor and an offset."""


def suspicions(source: Source, indices: Indices) -> Iterator[Suspicion]:
    """Yield what a user should know before the scores are believed."""
    if not source.in_time:  # series come back to where they were
        yield from _copies(source, indices)
    yield from _shared_groups(source, indices)
    if isinstance(source.inputs, pd.DataFrame) and len(indices.train) >= _LEAST:
        targets = source.targets[indices.train]
        for name in source.inputs.columns:
            column = source.inputs[name].iloc[indices.train]
            each = (_gives_away(column, values, bool(source.class_names)) for values in np.atleast_2d(targets.T))
            if remark := next(filter(None, each), ""):
                remedy = "if it is known only afterwards, put it under `drop`"
                yield Suspicion("target-leak", f"column {name!r} {remark}", remedy, subject=str(name))


def _copies(source: Source, indices: Indices) -> Iterator[Suspicion]:
    codes = alike(source.inputs)
    learnt_from = codes[np.concatenate([indices.train, indices.validation])]
    found = {
        "test": (np.isin(codes[indices.test], learnt_from), indices.test),
        "validation": (np.isin(codes[indices.validation], codes[indices.train]), indices.validation),
    }
    if not any(same.any() for same, _ in found.values()):
        return
    remedy = (
        "remove the copies"
        if source.official_test or source.order is not None
        else "`split: {duplicates: together}` keeps copies in one part"
    )
    counts = [
        f"{same.sum():,} of {len(rows):,} {part} samples ({100 * same.mean():.1f} %)"
        for part, (same, rows) in found.items()
        if len(rows)
    ]
    yield Suspicion(
        "copies",
        f"{' and '.join(counts)} have the same inputs as a sample that is learnt from, so that their scores flatter",
        remedy,
        share=max(float(same.mean()) for same, rows in found.values() if len(rows)),
        examples=tuple(
            f"{part} sample {position}"
            for part, (same, rows) in found.items()
            for position in source.positions(rows[same])[:_SHOWN].tolist()
        ),
    )


def _shared_groups(source: Source, indices: Indices) -> Iterator[Suspicion]:
    """Yield the samples whose group is learnt from as well, which only parts that the data itself says can have."""
    if source.groups is None:
        return
    groups = source.groups.astype(str)
    learnt_from = groups[np.concatenate([indices.train, indices.validation])]
    found = {
        "test": (indices.test, np.isin(groups[indices.test], learnt_from)),
        "validation": (indices.validation, np.isin(groups[indices.validation], groups[indices.train])),
    }
    shared = {part: (rows, known) for part, (rows, known) in found.items() if known.any()}
    if not shared:
        return
    counts = [
        f"{known.sum():,} of {len(rows):,} {part} samples ({100 * known.mean():.1f} %)"
        for part, (rows, known) in shared.items()
    ]
    yield Suspicion(
        "shared-groups",
        f"{' and '.join(counts)} are of a group of `split.group` that is learnt from too, so that their scores flatter",
        "move each group to one part of the data, or join the parts and let them be drawn by group",
        share=max(float(known.mean()) for _, known in shared.values()),
        examples=tuple(
            f"{part}: {name!r}" for part, (rows, known) in shared.items() for name in _first(groups[rows[known]])
        ),
    )


def _first(names: np.ndarray) -> list[str]:
    return list(dict.fromkeys(names.tolist()))[:_SHOWN]


def _gives_away(column: pd.Series, targets: np.ndarray, classes: bool) -> str:
    """Return how a column alone tells the target of every training sample, or ""."""
    if column.isna().any():
        return ""
    codes, values = pd.factorize(column, sort=True)
    repeated = len(values) <= len(column) / 2
    if classes:
        one_class = _constant_within(codes, targets)
        if not one_class or not (repeated or _in_one_piece(codes, targets)):
            return ""
        return "alone tells the class of every training sample"
    if column.dtype == np.float64:
        numbers = column.to_numpy()
        if np.array_equal(numbers, targets):
            return "is equal to the target"
        if _correlation(numbers, targets) > _EXACT:
            return "is the target but for a factor and an offset"
        if _correlation(rankdata(numbers), rankdata(targets)) > _EXACT:
            return "has the order of the target"
        return ""
    return "alone tells the target of every training sample" if repeated and _constant_within(codes, targets) else ""


def _constant_within(codes: np.ndarray, targets: np.ndarray) -> bool:
    """Tell whether samples with one code have one target."""
    first = np.full(codes.max() + 1, -1)
    first[codes] = np.arange(len(codes))
    return bool((targets[first[codes]] == targets).all())


def _in_one_piece(codes: np.ndarray, targets: np.ndarray) -> bool:
    """Tell whether each class is one interval of a column, whose sorted values the codes number."""
    in_order = targets[np.argsort(codes, kind="stable")]
    return int((in_order[1:] != in_order[:-1]).sum()) == len(np.unique(targets)) - 1


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        value = abs(float(np.corrcoef(first, second)[0, 1]))
    return value if np.isfinite(value) else 0.0
