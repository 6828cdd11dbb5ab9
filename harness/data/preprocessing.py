"""Preprocessing fitted on some samples, kept as plain JSON, and applied alike to any others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, TypeAdapter

from harness.data.modalities import modalities
from harness.data.part import Part
from harness.data.unusual import Unusual


def prepare(
    preprocessing: Mapping[str, Any],
    raw: Any,
    targets: np.ndarray | None = None,
    index: np.ndarray | None = None,
    unusual: Unusual | None = None,
) -> Part:
    """Return raw samples as a model takes them: the one way for those of training and test, and for new ones.

    ``raw`` is a table with the columns of the training data (others are ignored), typed or as text; an N x F array in
    their order; images N x H x W or N x C x H x W of the size and in the range of the training data's; image files;
    or series N x T or N x T x C, a list of arrays T x C, or a table of them as training's.
    ``targets`` are as :class:`Part` has them, zeros where they are not known; what the rows of a table have that
    training had not is counted in ``unusual``. Raises :class:`DataError`.
    """
    inputs, normalise = modalities[preprocessing["inputs"]].prepare(preprocessing, raw, unusual or Unusual())
    if targets is None:
        targets = np.zeros(len(inputs[0]), np.int64 if "classes" in preprocessing["target"] else np.float32)
    index = np.arange(len(inputs[0])) if index is None else index
    return Part(inputs, targets, index, normalise, modality=preprocessing["inputs"])


def check_preprocessing(value: object) -> None:
    """Raise pydantic's ValidationError, a ValueError, unless ``value`` is what ``fit_preprocessing`` returns."""
    forms: Any = reduce(or_, (each.form for each in modalities.values()))
    TypeAdapter(Annotated[forms, Discriminator("inputs")]).validate_python(value)
