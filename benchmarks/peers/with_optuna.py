"""Optuna and a loop over DataLoaders: what is written in an afternoon.

The sampler of a search at random is seeded anew for every trial, by the rule of harness, so that both draw the same
candidates; TPE is Optuna's own with its defaults.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import arm
import optuna
import torch
from candidates import Ask, Range, draw
from torch.utils.data import TensorDataset
from training import Data, train


def ask_trial(trial: optuna.Trial) -> Ask:
    """Return what has an Optuna trial choose."""

    def ask(path: str, values: list[Any] | Range) -> Any:
        if not isinstance(values, Range):
            return trial.suggest_categorical(path, values)
        if values.integer:
            return trial.suggest_int(path, int(values.low), int(values.high), log=values.log, step=values.step)
        return trial.suggest_float(path, values.low, values.high, log=values.log)

    return ask


def new_study(asked: arm.Asked) -> optuna.Study:
    """Return a study in memory with the sampler that was asked for."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=asked.seed) if asked.sampler == "tpe" else None
    return optuna.create_study(direction="maximize", sampler=sampler)


def before_trial(study: optuna.Study, asked: arm.Asked, number: int) -> None:
    """Seed the sampler of a search at random for trial ``number``."""
    if asked.sampler == "random":
        digest = hashlib.sha256(f"{asked.seed}:{number}".encode()).digest()
        study.sampler = optuna.samplers.RandomSampler(seed=int.from_bytes(digest[:4], "big"))


def tensors(samples: arm.Samples) -> Data:
    """Return the samples as datasets of torch."""
    x_train, y_train, x_validation, y_validation = map(torch.from_numpy, samples)
    return Data(TensorDataset(x_train, y_train), TensorDataset(x_validation, y_validation))


def search(asked: arm.Asked, samples: arm.Samples) -> Iterator[arm.Trial]:
    """Train one candidate after the other."""
    if asked.threads:
        torch.set_num_threads(asked.threads)
    data, study = tensors(samples), new_study(asked)
    for number in range(asked.trials):
        before_trial(study, asked, number)
        trial = study.ask()
        score = train(draw(asked.space, ask_trial(trial)), data, asked.epochs, number)
        study.tell(trial, score)
        yield arm.Trial(trial.params, score)


if __name__ == "__main__":
    arm.main(search, ["torch", "optuna"])
