"""Ray Tune around the same loop, with its defaults: as many trials at once as there are cores, one thread each."""

from __future__ import annotations

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # they would be sent over the network

import logging
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import arm
import optuna
import ray
from candidates import draw, look_up
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from training import train
from with_optuna import ask_trial, tensors


def suggest(space: dict[str, Any], trial: optuna.Trial) -> None:
    """Have a trial's parameters chosen; pickled by Ray, so it has no place within a function."""
    draw(space, ask_trial(trial))


def search(asked: arm.Asked, samples: arm.Samples) -> Iterator[arm.Trial]:
    """Train the candidates in the processes of a cluster of this machine."""

    def trainable(config: dict[str, Any], samples: arm.Samples) -> None:
        candidate, data = draw(asked.space, look_up(config)), tensors(samples)
        train(candidate, data, asked.epochs, asked.seed, lambda best: tune.report({"accuracy": best}))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = optuna.samplers
    kind = samplers.RandomSampler if asked.sampler == "random" else samplers.TPESampler
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_parameters(trainable, samples=samples),
            tune_config=tune.TuneConfig(
                num_samples=asked.trials,
                search_alg=OptunaSearch(
                    partial(suggest, asked.space), metric="accuracy", mode="max", sampler=kind(seed=asked.seed)
                ),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        for result in (results[number] for number in range(len(results))):
            yield arm.Trial(result.config or {}, (result.metrics or {})["accuracy"])


if __name__ == "__main__":
    arm.main(search, ["torch", "optuna", "ray"])
