"""Everything that a training holds between two epochs, taken down and put back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from harness.errors import StorageError
from harness.models import is_fitted
from harness.spec.base import Frozen
from harness.train.best import Best
from harness.train.checkpoint import pack, unpack
from harness.train.learner import Learner
from harness.train.recipe import Recipe
from harness.train.state import as_real, check_fit, copy_into, fitted, flatten, tensors_of, unflatten


@dataclass(slots=True)
class Course:
    """How far a training has come, and what it has seen."""

    epoch: int = 0
    """Epochs that have ended."""
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


class _PartFacts(Frozen):
    """What a checkpoint holds of one part beside tensors."""

    norms: list[float]
    scaler: dict[str, float | int]
    """Empty but in fp16."""
    optimizers: list[Any]


class _Facts(Frozen):
    """What a checkpoint holds beside tensors."""

    identity: dict[str, Any]
    course: Course
    best_epoch: int
    best_value: float
    parts: dict[str, _PartFacts]
    caller: dict[str, Any]


class Snapshots:
    """Takes and puts back the state of a recipe's parts.

    ``identity`` is what two trainings must have in common for one to go on from the other's checkpoint, as JSON.
    """

    def __init__(self, recipe: Recipe, best: Best, identity: Mapping[str, Any]) -> None:
        self._parts = recipe.parts
        self._model = recipe.model
        self._best = best
        self._identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))

    def take(self, course: Course, caller: Mapping[str, Any]) -> bytes:
        """Return a checkpoint. The best epoch is stored by its number alone when the model is as it left it."""
        groups: dict[str, Mapping[str, Tensor]] = {}
        if self._best.epoch != course.epoch:
            groups["best"] = as_real(self._best.state.items())
        parts = {}
        for name, part in self._parts.items():
            optimizers: dict[str, Tensor] = {}
            parts[name] = _PartFacts(
                norms=part.watch.history,
                scaler=_scaler_state(part),
                optimizers=[flatten(each.state_dict(), "", optimizers) for each in part.optimizers],
            )
            groups[f"optimizer.{name}"] = optimizers
            for kind, module in _modules(part):
                groups[f"{kind}.{name}"] = _tensors(module)
        facts = _Facts(
            identity=self._identity,
            course=course,
            best_epoch=self._best.epoch,
            best_value=self._best.value,
            parts=parts,
            caller=dict(caller),
        )
        tensors = {f"{group}.{name}": tensor for group, members in groups.items() for name, tensor in members.items()}
        return pack(tensors, facts.model_dump())

    def put_back(self, data: bytes) -> tuple[Course, dict[str, Any]]:
        """Return the course and the caller's facts, with everything else back in its place.

        Nothing is changed by a checkpoint that is damaged or another training's, which raises :class:`StorageError`.
        """
        tensors, values = unpack(data)
        if "parts" not in values and "optimizer" in values:
            raise StorageError("checkpoint is of an earlier version; delete it, and its trial starts anew")
        try:
            facts = _Facts.model_validate(values)
            self._check(facts, tensors)
            states = {name: self._states(name, facts.parts[name], tensors) for name in self._parts}
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            what = " ".join(str(error).split())[:200]
            raise StorageError(
                f"checkpoint is not of a training: {what}; delete it, and its trial starts anew"
            ) from error
        for name, part in self._parts.items():
            for optimizer, state in zip(part.optimizers, states[name], strict=True):
                optimizer.load_state_dict(state)
            for kind, module in _modules(part):
                _put_back(module, _group(f"{kind}.{name}", tensors))
            if part.scaler is not None:
                part.scaler.load_state_dict(facts.parts[name].scaler)
            part.watch.remember(facts.parts[name].norms)
        self._put_back_best(facts, _group("best", tensors))
        return facts.course, facts.caller

    def _states(self, name: str, facts: _PartFacts, tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """Return what the optimisers of a part can load."""
        stored = _group(f"optimizer.{name}", tensors)
        return [
            fitted(optimizer, unflatten(node, stored))
            for optimizer, node in zip(self._parts[name].optimizers, facts.optimizers, strict=True)
        ]

    def _check(self, facts: _Facts, tensors: Mapping[str, Tensor]) -> None:
        for key in sorted(self._identity.keys() | facts.identity.keys()):
            saved, own = facts.identity.get(key), self._identity.get(key)
            if saved != own:
                raise StorageError(f"checkpoint is of another candidate: its {key} is {saved}, not {own}; start anew")
        for name, part in self._parts.items():
            if _scaler_state(part).keys() != facts.parts[name].scaler.keys():
                raise StorageError(
                    "checkpoint and plan do not both scale the loss for fp16; use its precision or start anew"
                )
            for kind, module in _modules(part):
                if not is_fitted(module):
                    check_fit(_group(f"{kind}.{name}", tensors), tensors_of(module))
        best = _group("best", tensors)
        if best and not is_fitted(self._model):
            check_fit(best, as_real(self._model.state_dict().items()))

    def _put_back_best(self, facts: _Facts, state: Mapping[str, Tensor]) -> None:
        if facts.best_epoch:
            self._best.keep(facts.best_epoch, facts.best_value)
        if state and is_fitted(self._model):
            self._best.state = dict(state)
        elif state:
            copy_into(as_real(self._best.state.items()), state)


def _modules(part: Learner) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of a part whose tensors are kept, with what they are called."""
    yield "model", part.module
    if part.average is not None:
        yield "average", part.average.averaged


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return what is kept of a module."""
    return as_real(module.state_dict().items()) if is_fitted(module) else tensors_of(module)


def _put_back(module: nn.Module, saved: dict[str, Tensor]) -> None:
    """Put back what was kept of it; buffers that are fitted have the sizes that they had."""
    if not is_fitted(module):
        copy_into(tensors_of(module), saved)
        return
    try:
        module.load_state_dict(saved)
    except RuntimeError as error:
        raise StorageError(f"checkpoint is damaged: {' '.join(str(error).split())[:200]}") from None


def _scaler_state(part: Learner) -> dict[str, float | int]:
    return {} if part.scaler is None else part.scaler.state_dict()


def _group(group: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{group}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
