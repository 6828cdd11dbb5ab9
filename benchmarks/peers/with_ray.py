"""Ray Tune around the same loop, with its defaults: as many trials at once as there are cores, one thread each."""

from __future__ import annotations

import os

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # they would be sent over the network

import tempfile
from collections.abc import Iterator
from typing import Any

import arm
import optuna
import ray
from candidates import draw, look_up
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from training import train
from with_optuna import ask_trial, tensors


def search(asked: arm.Asked, samples: arm.Samples) -> Iterator[arm.Trial]:
    """Train the candidates in the processes of a cluster of this machine."""

    def trainable(config: dict[str, Any], samples: arm.Samples) -> None:
        candidate, data = draw(asked.space, look_up(config)), tensors(samples)
        train(candidate, data, asked.epochs, asked.seed, lambda best: tune.report({"accuracy": best}))

    def space(trial: optuna.Trial) -> None:
        draw(asked.space, ask_trial(trial))

    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    sampler = samplers[asked.sampler](seed=asked.seed)
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_parameters(trainable, samples=samples),
            tune_config=tune.TuneConfig(
                num_samples=asked.trials,
                search_alg=OptunaSearch(space, metric="accuracy", mode="max", sampler=sampler),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        for result in tuner.fit():
            yield arm.Trial(result.config or {}, (result.metrics or {})["accuracy"])


if __name__ == "__main__":
    arm.main(search, ["torch", "optuna", "ray"])
