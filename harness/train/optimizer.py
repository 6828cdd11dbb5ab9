"""Optimisers by name, in torch's fastest implementation of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from harness.plan.lean import lean
from harness.records import Named
from harness.registry import Registry
from harness.spec.idle import Idle
from harness.train.muon import Muon
from harness.train.options import Option, OptionConfig, configure
from harness.train.weights import groups_of, matrices

Built = tuple[Optimizer, ...]
Rate = Annotated[float, Field(strict=True, gt=0.0, le=100.0)]
Decay = Annotated[float, Field(strict=True, ge=0.0, le=10.0)]
Momentum = Annotated[float, Field(strict=True, ge=0.0, lt=1.0)]
Epsilon = Annotated[float, Field(strict=True, gt=0.0, le=1.0)]

optimizers: Registry[Option[Built]] = Registry("optimizer")
"""Optimisers by name. ``build`` takes the parameters, the module and a :class:`Place`, and returns a tuple.

>>> optimizers["sgd"].config().momentum
0.9
>>> option = optimizers["adamw"]
>>> [type(each).__name__ for each in option.build(option.config(), nn.Linear(2, 1), Place(torch.device("cpu")))]
['AdamW']
"""


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


class NAdam(OptionConfig):
    """Adam with Nesterov's momentum (Dozat, 2016) and decoupled weight decay."""

    lr: Rate = 2e-3
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    eps: Epsilon = 1e-8
    momentum_decay: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 4e-3
    """The momentum of a step is ``beta1`` times ``1 - 0.96 ** (this * step) / 2``."""
    weight_decay: Decay = 0.0
    """Every step the weight shrinks by this times the learning rate."""


class RAdam(OptionConfig):
    """Adam that holds back while it has seen few gradients (Liu et al., 2020, arXiv:1908.03265)."""

    lr: Rate = 1e-3
    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    """Every step the weight shrinks by this times the learning rate."""


class Adagrad(OptionConfig):
    """Adagrad (Duchi et al., 2011): each number's rate falls with the sum of its squared gradients."""

    lr: Rate = 1e-2
    lr_decay: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = 0.0
    """The rate is divided by one plus this times the steps before."""
    eps: Epsilon = 1e-10
    weight_decay: Decay = 0.0
    """L2 penalty: this times the weight is added to its gradient."""


class MuonConfig(OptionConfig):
    """Muon (Jordan et al., 2024) for matrices, AdamW for all else: embeddings, norms and biases.

    A matrix's step is its momentum made orthogonal, of the size that AdamW's would have (Liu et al., 2025,
    arXiv:2502.16982), so that both share a rate and a decay.
    """

    lr: Rate = 1e-3
    convolutions: Annotated[bool, Field(strict=True)] = False
    """Kernels of convolutions are matrices too, of outputs by all else; they are AdamW's otherwise."""
    momentum: Momentum = 0.95
    nesterov: bool = True
    """Nesterov's momentum; where ``momentum`` is 0 there is nothing to look ahead with, and it has no effect."""
    beta1: Momentum = 0.9
    """Of AdamW, as the next two."""
    beta2: Momentum = 0.999
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.01
    """Every step the weight shrinks by this times the learning rate."""


def validate_optimizer(optimizer: Named) -> None:
    """Check name and parameters without a model. Raises :class:`InputError` with the key path."""
    configure(optimizers, optimizer)


def build_optimizers(optimizer: Named, model: nn.Module, *, scaled: bool = False) -> Built:
    """Return what steps ``model``'s trainable parameters, which already lie on their device: one optimiser or several.

    Weight decay goes to weights alone (see :func:`groups_of`). The implementation is fused where torch has one for
    the device, else ``foreach``. ``scaled`` says that a GradScaler takes its steps, and skips those that overflow.
    Raises :class:`InputError` with the key path.
    """
    option, config = configure(optimizers, optimizer)
    return option.build(config, model, Place(next(model.parameters()).device, scaled))


