"""What a model returns: a tensor, or tuples, lists and dicts of what it returns, however deep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor

Outputs = Tensor | Sequence["Outputs"] | Mapping[str, "Outputs"]


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
        return list(replaced) if isinstance(outputs, list) else tuple(replaced)
    return outputs


def prediction(outputs: Outputs) -> Tensor:
    """Return the first tensor: what is compared with the targets, unless the loss takes more than that."""
    return outputs if isinstance(outputs, Tensor) else next(leaves(outputs))
