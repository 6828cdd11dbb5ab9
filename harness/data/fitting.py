"""Fits the preprocessing of some samples as plain JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from harness.data.modalities import modality_of
from harness.data.sources.source import Source
from harness.problems import problems


def fit_preprocessing(source: Source, rows: np.ndarray) -> dict[str, Any]:
    """Return what ``prepare`` needs, fitted on the samples ``rows`` alone."""
    fitted = modality_of(source.inputs).fit(source.inputs, rows, source.name)
    columns = {"columns": list(source.columns)} if source.columns else {}
    file = {name: said for name in ("array", "separator", "encoding") if (said := getattr(source, name))}
    target = {"name": source.target, **fitted["target"]} if "target" in fitted else _fit_target(source, rows)
    return {**columns, **fitted, **file, "reading": dict(source.reading), "target": target}


def _fit_target(source: Source, rows: np.ndarray) -> dict[str, Any]:
    if source.class_names:
        return {"name": source.target, "classes": list(source.class_names)}
    values = source.targets[rows]
    names = {"names": list(source.value_names)} if source.value_names else {}
    if problems[source.kind].flags:
        count = values.shape[1]
        return {"name": source.target, **names, "mean": [0.0] * count, "scale": [1.0] * count}
    scaler = StandardScaler().fit(values.reshape(len(values), -1))
    mean, scale = (each.reshape(values.shape[1:]).tolist() for each in (scaler.mean_, scaler.scale_))
    quantiles = {"quantiles": list(source.quantiles)} if source.quantiles else {}
    return {"name": source.target, **names, "mean": mean, "scale": scale, **quantiles}