def state_per_parameter(optimizer: Named) -> int:
    """Return how many numbers the optimiser keeps for each trained weight, seen by a step of its own.

    Raises :class:`InputError` with the key path.
    """
    weight = nn.Parameter(torch.zeros(4, 4))
    weight.grad = torch.zeros_like(weight)
    (built,) = build_optimizers(optimizer, nn.ParameterList([weight]))
    built.step()
    state = built.state[weight].values()
    return sum(value.shape == weight.shape for value in state if isinstance(value, torch.Tensor))


def _one(kind: Callable[..., Optimizer], **fixed: Any) -> Callable[[Any, nn.Module, Place], Built]:
    """Return what builds one of torch's optimisers, whose parameters are called as ours."""

    def build(config: Any, model: nn.Module, place: Place) -> Built:
        groups = groups_of(model, config.lr, config.weight_decay)
        return (lean(kind)(groups, **_options(config), **fixed, **implementation(kind, place)),)

    return build


def _sgd(config: Sgd, model: nn.Module, place: Place) -> Built:
    looks_ahead = config.nesterov and config.momentum > 0.0
    return _one(torch.optim.SGD)(config.model_copy(update={"nesterov": looks_ahead}), model, place)


def _muon(config: MuonConfig, model: nn.Module, place: Place) -> Built:
    whole = matrices(model, kernels=config.convolutions)
    chosen = set(map(id, whole))
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    built: list[Optimizer] = []
    if whole:
        groups = groups_of(model, config.lr, config.weight_decay, without=others)
        own = {"lr": config.lr, "weight_decay": config.weight_decay}
        built.append(lean(Muon)(groups, **own, momentum=config.momentum, nesterov=config.nesterov))
    if groups := groups_of(model, config.lr, config.weight_decay, without=whole):
        rest = AdamW(**{name: getattr(config, name) for name in AdamW.model_fields})
        built.append(lean(torch.optim.AdamW)(groups, **_options(rest), **implementation(torch.optim.AdamW, place)))
    return tuple(built)


def _options(config: OptionConfig) -> dict[str, Any]:
    """Return the parameters as torch has them."""
    options = config.model_dump()
    if "beta1" in options:
        options["betas"] = (options.pop("beta1"), options.pop("beta2"))
    return options


@cache
def implementation(kind: Callable[..., Optimizer], place: Place) -> dict[str, Any]:
    """Return the keyword that asks ``kind`` for its fastest implementation that is sound in such a place."""
    if "fused" in inspect.signature(kind).parameters and (not place.scaled or _skips_overflow(kind, place)):
        fused: dict[str, Any] = {"fused": True}
        probe = nn.Parameter(torch.zeros(1, device=place.device))
        try:
            lean(kind)([probe], **fused)
        except RuntimeError:
            return {"foreach": True}
        return fused
    return {"foreach": True}


def _skips_overflow(kind: Callable[..., Optimizer], place: Place) -> bool:
    """Tell whether a fused step leaves everything as it is when a GradScaler tells it of an overflow.

    A GradScaler leaves the skipping of steps to fused optimisers. SGD's fused one takes the momentum of a skipped first
    step from memory that nobody has written to (torch 2.13); on MPS none took notice of overflows for long.
    """
    return kind is not torch.optim.SGD and place.device.type != "mps"


optimizers.add(
    "sgd", Option("gradient descent with momentum", Sgd, _sgd, idle=(Idle(("nesterov",), where={"momentum": 0.0}),))
)
optimizers.add("adam", Option("Adam, weight decay as an L2 penalty", Adam, _one(torch.optim.Adam)))
optimizers.add("adamw", Option("Adam with decoupled weight decay", AdamW, _one(torch.optim.AdamW)))
optimizers.add("rmsprop", Option("RMSprop", RmsProp, _one(torch.optim.RMSprop)))
optimizers.add(
    "nadam", Option("Adam with Nesterov's momentum", NAdam, _one(torch.optim.NAdam, decoupled_weight_decay=True))
)
optimizers.add(
    "radam", Option("Adam that starts carefully", RAdam, _one(torch.optim.RAdam, decoupled_weight_decay=True))
)
optimizers.add("adagrad", Option("Adagrad", Adagrad, _one(torch.optim.Adagrad)))
optimizers.add(
    "muon",
    Option("Muon for matrices, AdamW for the rest", MuonConfig, _muon, idle=(Idle(("nesterov",), {"momentum": 0.0}),)),
)
