"""KerasTuner on the torch backend, with its defaults; of the space files it can do the fully connected networks."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "torch"

import tempfile
from collections.abc import Iterator
from typing import Any

import arm
import keras
import keras_tuner
from candidates import Ask, Range, draw


def ask_hyperparameters(hyperparameters: Any) -> Ask:
    """Return what has hyperparameters of Keras choose."""

    def ask(path: str, values: list[Any] | Range) -> Any:
        if not isinstance(values, Range):
            return hyperparameters.Choice(path, values)
        kind = hyperparameters.Int if values.integer else hyperparameters.Float
        return kind(path, values.low, values.high, sampling="log" if values.log else "linear")

    return ask


def search(asked: arm.Asked, samples: arm.Samples) -> Iterator[arm.Trial]:
    """Train one candidate after the other."""

    def build(hyperparameters: Any) -> keras.Model:
        candidate = draw(asked.space, ask_hyperparameters(hyperparameters))
        model = network(**candidate.architecture.parameters)
        optimizer = candidate.optimizer.parameters
        model.compile(
            optimizer=keras.optimizers.AdamW(optimizer["lr"], weight_decay=optimizer["weight_decay"]),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            build, objective="val_accuracy", max_trials=asked.trials, seed=asked.seed, directory=folder
        )
        tuner.search(
            samples.x_train,
            samples.y_train,
            validation_data=(samples.x_validation, samples.y_validation),
            epochs=asked.epochs,
            batch_size=asked.space["batch_size"],
            verbose=0,
        )
        for trial in tuner.oracle.get_best_trials(asked.trials):
            yield arm.Trial(trial.hyperparameters.values, trial.score)


def network(*, depth: int, width: int) -> keras.Model:
    """Return ``depth`` hidden layers of one width."""
    hidden = [keras.layers.Dense(width, activation="relu") for _ in range(depth)]
    return keras.Sequential([keras.layers.Input((1, 8, 8)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])


if __name__ == "__main__":
    arm.main(search, ["torch", "keras", "keras-tuner"])
