"""One training step, or one inference, of a reference model, ready to be called."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional

from harness.bench.macro.models import CLASSES, Reference, references
from harness.bench.rows import Case
from harness.models import prediction
from harness.plan import Forward, forward_of, prepare
from harness.plan.running import tf32_arithmetic
from harness.records import Named
from harness.train import build_optimizers

LEARNING_RATE = 1e-6
"""So small that the model stays what it was: one that learns its one batch by heart ends with gradients of 0 and
denormal moments, which are other work than at the start."""

MAX_COMPILED = 128
"""Compiled models of one class at once: they are measured in turns, in every precision, layout and batch."""

_compiled: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""Compiled models that are still in use."""


def make_call(case: Case, *, device: torch.device, seed: int) -> Callable[[], object]:
    """Return one call of the ``train_step`` or ``inference`` that the case says, nothing of it called yet.

    ``case.variant`` names the reference model; ``case.dtype`` is a precision of harness.plan, bf16 and fp16 by autocast
    over fp32 weights. Weights and samples are drawn from the seed, and lie on the device.
    """
    reference = references[case.variant]
    layout = case.layout or "contiguous"
    model = prepare(_built(reference, seed), device=device, layout=layout)
    training = case.bench == "train_step"
    model.train(training)
    if case.compile:
        _compile(model)
    forward = forward_of(model, device=device, precision=case.dtype, layout=layout)
    generator = torch.Generator(device).manual_seed(seed)
    x = torch.randn(case.batch, *reference.sample, generator=generator, device=device)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    if not training:
        return _inference(forward, x, case.dtype)
    targets_B = torch.randint(CLASSES, (case.batch,), generator=generator, device=device)
    return _training(model, forward, x, targets_B, case.dtype)


@cache
def start_compiler(device: torch.device) -> None:
    """Let torch.compile do what it does once in a process, so that it is not counted as part of a model's compiling.

    What is compiled is kept in a folder of the suite's own, where later rounds find it and later suites do not.
    """
    torch._dynamo.config.cache_size_limit = MAX_COMPILED
    torch.compile(_square)(torch.randn(64, device=device))


def _square(x: Tensor) -> Tensor:
    return x * x


def _built(reference: Reference, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return reference.build()


def _compile(model: nn.Module) -> None:
    """Let the model be compiled, for static shapes, when it is first called.

    Models of one class share the code that torch keeps its compiled forms by, and after a number of them it silently
    compiles no more; so all are forgotten as soon as none is in use.
    """
    if not _compiled:
        torch.compiler.reset()
    model.compile(dynamic=False)
    _compiled.add(model)


def _training(model: nn.Module, forward: Forward, x: Tensor, targets_B: Tensor, precision: str) -> Callable[[], object]:
    scaled = precision == "fp16"
    (optimizer,) = build_optimizers(Named("adamw", {"lr": LEARNING_RATE}), model, scaled=scaled)
    scaler = GradScaler(x.device.type, enabled=scaled)

    def step() -> Tensor:
        with tf32_arithmetic(x.device, precision):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(prediction(forward((x,))), targets_B)
            torch.autograd.backward(scaler.scale(loss))
            scaler.step(optimizer)
            scaler.update()
        return loss.detach()

    return step


def _inference(forward: Forward, x: Tensor, precision: str) -> Callable[[], object]:
    def infer() -> object:
        with torch.inference_mode(), tf32_arithmetic(x.device, precision):
            return forward((x,))

    return infer
