"""Everything that a training holds between two epochs, taken down and put back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from harness.data import Batches
from harness.errors import StorageError
from harness.records import Named
from harness.spec.base import Frozen
from harness.spec.training import Training
from harness.train.best import Best
from harness.train.checkpoint import pack, unpack
from harness.train.gradients import ExplosionWatch
from harness.train.randomness import check_random_states, random_states, set_random_states
from harness.train.state import as_real, check_fit, copy_into, flatten, load_optimizer, tensors_of, unflatten


@dataclass(slots=True)
class Course:
    """How far a training has come, and what it has seen."""

    epoch: int = 0
    """Epochs that have ended."""
    rate_factor: float = 1.0
    """Of the learning rate, in the last step."""
    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


def identity_of(train: Batches, training: Training, optimizer: Named, schedule: Named) -> dict[str, Any]:
    """Return what decides how a candidate learns, as JSON; that its model is the same is seen from the tensors."""
    return {
        "samples": train.samples,
        "batch_size": train.batch_size,
        "training": training.model_dump(mode="json"),
        "optimizer": {optimizer.name: dict(optimizer.params)},
        "schedule": {schedule.name: dict(schedule.params)},
    }


class _Facts(Frozen):
    """What a checkpoint holds beside tensors."""

    identity: dict[str, Any]
    course: Course
    best_epoch: int
    best_value: float
    norms: list[float]
    scaler: dict[str, float | int]
    """Empty but in fp16."""
    optimizer: Any
    caller: dict[str, Any]


class Snapshots:
    """Takes and puts back the state of the parts that one training is made of.

    ``identity`` is what two trainings must have in common for one to go on from the other's checkpoint, as JSON.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scaler: GradScaler | None,
        best: Best,
        watch: ExplosionWatch,
        *,
        device: torch.device,
        identity: Mapping[str, Any],
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._scaler = scaler
        self._best = best
        self._watch = watch
        self._device = device
        self._identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))

    def take(self, course: Course, caller: Mapping[str, Any]) -> bytes:
        """Return a checkpoint. The best epoch is stored by its number alone when the model is as it left it."""
        optimizer: dict[str, Tensor] = {}
        facts = _Facts(
            identity=self._identity,
            course=course,
            best_epoch=self._best.epoch,
            best_value=self._best.value,
            norms=self._watch.history,
            scaler=self._scaler_state(),
            optimizer=flatten(self._optimizer.state_dict(), "", optimizer),
            caller=dict(caller),
        )
        best = {} if self._best.epoch == course.epoch else as_real(self._best.state.items())
        groups = {
            "model": tensors_of(self._model),
            "best": best,
            "optimizer": optimizer,
            "random": random_states(self._device),
        }
        tensors = {f"{group}.{name}": tensor for group, held in groups.items() for name, tensor in held.items()}
        return pack(tensors, facts.model_dump())

    def put_back(self, data: bytes) -> tuple[Course, dict[str, Any]]:
        """Return the course and the caller's facts, with everything else back in its place.

        Nothing is changed by a checkpoint that is damaged or another training's, which raises :class:`StorageError`.
        """
        tensors, values = unpack(data)
        try:
            facts = _Facts.model_validate(values)
            self._check(facts, tensors)
            load_optimizer(self._optimizer, unflatten(facts.optimizer, _group("optimizer", tensors)))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            what = " ".join(str(error).split())[:200]
            raise StorageError(
                f"checkpoint is not of a training: {what}; delete it, and its trial starts anew"
            ) from error
        copy_into(tensors_of(self._model), _group("model", tensors))
        self._put_back_best(facts, _group("best", tensors))
        if self._scaler is not None:
            self._scaler.load_state_dict(facts.scaler)
        self._watch.remember(facts.norms)
        set_random_states(self._device, _group("random", tensors))
        return facts.course, facts.caller

    def _check(self, facts: _Facts, tensors: Mapping[str, Tensor]) -> None:
        for key in sorted(self._identity.keys() | facts.identity.keys()):
            saved, own = facts.identity.get(key), self._identity.get(key)
            if saved != own:
                raise StorageError(f"checkpoint is of another candidate: its {key} is {saved}, not {own}; start anew")
        if self._scaler_state().keys() != facts.scaler.keys():
            raise StorageError(
                "checkpoint and plan do not both scale the loss for fp16; use its precision or start anew"
            )
        check_fit(_group("model", tensors), tensors_of(self._model))
        best = _group("best", tensors)
        if best:
            check_fit(best, as_real(self._model.state_dict().items()))
        check_random_states(self._device, _group("random", tensors))

    def _scaler_state(self) -> dict[str, float | int]:
        return {} if self._scaler is None else self._scaler.state_dict()

    def _put_back_best(self, facts: _Facts, state: Mapping[str, Tensor]) -> None:
        if facts.best_epoch:
            self._best.keep(facts.best_epoch, facts.best_value)
        if state:
            copy_into(as_real(self._best.state.items()), state)


def _group(group: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{group}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
