"""What an exported model is called with: the columns of a table as they are in the data, or one array of samples.

Shape legend: N samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

Kind = Literal["numbers", "dates", "categories", "image", "series", "window", "tokens", "wave"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which tensors of them are given to a model."""
COLUMNS: tuple[Kind, ...] = ("numbers", "dates", "categories")
"""Those of which there may be several; any other one is alone."""

Raw = TypeVar("Raw")


@dataclass(frozen=True, slots=True)
class RawInput:
    """One input: a column of a table, ``N x 1``, or all that there is of a sample, as ``N`` and its shape."""

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
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else a reader must know, JSON-able."""

    def as_dict(self) -> dict[str, Any]:
        """Return what a reader of the exported file must know, JSON-able."""
        columns = {"column": self.column} if self.column else {}
        codes = {"categories": list(self.categories)} if self.categories else {}
        return {"name": self.name, "dtype": self.dtype, "shape": ["N", *self.shape], **columns, **codes, **self.facts}


class RawForm(ABC, Generic[Raw]):
    """How the samples of a modality come to an exported model, and what becomes of them there."""

    @abstractmethod
    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the inputs that preprocessing takes, in the order of KINDS."""

    @abstractmethod
    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return preprocessing as a module: of a tensor for each kind of inputs it makes what the network takes.

        It does what :mod:`harness.data.preprocessing` does, in operations that ``torch.export`` and ONNX have.
        """

    @abstractmethod
    def arrays(self, fitted: Mapping[str, Any], raw: Raw) -> dict[str, np.ndarray]:
        """Return raw samples by the names of inputs."""

    @abstractmethod
    def made_up(self, fitted: Mapping[str, Any]) -> Raw:
        """Return samples of extreme and unseen values, and usual ones between; the same every time."""


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


def _coded(each: RawInput, values: np.ndarray) -> np.ndarray:
    if each.kind != "categories":
        return values
    codes = pd.Index(each.categories).get_indexer(pd.Index(values[:, 0]))
    return codes.astype(np.int64)[:, None] + 1
