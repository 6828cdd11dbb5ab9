"""How the columns of a table are scaled and coded for a network: what ``preprocessing:`` of a space chooses.

The data are prepared once for all trials: numbers standardised, categories as codes. What a candidate asks for beyond
that is a module in front of its network, whose buffers follow from the training samples. The network is built for what
comes out of it, and knows nothing of it.

Shape legend: B batch, F numeric columns, K categorical columns, W columns of 0 and 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import InputError
from harness.models.scaling import Floats, Interpolated, RobustClip, clipped, interpolated, normal_knots
from harness.models.tables import offsets
from harness.records import Input, InputKind, TaskShape, table_inputs
from harness.spec.training import Preprocessing

Scaled = tuple[nn.Module | None, tuple[tuple[float, ...], ...]]
"""What scales numbers, and the quantiles of each column once they are scaled."""


class Recoded(nn.Module):
    """Gives the rare categories of a column one code, and columns of few categories a column of 0 and 1 for each.

    Code 0, of what is unknown or missing, stays 0, and is 0 in all of the columns.
    """

    code: Tensor
    offset: Tensor
    column: Tensor
    category: Tensor
    kept: Tensor

    def __init__(self, codes: Input, options: Preprocessing) -> None:
        super().__init__()
        recoded = _recoded(codes, options.rare)
        cardinalities = [max(each) + 1 for each in recoded]
        few = [place for place, count in enumerate(cardinalities) if 0 < count - 1 <= options.one_hot]
        kept = [place for place in range(len(cardinalities)) if place not in few]
        columns = [(place, code) for place in few for code in range(1, cardinalities[place])]
        self.columns = len(columns)
        """Of 0 and 1."""
        self.cardinalities = tuple(cardinalities[place] for place in kept)
        """Of the columns that stay codes."""
        # They follow from the data, so they are no part of the weights.
        for name, values in (
            ("code", list(itertools.chain.from_iterable(recoded))),
            ("offset", offsets(codes.cardinalities)),
            ("column", [place for place, _ in columns]),
            ("category", [code for _, code in columns]),
            ("kept", kept),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def forward(self, x_BF: Tensor, c_BK: Tensor) -> tuple[Tensor, ...]:
        """Return numbers ``B x (F + W)`` and, where any columns stay codes, these."""
        c_BK = self.code[c_BK + self.offset]
        if self.columns:
            hot_BW = c_BK[:, self.column] == self.category
            x_BF = torch.cat([x_BF, hot_BW.to(x_BF.dtype)], dim=1)
        return (x_BF, c_BK[:, self.kept]) if self.cardinalities else (x_BF,)

    def extra_repr(self) -> str:
        """Return the sizes, on which the time of a pass depends."""
        return f"columns={self.columns}, cardinalities={self.cardinalities}"


class TableInputs(nn.Module):
    """Takes the inputs of a table to those that a network is called with, which are those of ``shape``.

    Raises :class:`InputError` where the shape of the task does not say what this takes.
    """

    def __init__(self, options: Preprocessing, shape: TaskShape) -> None:
        super().__init__()
        numbers, *codes = shape.inputs
        self.numeric, quantiles = _scaled(options, numbers)
        recodes = options.rare > 1 or options.one_hot > 0
        self.recoded = Recoded(codes[0], options) if codes and recodes else None
        features, cardinalities = math.prod(numbers.sizes), codes[0].cardinalities if codes else ()
        if self.recoded is not None:
            features, cardinalities = features + self.recoded.columns, self.recoded.cardinalities
            quantiles = (*quantiles, *[()] * self.recoded.columns) if quantiles else ()
        self.shape = replace(shape, inputs=table_inputs(features, cardinalities, quantiles))

    def forward(self, x_BF: Tensor, *c_BK: Tensor) -> tuple[Tensor, ...]:
        """Return numbers and, if there are any, codes."""
        if self.numeric is not None:
            x_BF = self.numeric(x_BF)
        return (x_BF, *c_BK) if self.recoded is None else self.recoded(x_BF, *c_BK)


class Preprocessed(nn.Module):
    """A network behind what scales and codes the columns of a table for it."""

    def __init__(self, inputs: TableInputs, network: nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self.network = network

    def forward(self, *inputs: Tensor) -> object:
        """Return what the network returns."""
        return self.network(*self.inputs(*inputs))

    def learning_factors(self) -> dict[str, tuple[float, float]]:
        """Return the network's own factors of rate and decay."""
        own: Callable[[], Mapping[str, tuple[float, float]]] = getattr(self.network, "learning_factors", dict)
        return {f"network.{name}": factors for name, factors in own().items()}


def table_inputs_of(options: Preprocessing, shape: TaskShape, idle: Collection[str] = ()) -> TableInputs | None:
    """Return what scales and codes a table for a network; None where it comes in as it is.

    Options whose keys are ``idle`` do nothing. Raises :class:`InputError` where any is asked for and the task is no
    table, or does not say what it takes.
    """
    plain = {name: field.default for name, field in Preprocessing.model_fields.items()}
    asked = [name for name, value in options if value != plain[name]]
    if not asked:
        return None
    kinds = {each.kind for each in shape.inputs}
    if not kinds <= {InputKind.NUMERIC, InputKind.CATEGORICAL}:
        has = " and ".join(sorted(kinds))
        raise InputError(
            f"preprocessing.{asked[0]}: is for the columns of a table, and the task has {has} inputs; leave it out"
        )
    inputs = TableInputs(options.model_copy(update={name: plain[name] for name in idle}), shape)
    return None if inputs.numeric is None and inputs.recoded is None else inputs


def _scaled(options: Preprocessing, numbers: Input) -> Scaled:
    features, known = math.prod(numbers.sizes), numbers.distribution
    if options.numeric == "standard" or not features:
        return None, numbers.quantiles
    if len(known) != features or not all(known):
        raise InputError("preprocessing.numeric: the distribution of the task's numbers is not known; leave it out")
    if options.numeric == "robust_clip":
        return RobustClip(known, features), _along([partial(clipped, quantiles=each) for each in known], numbers)
    knots = list(map(normal_knots, known))
    return Interpolated(knots), _along([partial(interpolated, knots=each) for each in knots], numbers)


def _along(scale: Sequence[Callable[[Floats], Floats]], numbers: Input) -> tuple[tuple[float, ...], ...]:
    """Return the quantiles of each column once it is scaled; what is one number then is one of them."""
    if not numbers.quantiles:
        return ()
    scaled = (take(np.asarray(ends)).astype(np.float32) for take, ends in zip(scale, numbers.quantiles, strict=True))
    return tuple(tuple(np.unique(each_N).tolist()) for each_N in scaled)


def _recoded(codes: Input, rare: int) -> list[list[int]]:
    """Return the new code of each code of each column: those of frequent ones in their order, then that of all others.

    Raises :class:`InputError` where it is not known how often a category is.
    """
    if rare == 1:
        return [list(range(count)) for count in codes.cardinalities]
    if [len(counts) + 1 for counts in codes.counts] != list(codes.cardinalities):
        raise InputError("preprocessing.rare: how often each category is in the task is not known; leave it out")
    return [_merged(counts, rare) for counts in codes.counts]


def _merged(counts: Sequence[int], rare: int) -> list[int]:
    frequent, shared = itertools.count(1), 1 + sum(count >= rare for count in counts)
    return [0, *(next(frequent) if count >= rare else shared for count in counts)]
