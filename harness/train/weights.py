"""Which parameters are weights: those that are decayed and shrunk, as biases and norms are not; and their groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from harness.errors import InputError

Groups = list[dict[str, Any]]
"""As torch's optimisers take them."""

NORMS = (nn.LayerNorm, nn.RMSNorm)
"""The norms whose parameters may have the shape of a map; those of all others have one dimension."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def split_weights(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trainable weights, and the rest: everything in a norm and everything with at most one dimension.

    Weights of linear, convolutional, recurrent and embedding layers count alike. He et al. (2019, arXiv:1812.01187,
    section 3.1) decay weights only; that embeddings are among them follows nanoGPT, and keeps the vectors of rare
    categories small.
    """
    norms = {id(p) for layer in model.modules() if isinstance(layer, NORMS) for p in layer.parameters(recurse=False)}
    weights: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            is_weight = parameter.ndim > 1 and id(parameter) not in norms
            (weights if is_weight else rest).append(parameter)
    return weights, rest


def matrices(model: nn.Module, *, kernels: bool = False) -> list[nn.Parameter]:
    """Return the trainable weights with two dimensions, without the tables of embeddings, whose rows are vectors.

    With ``kernels`` those of convolutions count too, but for the ones whose channels are apart from each other.
    """
    tables = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding | nn.EmbeddingBag)}
    whole = {id(layer.weight) for layer in model.modules() if isinstance(layer, CONVOLUTIONS) and layer.groups == 1}
    return [
        weight
        for weight in split_weights(model)[0]
        if (weight.ndim == 2 and id(weight) not in tables) or (kernels and id(weight) in whole)
    ]


def groups_of(model: nn.Module, rate: float, decay: float, without: Iterable[nn.Parameter] = ()) -> Groups:
    """Return the trainable parameters in groups with their own learning rate and weight decay; only weights decay.

    A module may have some learn otherwise by a method ``learning_factors``: it returns, by the name of a parameter or
    of a part that holds it, the factors of both. Of several names the longest counts.
    """
    weights, rest = split_weights(model)
    left_out = set(map(id, without))
    factors = _factors(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {(rate, decay): [], (rate, 0.0): []}
    for parameters, own in ((weights, decay), (rest, 0.0)):
        for parameter in parameters:
            if id(parameter) not in left_out:
                of_rate, of_decay = factors.get(id(parameter), (1.0, 1.0))
                groups.setdefault((rate * of_rate, own * of_decay), []).append(parameter)
    return [{"params": each, "lr": lr, "weight_decay": of_all} for (lr, of_all), each in groups.items() if each]


def _factors(model: nn.Module) -> dict[int, tuple[float, float]]:
    """Return the factors of each parameter that has some, by its id."""
    declared = getattr(model, "learning_factors", None)
    if declared is None:
        return {}
    found: dict[int, tuple[float, float]] = {}
    for name, factors in sorted(declared().items(), key=lambda item: item[0].count(".")):
        parameters = [p for own, p in model.named_parameters() if own == name or own.startswith(f"{name}.")]
        if not parameters:
            raise InputError(f"learning_factors: the model has no parameter {name!r}")
        found.update((id(parameter), factors) for parameter in parameters)
    return found
