"""Which samples have the same inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.data.modality import modality_of


def alike(inputs: Any) -> np.ndarray:
    """Return a code (N,) for each sample; samples with identical inputs, a missing value included, have the same."""
    return modality_of(inputs).alike(inputs)
