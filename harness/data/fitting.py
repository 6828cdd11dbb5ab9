"""Fits the preprocessing of some samples as plain JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from harness.data.modalities import modality_of
from harness.data.sources.source import Source


def fit_preprocessing(source: Source, rows: np.ndarray) -> dict[str, Any]:
    """Return what ``prepare`` needs, fitted on the samples ``rows`` alone."""
    fitted = modality_of(source.inputs).fit(source.inputs, rows, source.name)
    columns = {"columns": list(source.columns)} if source.columns else {}
    file = {name: said for name in ("array", "separator", "encoding") if (said := getattr(source, name))}
    return {**columns, **fitted, **file, "reading": dict(source.reading), "target": _fit_target(source, rows)}


def _fit_target(source: Source, rows: np.ndarray) -> dict[str, Any]:
    if source.class_names:
        return {"name": source.target, "classes": list(source.class_names)}
    values = source.targets[rows]
    scaler = StandardScaler().fit(values.reshape(len(values), -1))
    mean, scale = (each.reshape(values.shape[1:]).tolist() for each in (scaler.mean_, scaler.scale_))
    return {"name": source.target, "mean": mean, "scale": scale}
