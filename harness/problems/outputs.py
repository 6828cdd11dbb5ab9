"""What a model returns: a tensor, or tuples, lists and dicts of what it returns, however deep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

Outputs = Tensor | Sequence["Outputs"] | Mapping[str, "Outputs"]


class Members(NamedTuple):
    """What a model returns in training that is several members in one: each learns for itself.

    The loss is the mean of theirs. All else, such as the quality on the samples that are learned from, is of what they
    say together, which is all that the model returns in use. Shape legend: M members, B batch, O outputs.
    """

    together: Tensor
    """``B x O``."""
    each: Tensor
    """``M x B x O``."""


def leaves(outputs: object) -> Iterator[Tensor]:
    """Yield the tensors in their order; whatever else there is, such as None, is passed over."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping | tuple | list):
        for each in outputs.values() if isinstance(outputs, Mapping) else outputs:
            yield from leaves(each)


def mapped(function: Callable[[Tensor], Tensor], outputs: Outputs) -> Outputs:
    """Return the same tuples, lists and dicts with each tensor replaced by the function of it."""
    if isinstance(outputs, Tensor):
        return function(outputs)
    if isinstance(outputs, Mapping):
        return {name: mapped(function, each) for name, each in outputs.items()}
    if isinstance(outputs, tuple | list):
        replaced = (mapped(function, each) for each in outputs)
        if isinstance(outputs, Members):
            return Members._make(map(prediction, replaced))
        return list(replaced) if isinstance(outputs, list) else tuple(replaced)
    return outputs


def prediction(outputs: Outputs) -> Tensor:
    """Return the first tensor: what is compared with the targets, unless the loss takes more than that."""
    return outputs if isinstance(outputs, Tensor) else next(leaves(outputs))
