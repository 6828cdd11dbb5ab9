"""Samples as arrays: new ones as users give them from Python, and which of them are equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from harness.errors import DataError, first_line


def as_array(raw: Any) -> np.ndarray:
    """Return samples as an array. Raises :class:`DataError` where they are of different lengths."""
    try:
        return np.asarray(raw)
    except ValueError as error:
        raise DataError(f"raw samples cannot be made an array ({first_line(error)}); give each as many") from None


def codes_of_equal(samples: Iterable[np.ndarray]) -> np.ndarray:
    """Return a code (N,) for each sample; those of the same bytes have the same, by their digests."""
    each = (np.ascontiguousarray(sample).reshape(-1).data for sample in samples)
    digests = np.array([hashlib.blake2b(data, digest_size=16).digest() for data in each], dtype="S16")
    return np.unique(digests, return_inverse=True)[1]
