"""Samples as arrays: new ones as users give them from Python, and which of them are equal."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from harness.errors import DataError, first_line


def as_array(raw: Any) -> np.ndarray:
    """Return samples as an array. Raises :class:`DataError` where they are of different lengths."""
    try:
        return np.asarray(raw)
    except ValueError as error:
        raise DataError(f"raw samples cannot be made an array ({first_line(error)}); give each as many") from None


def codes_of_equal(array: np.ndarray) -> np.ndarray:
    """Return a code (N,) for each sample of an array; those of the same bytes have the same, by their digests."""
    samples = np.ascontiguousarray(array).reshape(len(array), -1)
    digests = np.array([hashlib.blake2b(sample.data, digest_size=16).digest() for sample in samples], dtype="S16")
    return np.unique(digests, return_inverse=True)[1]
