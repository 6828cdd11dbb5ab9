"""FLAML's tuner around the same loop, with its defaults: a search of its own, for spaces without conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import arm
from candidates import Range, draw, look_up
from flaml import tune
from training import train
from with_optuna import tensors


def domain(values: list[Any] | Range) -> Any:
    """Return FLAML's form of what there is to choose from; it leaves out the upper end of whole numbers."""
    if not isinstance(values, Range):
        return tune.choice(values)
    low, high = values.low, values.high
    if values.integer:
        return (tune.lograndint if values.log else tune.randint)(int(low), int(high) + 1)
    return (tune.loguniform if values.log else tune.uniform)(low, high)


def search(asked: arm.Asked, samples: arm.Samples) -> Iterator[arm.Trial]:
    """Train one candidate after the other."""
    domains: dict[str, Any] = {}
    trials: list[arm.Trial] = []
    data = tensors(samples)

    def note(path: str, values: list[Any] | Range) -> Any:
        domains[path] = domain(values)
        return values[0]

    draw(asked.space, note)

    def evaluate(config: dict[str, Any]) -> dict[str, float]:
        score = train(draw(asked.space, look_up(config)), data, asked.epochs, len(trials))
        trials.append(arm.Trial(config, score))
        return {"accuracy": score}

    tune.run(evaluate, config=domains, metric="accuracy", mode="max", num_samples=asked.trials, verbose=0)
    yield from trials


if __name__ == "__main__":
    arm.main(search, ["torch", "flaml"])
