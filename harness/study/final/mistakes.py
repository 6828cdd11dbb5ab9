"""The test samples that the final model got most wrong, small enough to be shown in a report."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from harness.data import Dataset
from harness.data.raw_texts import Texts
from harness.data.series import Series, filled

SHOWN = 24
"""Samples that are kept."""
COLUMNS = 12
"""Columns of a table that are kept of each, the first ones of more."""
SIDE = 96
"""Pixels of a picture's longer side at most."""
CHARACTERS = 200
"""Of a text that are kept."""


def describe_mistakes(dataset: Dataset, predictions: pd.DataFrame, worst: np.ndarray) -> list[dict[str, Any]]:
    """Return what ``stats.json`` says of the first of the ``worst`` places in ``predictions``.

    ``predictions`` are those of the test samples as ``predictions.parquet`` has them.
    """
    worst = worst[:SHOWN]
    raw = dataset.raw_test(worst)
    rows = predictions.iloc[worst].to_dict("records")
    return [{**_told(row), **seen} for row, seen in zip(rows, shown(raw), strict=True)]


@singledispatch
def shown(raw: Any) -> list[dict[str, Any]]:
    """Return what can be shown of samples as they were read: a ``row``, a ``picture``, a ``text``, or nothing."""
    return [{} for _ in range(len(raw))]


@shown.register
def _rows(raw: pd.DataFrame) -> list[dict[str, Any]]:
    first = raw[list(raw.columns[:COLUMNS])]
    return [{"row": {str(name): _text(value) for name, value in row.items()}} for row in first.to_dict("records")]


@shown.register
def _pictures(raw: np.ndarray) -> list[dict[str, Any]]:
    return [{"picture": _png(x_CHW)} if x_CHW.shape[0] in (1, 3) else {} for x_CHW in _levels(raw)]


@shown.register
def _texts(raw: Texts) -> list[dict[str, Any]]:
    lines = (" ".join(text[: 2 * CHARACTERS].split()) for text in raw.values)
    return [{"text": line if len(line) <= CHARACTERS else f"{line[: CHARACTERS - 1]}…"} for line in lines]


@shown.register
def _curves(raw: Series) -> list[dict[str, Any]]:
    return [{"picture": _curve(x_TC[:steps])} for x_TC, steps in zip(filled(raw), raw.lengths, strict=True)]


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return which sample it is, what is right and what was predicted."""
    name = row.get("file", row.get("row"))
    named = {"name": str(name)} if name is not None else {}
    if "target_name" not in row:
        return {
            "index": row["index"],
            **named,
            "target": row["target"],
            "predicted": row["predicted"],
            "confidence": None,
        }
    told = {"target": row["target_name"], "predicted": row["predicted_name"]}
    return {"index": row["index"], **named, **told, "confidence": row[f"probability_{row['predicted']}"]}


def _text(value: Any) -> str:
    """Return a cell as a reader of the file would expect it; nothing for a missing one."""
    if pd.isna(value):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _levels(x_NCHW: np.ndarray) -> np.ndarray:
    """Return images as uint8, from the darkest level of all of them to the brightest: some data use a few levels."""
    levels = x_NCHW.astype(np.float64)
    low, high = (float(levels.min()), float(levels.max())) if levels.size else (0.0, 0.0)
    scaled: np.ndarray = ((levels - low) * (255.0 / (high - low) if high > low else 0.0)).round().astype(np.uint8)
    return scaled


def _png(x_CHW: np.ndarray) -> str:
    """Return a grey or colour image as a small PNG in base64."""
    pixels_HWC = x_CHW.transpose(1, 2, 0)
    return _encoded(Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC))


def _curve(x_TC: np.ndarray) -> str:
    """Return the channels of a series as lines, each from its lowest to its highest value, the first one darkest."""
    side = 2 * SIDE  # made smaller afterwards, which smooths the lines
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    across = np.linspace(4, side - 5, max(2, len(x_TC)))
    for place, x_T in reversed(list(enumerate(np.atleast_2d(x_TC.T)))):
        low, spread = x_T.min(), np.ptp(x_T)
        share = (x_T - low) / spread if spread > 0 else np.full(len(x_T), 0.5)
        down = np.resize(side - 5 - share * (side - 9), len(across))
        draw.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=200 * place // x_TC.shape[1], width=3)
    return _encoded(image)


def _encoded(image: Image.Image) -> str:
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
