"""From the series of one file or two to a source: their targets, the test part, and what is odd about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.data.columns import Reading
from harness.data.files import sha256_of_bytes
from harness.data.series import Series, checked, joined, remarks
from harness.data.sources.source import Source
from harness.data.targets import encode_targets
from harness.errors import DataError


@dataclass(frozen=True, eq=False)
class RawSeries:
    """The series of one file or two, before their targets are understood."""

    name: str
    where: str
    """The file, for messages."""
    series: Series
    targets: pd.Series
    """None where a series has no target."""
    place: Callable[[int], str]
    """Says where a series stands."""
    fingerprint: str
    notes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    """Text (N,): what the file calls the series, where it has names for them."""
    groups: np.ndarray | None = None
    """(N,): series of one group stay in one part."""
    test_series: int = 0
    """So many of the last series are from the task's test file."""

    @property
    def positions(self) -> np.ndarray:
        """Where each series stands in its own file."""
        rows = np.arange(len(self.series))
        first = len(rows) - self.test_series
        return np.where(rows < first, rows, rows - first)


def series_source(raw: RawSeries, test: RawSeries | None, *, target: str, kind: str) -> Source:
    """Return the series of a task, and those of its test file behind them. Raises :class:`DataError`."""
    for each in (raw, *([] if test is None else [test])):
        checked(each.series, each.where, each.place)
    raw = raw if test is None else _joined(raw, test)
    where = f"{raw.where}: target {target!r}"
    present = raw.targets.notna().to_numpy()
    if not present.any():
        raise DataError(f"{where} is missing of every series; name another")
    known = raw.targets[present]
    targets, class_names, target_notes = encode_targets(known, kind, where, Reading(raw.where, raw.place))
    lost = len(present) - len(known)
    dropped = (f"{raw.where}: {lost:,} series without a value of {target!r}: dropped",) if lost else ()
    series = raw.series[present]
    return Source(
        name=raw.name,
        inputs=series,
        targets=targets,
        class_names=class_names,
        target=target,
        fingerprint=raw.fingerprint,
        rows=raw.positions[present],
        labels=None if raw.labels is None else raw.labels[present],
        groups=None if raw.groups is None else raw.groups[present],
        official_test=int(present[len(present) - raw.test_series :].sum()) if raw.test_series else 0,
        notes=(*raw.notes, *dropped, *target_notes, *remarks(series, raw.where)),
    )


def _joined(raw: RawSeries, test: RawSeries) -> RawSeries:
    """Return the series of a task with those of its test file behind them."""
    ours, theirs = len(raw.series.channels), len(test.series.channels)
    if ours != theirs:
        raise DataError(f"{test.where}: has series of {theirs} channels, those of {raw.where} have {ours}")
    first, places = len(raw.series), (raw.place, test.place)
    both = raw.labels is not None and test.labels is not None
    return replace(
        raw,
        series=joined(raw.series, test.series),
        targets=pd.concat([raw.targets, test.targets], ignore_index=True),
        place=lambda row: places[0](row) if row < first else f"{places[1](row - first)} of {test.where}",
        fingerprint=sha256_of_bytes(f"{raw.fingerprint}{test.fingerprint}".encode()),
        notes=(*raw.notes, *test.notes),
        labels=np.concatenate([raw.labels, test.labels]) if both else None,
        groups=None if raw.groups is None or test.groups is None else np.concatenate([raw.groups, test.groups]),
        test_series=len(test.series),
    )
