"""Series to forecast: what tells the future, what stands still, too little history, and levels that change.

Their samples overlap, so that it is the series that are looked at: steps up to the end of the validation part, and
those of the test part once that is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harness.data import Dataset
from harness.data.regular import as_texts
from harness.data.suspicion import Suspicion
from harness.data.windows import Layout, Windows
from harness.study.checks.drift import code_of
from harness.study.checks.sample import Floats
from harness.study.checks.samples import MOST_SHARE, OF_OUTLIERS, far

SERIES = 2_000
"""Most series that are looked at: the first ones."""
HORIZONS = 5
"""Horizons end to end that the training steps of all series must hold beside what is looked back on."""
CHANGES = 10
"""Horizons end to end before a span from which its change of level is judged: fewer do not tell what is usual."""
_SHIFTED = 0.05
"""Of several series the share whose level changed from which it is told."""
_LEAST = 0.01
"""Of all that a series spans, a change of level that is worth a word."""
_SHOWN = 5
_CLOSE = 1e-9
"""Of the spread of a column, by which equal values may differ."""


class Span(NamedTuple):
    """A series up to the end of a part of it."""

    name: str
    times: np.ndarray
    values: Floats
    """Steps x columns, the target first, from its first step to the end of the part."""
    start: int
    """The step with which the part begins."""

    @property
    def called(self) -> str:
        """The series, for messages."""
        return f"series {self.name!r}" if self.name else "the series"


def noticed(dataset: Dataset) -> Iterator[Suspicion]:
    """Yield what is odd about the steps to learn from."""
    places = [np.arange(len(part)) for part in (dataset.train, dataset.validation)]
    windows = dataset.raw_to_learn_from(*places)
    learnt, spans = windows.take(places[0]), list(spans_of(windows.take(len(places[0]) + places[1])))
    yield from _leaks(spans, windows.layout)
    yield from _still(spans)
    yield from _short(learnt, windows.layout)
    yield from _outliers(spans, windows.layout)
    yield from shifts(spans, windows.layout, "validation")


def noticed_of_test(dataset: Dataset) -> Iterator[Suspicion]:
    """Yield whether the level of series changed with the test part, which is open."""
    windows = dataset.raw_test(np.arange(dataset.test_size))
    yield from shifts(list(spans_of(windows)), windows.layout, "test")


def spans_of(windows: Windows) -> Iterator[Span]:
    """Yield the part of each series that samples predict, with all that is before it."""
    numbers, places, counts = np.unique(windows.series[windows.firsts - 1], return_index=True, return_counts=True)
    for number, place, count in zip(numbers[:SERIES], places, counts, strict=False):
        first, (start, last) = int(np.searchsorted(windows.series, number)), windows.firsts[[place, place + count - 1]]
        rows = slice(first, last + windows.layout.horizon)
        yield Span(windows.names[number], windows.times[rows], windows.values[rows], int(start) - first)


def shifts(spans: list[Span], layout: Layout, part: str) -> Iterator[Suspicion]:
    """Yield the series whose level changes in a part as it never did before.

    A change is that of the mean over a horizon from the one over as many steps a season or more before. It is told
    where it lies outside of all changes before the part by more than these span, and there are enough to tell.
    """
    judged = [(span, change) for span in spans if (change := _change(span, layout))]
    found = [(span, change) for span, change in judged if change.shifted]
    if not found or len(found) < _SHIFTED * len(judged):
        return
    found.sort(key=lambda each: -each[1].beyond)
    many = f"{len(found):,} of {len(judged):,} series change their level" if len(judged) > 1 else "the level changes"
    span, change = found[0]
    yield Suspicion(
        code_of(part),
        f"{many} in the {part} part as never before: {_told(span, change, layout)}",
        "a score on one says little of the other: look what happened, begin training after it, say it by a column "
        "under `known`, or learn logarithms (`transform: log`) of what grows by shares",
        share=len(found) / len(judged),
        examples=tuple(f"{each.called}: {_told(each, moved, layout)}" for each, moved in found[1:_SHOWN]),
    )


class _Change(NamedTuple):
    """The largest change of level in a part beside those before it."""

    step: int
    value: float
    low: float
    high: float
    least: float
    """Width that counts at least, where a series repeats itself to the bit."""

    @property
    def beyond(self) -> float:
        """How far it lies outside of what was before, in widths of that."""
        return max(self.value - self.high, self.low - self.value, 0.0) / max(self.high - self.low, self.least)

    @property
    def shifted(self) -> bool:
        """Whether it is no usual one."""
        return self.beyond > 1.0


def _change(span: Span, layout: Layout) -> _Change | None:
    """Return the change that is furthest from those before the part; None where these are too few."""
    values = np.log(span.values[:, 0]) if layout.log else span.values[:, 0]
    horizon, back = layout.horizon, _back(layout)
    if span.start - back < CHANGES * horizon:
        return None
    sums = np.concatenate([[0.0], np.cumsum(values - values[0])])
    means = (sums[horizon:] - sums[:-horizon]) / horizon
    changes = means[back:] - means[:-back]
    before = changes[: span.start - horizon - back + 1]
    inside = np.arange(span.start, len(values) - horizon + 1, horizon)
    low, high = float(before.min()), float(before.max())
    if low == high:  # it stood still, which is told as that
        return None
    away = np.maximum(changes[inside - back] - high, low - changes[inside - back])
    most = int(away.argmax())
    value, least = float(changes[inside[most] - back]), max(_LEAST * float(np.ptp(values)), 1e-300)
    return _Change(int(inside[most]), value, low, high, least)


def _back(layout: Layout) -> int:
    """Return how many steps before a mean is that from which it changed: a horizon or more, in whole seasons."""
    return layout.season * -(-layout.horizon // layout.season)


def _told(span: Span, change: _Change, layout: Layout) -> str:
    (time,) = as_texts(span.times[[change.step]])
    of = "the mean logarithm" if layout.log else "the mean"
    return (
        f"from {time} on {of} of {layout.horizon} steps is {change.value:+.3g} from that {_back(layout)} steps before, "
        f"and such changes were {change.low:+.3g} to {change.high:+.3g} until then"
    )


def _leaks(spans: list[Span], layout: Layout) -> Iterator[Suspicion]:
    """Yield the columns that are the target itself, at the same time or moved so that they tell what is to come."""
    names, known = layout.columns, len(layout.columns) - len(layout.known)
    for column in range(1, len(names)):
        # What is known ahead tells the future up to the steps of the horizon after it; the past, what is ahead of it.
        moves = range(1 - layout.horizon, layout.horizon + 1) if column >= known else range(1, layout.horizon + 1)
        move = next((move for move in sorted(moves, key=abs) if _moved(spans, column, move)), None)
        if move is not None:
            steps = "1 step" if abs(move) == 1 else f"{abs(move)} steps"
            when = f" {steps} {'later' if move > 0 else 'before'}" if move else ""
            of = f"{len(spans):,} series" if len(spans) > 1 else spans[0].called
            where = "`known`" if column >= known else "`past`"
            yield Suspicion(
                "target-leak",
                f"column {names[column]!r} is the target{when}, in all steps of {of} to learn from",
                f"it is not known when a forecast is made: take it out of {where}",
                subject=names[column],
            )


def _moved(spans: list[Span], column: int, move: int) -> bool:
    """Tell whether a column is the target of so many steps later in all series."""
    pairs = []
    for span in spans:
        target, other = span.values[:, 0], span.values[:, column]
        pairs.append((target[move:], other[: len(other) - move]) if move >= 0 else (target[:move], other[-move:]))
    long = [(target, other) for target, other in pairs if len(target)]
    if not all(np.abs(target - other).max() <= _CLOSE * np.ptp(target) for target, other in long):
        return False
    return any(np.ptp(target) > 0.0 for target, _ in long)


def _still(spans: list[Span]) -> Iterator[Suspicion]:
    still = [span for span in spans if np.ptp(span.values[: span.start, 0]) == 0.0]
    if still:
        yield Suspicion(
            "empty",
            f"{len(still):,} of {len(spans):,} series have one value in every step before the validation part",
            "look whether they were recorded, and leave them out",
            share=len(still) / len(spans),
            examples=tuple(f"{span.called}: {span.values[0, 0]:.6g}" for span in still[:_SHOWN]),
        )


def _short(learnt: Windows, layout: Layout) -> Iterator[Suspicion]:
    """Yield where the training steps hold few horizons end to end, or no season twice."""
    series, counts = np.unique(learnt.series[learnt.firsts - 1], return_counts=True)
    ahead = counts + layout.horizon - 1
    steps, horizons = int(ahead.max()) + layout.window, int((ahead // layout.horizon).sum())
    whose = "the longest series" if len(series) > 1 else "the series"
    reasons = []
    if horizons < HORIZONS:
        reasons.append(f"the training steps hold {horizons} horizons of {layout.horizon} end to end")
    if layout.season > 1 and steps < 2 * layout.season:
        reasons.append(f"{whose} has {steps:,} training steps, less than two seasons of {layout.season}")
    if reasons:
        yield Suspicion(
            "short-history",
            f"{' and '.join(reasons)}: so much can be remembered, and little learnt",
            "lower `horizon`, `window` or `split.validation`, add earlier steps, or compare with the naive forecasts",
        )


def _outliers(spans: list[Span], layout: Layout) -> Iterator[Suspicion]:
    """Yield the few values that lie far from all others of their series."""
    for column, name in enumerate(layout.columns):
        places = [far(span.values[:, column]) for span in spans]
        count, steps = sum(map(len, places)), sum(len(span.values) for span in spans)
        if 0 < count <= max(1.0, MOST_SHARE * steps):
            told = [_value(span, column, step) for span, rows in zip(spans, places, strict=True) for step in rows]
            yield Suspicion(
                "outliers",
                f"column {name!r} has {count:,} of {steps:,} values far from all others of their series",
                OF_OUTLIERS,
                subject=name,
                share=count / steps,
                examples=tuple(told[:_SHOWN]),
            )


def _value(span: Span, column: int, step: int) -> str:
    (time,) = as_texts(span.times[[step]])
    return f"{f'{span.name}, ' if span.name else ''}{time}: {span.values[step, column]:.6g}"
