"""What an exported model is called with: the columns of a table as they are in the data, or images.

Shape legend: N samples, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from harness.errors import InputError

OUTPUTS = ("label", "probabilities", "value")
"""Names of outputs, which no input may have too."""
MISSING_DATE = int(np.datetime64("NaT").astype(np.int64))
"""Stands for a missing date: what NumPy's NaT is as an integer."""

Kind = Literal["numbers", "dates", "categories", "image"]
KINDS: tuple[Kind, ...] = ("numbers", "dates", "categories", "image")
"""In the order in which tensors of them are given to a model."""


@dataclass(frozen=True, slots=True)
class RawInput:
    """One input: a column of a table, ``N x 1``, or images, ``N x C x H x W``."""

    name: str
    """The column's, with an underscore where an output is called so."""
    kind: Kind
    dtype: str
    """NumPy's name of it, or ``string``."""
    shape: tuple[int, ...] = (1,)
    """Of one sample."""
    column: str = ""
    categories: tuple[str, ...] = ()
    """In the order of their codes from 1; 0 is any other text."""

    def as_dict(self) -> dict[str, Any]:
        """Return what a reader of the exported file must know, JSON-able."""
        columns = {"column": self.column} if self.column else {}
        codes = {"categories": list(self.categories)} if self.categories else {}
        return {"name": self.name, "dtype": self.dtype, "shape": ["N", *self.shape], **columns, **codes}


def raw_inputs(preprocessing: Mapping[str, Any]) -> tuple[RawInput, ...]:
    """Return the inputs that preprocessing takes: numbers, then dates, then categories; or images.

    Raises :class:`InputError` for other kinds of inputs.
    """
    kind = preprocessing["inputs"]
    if not has_raw_inputs(preprocessing):
        raise InputError(
            f"export: a file with the preprocessing inside takes tables or images, and this model takes {kind}; load"
            " the run itself with `harness.load`, or use `--format safetensors`"
        )
    return _RAW[kind](preprocessing)


def has_raw_inputs(preprocessing: Mapping[str, Any]) -> bool:
    """Tell whether a file can hold the preprocessing of such inputs."""
    return preprocessing["inputs"] in _RAW


def _image(preprocessing: Mapping[str, Any]) -> tuple[RawInput, ...]:
    # float32 holds the bytes of images exactly, so it also serves for runs that did not note what they were.
    return (RawInput("image", "image", preprocessing.get("dtype", "float32"), tuple(preprocessing["image"])),)


def _columns(preprocessing: Mapping[str, Any]) -> tuple[RawInput, ...]:
    dates = [fitted["column"] for fitted in preprocessing.get("dates", ())]
    numbers = [name for name in (fitted["column"] for fitted in preprocessing["numeric"]) if not _of_date(name, dates)]
    texts = {fitted["column"]: tuple(fitted["categories"]) for fitted in preprocessing["categorical"]}
    columns: list[tuple[str, Kind, str]] = [(name, "numbers", "float64") for name in numbers]
    columns += [(name, "dates", "int64") for name in dates]
    columns += [(name, "categories", "string") for name in texts]
    names = _distinct([name for name, _, _ in columns])
    return tuple(
        RawInput(own, kind, dtype, column=column, categories=texts[column] if kind == "categories" else ())
        for own, (column, kind, dtype) in zip(names, columns, strict=True)
    )


_RAW = {"image": _image, "table": _columns}


def arrays_of(inputs: Sequence[RawInput], raw: pd.DataFrame | np.ndarray) -> dict[str, np.ndarray]:
    """Return typed raw samples by the names of inputs: ``N x 1`` each, text as objects with "" for a missing one."""
    if isinstance(raw, np.ndarray):
        return {inputs[0].name: np.ascontiguousarray(raw, inputs[0].dtype)}
    return {each.name: _values(each, raw[each.column])[:, None] for each in inputs}


def tensors_of(inputs: Sequence[RawInput], arrays: Mapping[str, np.ndarray]) -> tuple[Tensor, ...]:
    """Return one tensor for each kind of inputs: the columns of a kind side by side, categories as int64 codes."""
    return tuple(
        torch.from_numpy(np.concatenate([_coded(each, arrays[each.name]) for each in group], axis=1))
        for group in grouped(inputs).values()
    )


def grouped(inputs: Sequence[RawInput]) -> dict[Kind, list[RawInput]]:
    """Return the inputs of each kind that there is, in the order of KINDS."""
    groups = {kind: [each for each in inputs if each.kind == kind] for kind in KINDS}
    return {kind: group for kind, group in groups.items() if group}


def _of_date(name: str, dates: Sequence[str]) -> bool:
    return name.rpartition(": ")[0] in dates


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """Yield the names, with underscores where one is empty, an output's or another's."""
    taken = {"", *OUTPUTS}
    for name in names:
        while name in taken:
            name += "_"
        taken.add(name)
        yield name


def _values(each: RawInput, column: pd.Series) -> np.ndarray:
    if each.kind == "numbers":
        return column.to_numpy(np.float64)
    if each.kind == "dates":
        return column.to_numpy("datetime64[us]").astype(np.int64)
    return np.array(["" if pd.isna(text) else text for text in column], dtype=object)


def _coded(each: RawInput, values: np.ndarray) -> np.ndarray:
    if each.kind != "categories":
        return values
    codes = pd.Index(each.categories).get_indexer(pd.Index(values[:, 0]))
    return codes.astype(np.int64)[:, None] + 1
