"""New samples as users give them from Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.errors import DataError, first_line


def as_array(raw: Any) -> np.ndarray:
    """Return samples as an array. Raises :class:`DataError` where they are of different lengths."""
    try:
        return np.asarray(raw)
    except ValueError as error:
        raise DataError(f"raw samples cannot be made an array ({first_line(error)}); give each as many") from None
