"""Rows of a file as series at regular times: sorted, none twice, gaps filled where they are few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from harness.data.columns import Place
from harness.data.regular import OffGrid, as_texts, distance_of, places_of
from harness.errors import DataError

FEW = 0.1
"""Share of the steps of a series that may be missing: they are filled in by straight lines."""


class One(NamedTuple):
    """One series at regular times."""

    name: str
    times: np.ndarray
    values: np.ndarray
    """float64 steps x columns, the target first."""
    ahead: int
    """So many of the last steps have no target, but all that is known ahead."""


@dataclass
class SeriesTable:
    """Columns of a file that were read, to be made into series."""

    where: str
    place: Place
    times: np.ndarray
    """datetime64 or float64."""
    groups: np.ndarray | None
    """Text: the series of each row; None where there is one."""
    columns: Mapping[str, np.ndarray]
    """float64: the target first, then those whose past is looked back on, then those that are known ahead."""
    known: Sequence[str]
    distance: tuple[str, float] | None = None
    """Frequency or number, as :func:`distance_of` has them; None: it is to be found."""
    notes: list[str] = field(default_factory=list)

    def series(self) -> list[One]:
        """Return the series in the order in which they begin in the file. Raises :class:`DataError`."""
        self._refuse_missing()
        sorted_rows = dict(self._sorted())
        if self.distance is None:
            longest = max(sorted_rows.values(), key=len)
            try:
                self.distance = distance_of(self.times[longest])
            except DataError as error:
                raise DataError(f"{self.where}: {error}; give each step a time, one as far from the next") from None
        return [self._regular(name, rows) for name, rows in sorted_rows.items()]

    def _refuse_missing(self) -> None:
        missing = np.isnat(self.times) if self.times.dtype.kind == "M" else np.isnan(self.times)
        for what, where in (("time", missing), ("series", self._without_group())):
            if where.any():
                line = self.place(int(np.argmax(where)))
                raise DataError(f"{self.where}: {line} does not say its {what}; fill it in or remove the row")

    def _without_group(self) -> np.ndarray:
        missing = np.zeros(len(self.times), np.bool_)
        if self.groups is not None:
            missing[:] = [each is None for each in self.groups]
        return missing

    def _sorted(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the rows of each series in the order of time."""
        groups = np.zeros(len(self.times), np.int64) if self.groups is None else self.groups
        shuffled = 0
        for name in dict.fromkeys(groups.tolist()):
            rows = np.flatnonzero(groups == name)
            order = np.argsort(self.times[rows], kind="stable")
            shuffled += int((order != np.arange(len(order))).any())
            rows = rows[order]
            self._refuse_double(rows)
            yield "" if self.groups is None else str(name), rows
        if shuffled:
            self.notes.append(f"{self.where}: the rows are not in the order of time; they were sorted")

    def _refuse_double(self, rows: np.ndarray) -> None:
        same = np.flatnonzero(self.times[rows][1:] == self.times[rows][:-1])
        if len(same):
            first, second = (int(rows[same[0] + place]) for place in (0, 1))
            (time,) = as_texts(self.times[rows[same[:1]]])
            hint = "" if self.groups is not None else ", or name the column that tells series apart as `group`"
            raise DataError(
                f"{self.where}: {self.place(second)} has the time {time} as {self.place(first)} has; remove one{hint}"
            )

    def _regular(self, name: str, rows: np.ndarray) -> One:
        """Return a series with a row for each time from its first value on."""
        assert self.distance is not None
        times = self.times[rows]
        try:
            every, places = places_of(times, *self.distance)
        except OffGrid as error:
            (time,) = as_texts(times[error.place : error.place + 1])
            frequency, step = self.distance
            usual = f"frequency {frequency}" if frequency else f"distance {step:g}"
            raise DataError(
                f"{self.where}: {self.place(int(rows[error.place]))} has the time {time}, which is none of those from"
                f" {as_texts(times[:1])[0]} on with the {usual} of most rows; correct it or remove the row"
            ) from None
        values = np.full((len(every), len(self.columns)), np.nan)
        values[places] = np.column_stack([column[rows] for column in self.columns.values()])
        return self._filled(name, every, values)

    def _filled(self, name: str, times: np.ndarray, values: np.ndarray) -> One:
        said = np.flatnonzero(~np.isnan(values[:, 0]))
        called = f"series {name!r}" if name else "the series"
        if not len(said):
            raise DataError(f"{self.where}: {called} has no value of its target; remove its rows")
        start, end = int(said[0]), int(said[-1]) + 1
        known = [list(self.columns).index(column) for column in self.known]
        unknown = np.isnan(values[end:, known]).any(axis=1)
        ahead = int(np.append(unknown, True).argmax()) if known else 0
        times, values = times[start : end + ahead], values[start : end + ahead]
        for place, column in enumerate(self.columns):
            until = len(values) if place in known else end - start
            self._fill(values[:until, place], times, f"{called}: column {column!r}")
        return One(name, times, values, ahead)

    def _fill(self, values: np.ndarray, times: np.ndarray, called: str) -> None:
        """Draw straight lines over gaps, in place."""
        missing = np.isnan(values)
        count = int(missing.sum())
        if not count:
            return
        first = as_texts(times[[int(np.argmax(missing))]])[0]
        if count > FEW * len(values):
            raise DataError(
                f"{self.where}: {called} has no value at {count:,} of {len(values):,} steps (the first is {first}), too"
                f" many to fill in; up to {FEW:.0%} are"
            )
        places = np.arange(len(values))
        values[missing] = np.interp(places[missing], places[~missing], values[~missing])
        self.notes.append(
            f"{self.where}: {called} has no value at {count:,} of {len(values):,} steps (the first is {first}): filled"
            " in by straight lines"
        )
