"""Intervals of predicted values by split conformal prediction, from errors on samples that were not trained on.

Vovk, Gammerman and Shafer, 2005, Algorithmic Learning in a Random World; Lei et al., 2018, JASA 113:1094. An interval
is the prediction plus and minus the ceil((n + 1) * coverage)-th smallest of n absolute errors: it holds at least that
share of new samples like those, whatever the model and the distribution. One between two quantiles is as long as these
say, each of them shifted so that it holds the share it promises (Romano, Patterson and Candes, 2019, theorem 2,
arXiv:1905.03222).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from harness.errors import InputError, StorageError
from harness.store.files import damaged, read_object

FILE = "residuals.json"
_MOST = 100_000
"""Errors that are kept: more would not move an interval."""

Floats = NDArray[np.float64]
Ends = Callable[[NDArray[np.floating]], Floats]
"""Takes predictions, and returns the ends of their intervals beside each other in a last axis."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """Absolute errors of values in the units of the target.

    >>> Residuals("made up", np.arange(1.0, 20.0)[:, None]).ends(0.9)(np.array([5.0])).tolist()
    [[-13.0, 23.0]]
    """

    of: str
    """Whose errors they are, on which samples."""
    absolute: Floats
    """Errors x values, the smallest first."""

    def ends(self, coverage: float) -> Ends:
        """Return what makes intervals of N or N x V values. Raises :class:`InputError`."""
        half = self.absolute[_place(_share(coverage), len(self.absolute), self.of)]

        def ends(values: NDArray[np.floating]) -> Floats:
            own = half.reshape(values.shape[1:])
            return np.stack([values - own, values + own], axis=-1)

        return ends

    def as_dict(self) -> dict[str, Any]:
        """Return it for its file: a list for each value."""
        return {"of": self.of, "absolute": self.absolute.T.tolist()}


@dataclass(frozen=True, eq=False)
class QuantileErrors:
    """How far values lie above quantiles, or below.

    >>> errors = np.arange(-9.0, 10.0)[:, None] + [5.0, -5.0]
    >>> QuantileErrors("made up", (0.1, 0.9), errors).ends(0.8)(np.array([[0.0, 20.0]])).tolist()
    [[-3.0, 23.0]]
    """

    of: str
    levels: tuple[float, ...]
    errors: Floats
    """Errors x levels, values less quantiles, the smallest first."""

    def ends(self, coverage: float) -> Ends:
        """Return what makes intervals of N x Q quantiles, between two of them. Raises :class:`InputError`.

        Ends that are shifted past each other leave nothing between them, and are both put in their middle.
        """
        low, high = self._between(_share(coverage))
        place = _place(Fraction(repr(self.levels[high])), len(self.errors), self.of)
        shifts = np.array([self.errors[-1 - place, low], self.errors[place, high]])

        def ends(quantiles: NDArray[np.floating]) -> Floats:
            found: Floats = quantiles[:, [low, high]] + shifts
            return np.where(found[:, :1] > found[:, 1:], found.mean(axis=1, keepdims=True), found)

        return ends

    def _between(self, share: Fraction) -> tuple[int, int]:
        """Return the places of the two levels that so much is between, and as much below one as above the other."""
        exact = [Fraction(repr(level)) for level in self.levels]
        pairs = {
            high - low: (exact.index(low), exact.index(high))
            for low in exact
            for high in exact
            if low + high == 1 and low < high
        }
        if share in pairs:
            return pairs[share]
        said = ", ".join(f"{level:g}" for level in self.levels)
        may = " or ".join(f"{float(each):g}" for each in sorted(pairs))
        what = f"ask for {may}" if may else "train on quantiles as far from 0 as from 1, such as 0.1 and 0.9"
        raise InputError(
            f"coverage {float(share):g}: is not what two of the quantiles {said} have between them; {what}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it for its file: a list for each level."""
        return {"of": self.of, "levels": list(self.levels), "errors": self.errors.T.tolist()}


Kept = Residuals | QuantileErrors


def residuals(
    of: str, predicted: NDArray[np.floating], actual: NDArray[Any], levels: Sequence[float] = ()
) -> Kept | None:
    """Return the errors of N or N x V values, or of N x Q quantiles of N values, all in one unit.

    None where there are none, or any is not finite.
    """
    if levels:
        actual = actual.reshape(-1, 1)
    elif predicted.shape != actual.shape:
        return None
    if not len(actual):
        return None
    errors = (actual - predicted.astype(np.float64)).reshape(len(actual), -1)[:: -(-len(actual) // _MOST)]
    if not np.isfinite(errors).all():
        return None
    if levels:
        return QuantileErrors(of, tuple(levels), np.sort(errors, axis=0))
    return Residuals(of, np.sort(np.abs(errors), axis=0))


def _share(coverage: float) -> Fraction:
    if not 0.0 < coverage < 1.0:
        raise InputError(f"coverage {coverage}: is no share between 0 and 1, such as 0.9")
    return Fraction(repr(float(coverage)))


def _place(share: Fraction, count: int, of: str) -> int:
    """Return the place of the error, of so many, that this share of new ones does not exceed."""
    place = math.ceil((count + 1) * share)
    if place > count:
        raise InputError(
            f"intervals of coverage {float(share):g} take {math.ceil(share / (1 - share)):,} errors, and there are"
            f" {count:,} ({of}); ask for less coverage, or search with more validation samples"
        )
    return place - 1


class _Written(BaseModel):
    """What the file says."""

    model_config = ConfigDict(frozen=True)

    of: str
    absolute: tuple[tuple[FiniteFloat, ...], ...] = ()
    levels: tuple[FiniteFloat, ...] = ()
    errors: tuple[tuple[FiniteFloat, ...], ...] = ()


def read_residuals(folder: Path, values: int, levels: Sequence[float] = ()) -> Kept:
    """Return the errors that a model folder keeps of so many values, or of quantiles of these levels.

    Raises :class:`InputError` where it keeps none, and :class:`StorageError` where they are damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: keeps no {FILE}, from which intervals are made; search again with this version")
    try:
        written = _Written.model_validate(read_object(path))
    except ValidationError as error:
        raise damaged(path, error) from None
    kept = written.errors if levels else written.absolute
    lengths = {len(each) for each in kept}
    if len(kept) != (len(levels) or values) or len(lengths) != 1 or written.levels != tuple(levels):
        what = "quantiles" if levels else "values"
        raise StorageError(
            f"{path}: does not hold as many errors of each of {len(levels) or values} {what}; the file is damaged"
        )
    errors = np.sort(np.array(kept, np.float64).T, axis=0)
    return QuantileErrors(written.of, written.levels, errors) if levels else Residuals(written.of, errors)
