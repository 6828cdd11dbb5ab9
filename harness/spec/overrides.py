"""Options with names of their own, in the form in which any key of a space file is overridden."""

from __future__ import annotations


def overrides_of(
    *,
    trials: int | None,
    timeout: str | float | None,
    trial_timeout: str | float | None,
    retries: int | None,
    seed: int | None,
    sampler: str | None,
    pruner: str | None,
    deterministic: bool | None,
    precision: str | None,
    plan: str | None,
) -> list[str]:
    """Return the options that have names of their own as ``key.path=value``; what is None is left to the space."""
    asked = {
        "budget.trials": trials,
        "budget.time": timeout,
        "budget.trial_time": trial_timeout,
        "budget.retries": retries,
        "search.seed": seed,
        "search.sampler": sampler,
        "search.pruner": pruner,
        "search.deterministic": deterministic,
        "training.precision": precision,
        "search.plan": plan,
    }
    return [f"{key}={value}" for key, value in asked.items() if value is not None]
