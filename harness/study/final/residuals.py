"""Intervals of predicted values by split conformal prediction, from errors on samples that were not trained on.

Vovk, Gammerman and Shafer, 2005, Algorithmic Learning in a Random World; Lei et al., 2018, JASA 113:1094. An interval
is the prediction plus and minus the ceil((n + 1) * coverage)-th smallest of n absolute errors: it holds at least that
share of new samples like those, whatever the model and the distribution.
"""

from __future__ import annotations

import math
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


@dataclass(frozen=True, eq=False)
class Residuals:
    """Absolute errors in the units of the target.

    >>> Residuals("made up", np.arange(1.0, 20.0)[:, None]).half_widths(0.9)
    array([18.])
    """

    of: str
    """Whose errors they are, on which samples."""
    absolute: NDArray[np.float64]
    """Errors x values, the smallest first."""

    def half_widths(self, coverage: float) -> NDArray[np.float64]:
        """Return half of the length of an interval, for each value. Raises :class:`InputError`."""
        if not 0.0 < coverage < 1.0:
            raise InputError(f"coverage {coverage}: is no share between 0 and 1, such as 0.9")
        share, count = Fraction(repr(float(coverage))), len(self.absolute)
        place = math.ceil((count + 1) * share)
        if place > count:
            raise InputError(
                f"intervals of coverage {coverage:g} take {math.ceil(share / (1 - share)):,} errors, and there are"
                f" {count:,} ({self.of}); ask for less coverage, or search with more validation samples"
            )
        widths: NDArray[np.float64] = self.absolute[place - 1]
        return widths

    def as_dict(self) -> dict[str, Any]:
        """Return it for its file: a list for each value."""
        return {"of": self.of, "absolute": self.absolute.T.tolist()}


def residuals(of: str, predicted: np.ndarray, actual: np.ndarray) -> Residuals | None:
    """Return the errors of N or N x V values in one unit; None where there are none, or any is not finite."""
    if predicted.shape != actual.shape or not len(actual):
        return None
    errors = np.abs(predicted.astype(np.float64) - actual).reshape(len(actual), -1)
    if not np.isfinite(errors).all():
        return None
    return Residuals(of, np.sort(errors[:: -(-len(errors) // _MOST)], axis=0))


class _Written(BaseModel):
    """What the file says."""

    model_config = ConfigDict(frozen=True)

    of: str
    absolute: tuple[tuple[FiniteFloat, ...], ...]


def read_residuals(folder: Path, values: int) -> Residuals:
    """Return the errors that a model folder keeps of so many values.

    Raises :class:`InputError` where it keeps none, and :class:`StorageError` where they are damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: keeps no {FILE}, from which intervals are made; search again with this version")
    try:
        written = _Written.model_validate(read_object(path))
    except ValidationError as error:
        raise damaged(path, error) from None
    lengths = {len(each) for each in written.absolute}
    if len(written.absolute) != values or len(lengths) != 1:
        raise StorageError(f"{path}: does not hold as many errors of each of {values} values; the file is damaged")
    return Residuals(written.of, np.sort(np.array(written.absolute, np.float64).T, axis=0))
