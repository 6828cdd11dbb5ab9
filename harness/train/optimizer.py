"""Optimisers by name, in torch's fastest implementation of each."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from harness.records import Named
from harness.registry import Registry
from harness.spec.idle import Idle
from harness.train.options import Option, OptionConfig, configure
from harness.train.weights import split_weights

Groups = list[dict[str, Any]]
Rate = Annotated[float, Field(strict=True, gt=0.0, le=100.0)]
Decay = Annotated[float, Field(strict=True, ge=0.0, le=10.0)]
Momentum = Annotated[float, Field(strict=True, ge=0.0, lt=1.0)]
Epsilon = Annotated[float, Field(strict=True, gt=0.0, le=1.0)]

optimizers: Registry[Option[Optimizer]] = Registry("optimizer")


class Place(NamedTuple):
    """What decides which implementation of an optimiser can be used."""

    device: torch.device
    scaled: bool = False
    """Whether a GradScaler takes the steps, and skips those whose gradients overflow."""


class Sgd(OptionConfig):
    """Gradient descent with momentum."""

    lr: Rate = 0.05
    momentum: Momentum = 0.9
    nesterov: bool = True
    """Nesterov's momentum; where ``momentum`` is 0 there is nothing to look ahead with, and it has no effect."""
    weight_decay: Decay = 0.0
    """L2 penalty: this times the weight is added to its gradient."""


class Adam(OptionConfig):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980)."""

    lr: Rate = 1e-3
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    """L2 penalty: this times the weight is added to its gradient."""


class AdamW(OptionConfig):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

    lr: Rate = 1e-3
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.01
    """Every step the weight shrinks by this times the learning rate."""


class RmsProp(OptionConfig):
    """RMSprop (Tieleman and Hinton, 2012)."""

    lr: Rate = 1e-3
    alpha: Momentum = 0.99
    """Smoothing of the squared gradients."""
    momentum: Momentum = 0.0
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    """L2 penalty: this times the weight is added to its gradient."""
    centered: bool = False
    """Divide by the estimated standard deviation of the gradients instead of their root mean square."""


def validate_optimizer(optimizer: Named) -> None:
    """Check name and parameters without a model. Raises :class:`InputError` with the key path."""
    configure(optimizers, optimizer)


def build_optimizer(optimizer: Named, model: nn.Module, *, scaled: bool = False) -> Optimizer:
    """Return the optimiser of ``model``'s trainable parameters, which already lie on their device.

    Weight decay goes to weights alone (see :func:`split_weights`). The implementation is fused where torch has one for
    the device, else ``foreach``. ``scaled`` says that a GradScaler takes its steps, and skips those that overflow.
    Raises :class:`InputError` with the key path.
    """
    option, config = configure(optimizers, optimizer)
    weights, rest = split_weights(model)
    groups: Groups = [{"params": [*weights, *rest]}]
    if getattr(config, "weight_decay", 0.0) > 0.0 and weights and rest:
        groups = [{"params": weights}, {"params": rest, "weight_decay": 0.0}]
    return option.build(config, groups, Place(next(model.parameters()).device, scaled))


def state_per_parameter(optimizer: Named) -> int:
    """Return how many numbers the optimiser keeps for each trained parameter, seen by a step of its own.

    Raises :class:`InputError` with the key path.
    """
    option, config = configure(optimizers, optimizer)
    parameter = nn.Parameter(torch.zeros(16))
    parameter.grad = torch.zeros_like(parameter)
    built = option.build(config, [{"params": [parameter]}], Place(parameter.device))
    built.step()
    state = built.state[parameter].values()
    return sum(value.shape == parameter.shape for value in state if isinstance(value, torch.Tensor))


def _sgd(config: Sgd, groups: Groups, place: Place) -> Optimizer:
    options = config.model_dump() | {"nesterov": config.nesterov and config.momentum > 0.0}
    return torch.optim.SGD(groups, **options, **implementation(torch.optim.SGD, place))


def _adam(config: Adam, groups: Groups, place: Place) -> Optimizer:
    return torch.optim.Adam(groups, **_with_betas(config), **implementation(torch.optim.Adam, place))


def _adamw(config: AdamW, groups: Groups, place: Place) -> Optimizer:
    return torch.optim.AdamW(groups, **_with_betas(config), **implementation(torch.optim.AdamW, place))


def _rmsprop(config: RmsProp, groups: Groups, place: Place) -> Optimizer:
    return torch.optim.RMSprop(groups, **config.model_dump(), **implementation(torch.optim.RMSprop, place))


def _with_betas(config: Adam | AdamW) -> dict[str, Any]:
    options = config.model_dump(exclude={"beta1", "beta2"})
    return options | {"betas": (config.beta1, config.beta2)}


@cache
def implementation(kind: type[Optimizer], place: Place) -> dict[str, Any]:
    """Return the keyword that asks ``kind`` for its fastest implementation that is sound in such a place."""
    if "fused" in inspect.signature(kind).parameters and (not place.scaled or _skips_overflow(kind, place)):
        fused: dict[str, Any] = {"fused": True}
        probe = nn.Parameter(torch.zeros(1, device=place.device))
        try:
            kind([probe], **fused)
        except RuntimeError:
            return {"foreach": True}
        return fused
    return {"foreach": True}


def _skips_overflow(kind: type[Optimizer], place: Place) -> bool:
    """Tell whether a fused step leaves everything as it is when a GradScaler tells it of an overflow.

    A GradScaler leaves the skipping of steps to fused optimisers. SGD's fused one takes the momentum of a skipped first
    step from memory that nobody has written to (torch 2.13); on MPS none took notice of overflows for long.
    """
    return kind is not torch.optim.SGD and place.device.type != "mps"


optimizers.add(
    "sgd", Option("gradient descent with momentum", Sgd, _sgd, idle=(Idle(("nesterov",), where={"momentum": 0.0}),))
)
optimizers.add("adam", Option("Adam, weight decay as an L2 penalty", Adam, _adam))
optimizers.add("adamw", Option("Adam with decoupled weight decay", AdamW, _adamw))
optimizers.add("rmsprop", Option("RMSprop", RmsProp, _rmsprop))
