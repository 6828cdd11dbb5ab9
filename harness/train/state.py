"""What modules and optimisers hold, as named tensors and JSON, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.errors import InputError, StorageError

IMPLEMENTATION = ("capturable", "foreach", "fused")
"""Options of a parameter group that say how this device does its steps, not what they do."""


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer once, tied ones by their first name, as real views of their memory.

    Buffers are among them that a state dict leaves out.
    """
    return as_real([*model.named_parameters(), *model.named_buffers()])


def as_real(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Return views of the tensors' memory, with a last dimension of 2 for complex numbers, which files may lack."""
    return {
        name: torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        for name, tensor in tensors
    }


def check_fit(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise :class:`StorageError` unless both have the same names, shapes and dtypes."""
    for name in sorted(own.keys() ^ saved.keys()):
        where = "the checkpoint" if name in own else "the model"
        raise StorageError(f"checkpoint is of another candidate: {name} is not in {where}; start anew")
    for name, tensor in own.items():
        found, wanted = (f"{t.dtype} {tuple(t.shape)}" for t in (saved[name], tensor))
        if found != wanted:
            raise StorageError(f"checkpoint is of another candidate: {name} is {found}, not {wanted}; start anew")


def copy_into(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Overwrite the tensors in place, whatever their device and layout."""
    for name, tensor in own.items():
        tensor.copy_(saved[name])


def flatten(value: Any, prefix: str, tensors: dict[str, Tensor]) -> Any:
    """Return nested containers as JSON that :func:`unflatten` reverses exactly; ``tensors`` gets the tensors in them.

    Raises :class:`InputError` for anything that is neither container, tensor, number, text nor None.
    """
    if isinstance(value, Tensor):
        name = f"{prefix}{len(tensors)}"
        tensors.update(as_real([(name, value)]))
        return {"complex" if value.is_complex() else "tensor": name}
    if isinstance(value, Mapping):
        return {"mapping": [[key, flatten(item, prefix, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [flatten(item, prefix, tensors) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"optimizer: a {type(value).__name__} in its state cannot be kept in a checkpoint")


def unflatten(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what :func:`flatten` was given. Raises KeyError or ValueError for anything else."""
    match node:
        case {"tensor": name}:
            return tensors[name]
        case {"complex": name}:
            return torch.view_as_complex(tensors[name])
        case {"mapping": pairs}:
            return {key: unflatten(item, tensors) for key, item in pairs}
        case {"tuple": items}:
            return tuple(unflatten(item, tensors) for item in items)
        case dict():
            raise ValueError(f"unknown kind {list(node)}")
        case list():
            return [unflatten(item, tensors) for item in node]
        case _:
            return node


def fitted(optimizer: Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict as this optimiser can load it, to go on with this device's implementation.

    What has the shape of its parameter gets its memory layout too: fused steps walk through both side by side. Raises
    LookupError, TypeError, ValueError or AttributeError for the state of another optimiser.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries = {
        number: {name: _laid_out(value, parameters[number]) for name, value in of_one.items()}
        for number, of_one in state["state"].items()
    }
    groups = [
        {**saved, **{name: own[name] for name in IMPLEMENTATION if name in own}}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    for saved, own in zip(groups, optimizer.param_groups, strict=True):
        if len(saved["params"]) != len(own["params"]):
            raise ValueError("a group of parameters has another size")
    return {"state": entries, "param_groups": groups}


def _laid_out(value: Any, like: Tensor) -> Any:
    if not isinstance(value, Tensor) or value.shape != like.shape:
        return value
    return torch.empty_like(like, dtype=value.dtype, device="cpu").copy_(value)
