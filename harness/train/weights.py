"""Which parameters are weights: those that are decayed and shrunk, as biases and norms are not."""

from __future__ import annotations

from torch import nn

NORMS = (nn.LayerNorm, nn.RMSNorm)
"""The norms whose parameters may have the shape of a map; those of all others have one dimension."""


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
