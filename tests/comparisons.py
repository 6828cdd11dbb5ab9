"""Comparisons as their command leaves them, made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.statistics import Design, Margin

PRICES = ("parameters", "latency_ms", "throughput_per_s", "memory_mib", "train_seconds", "energy_j")


def document(
    *,
    means: dict[str, float] | None = None,
    pairs: int | None = None,
    margin: float | None = None,
    reopened: bool = False,
    state: str = "complete",
    seed: int = 0,
    noise: float = 0.01,
    **task: Any,
) -> dict[str, Any]:
    """Return the content of a ``comparison.json`` whose families have about these means, the cheapest first."""
    means = means or {"mlp": 0.951, "cnn": 0.953, "linear": 0.91}
    rng, design = np.random.default_rng(seed), Design.auto()
    shared = rng.normal(0, 0.02, 20)
    scores = {name: (mean + shared + rng.normal(0, noise, 20)).round(4).tolist() for name, mean in means.items()}
    sign = -1.0 if task.get("direction") == "minimize" else 1.0
    asked = None if margin is None else Margin.asked(margin, share="metric" not in task, unit="rmse")
    if pairs is None:
        pairs = 7
        while more := design.next_look(_oriented(scores, sign, pairs), margin=asked):
            pairs = more
    values = {name: each[:pairs] for name, each in scores.items()}
    verdicts = [each.as_dict() for each in design.judge(_oriented(scores, sign, pairs), margin=asked)]
    families = [_family(name, place, values[name], rng) for place, name in enumerate(means)]
    best = max(means, key=lambda name: sign * np.mean(values[name]))
    worse = {pair["b"] for pair in verdicts if pair["verdict"] == "better" and pair["a"] == best}
    content = {
        "schema": 1,
        "kind": "comparison",
        "state": state,
        "task": {
            "name": "digits",
            "kind": "classification",
            "fingerprint": "0123abcd",
            "metric": "accuracy",
            "direction": "maximize",
            "test_samples": 360,
            **task,
        },
        "design": {
            "seeds": "auto",
            "looks": list(design.looks),
            "thresholds": list(design.thresholds),
            "pairs_used": pairs,
            "margin": margin,
            "alpha": 0.05,
            "seed": 0,
        },
        "families": families,
        "pairs": verdicts,
        "front": [name for name in means if name not in worse],
        "cheapest_not_worse": next(name for name in means if name not in worse) if pairs >= 7 else None,
        "openings": [
            {"when": "2026-01-01T00:00:00+00:00", "family": name, "seeds": list(range(pairs)), "reopened": reopened}
            for name in means
        ],
        "notes": ["the features were standardised"],
    }
    return json.loads(json.dumps(content, default=float).replace("NaN", "null"))


def _oriented(scores: dict[str, list[float]], sign: float, pairs: int) -> dict[str, list[float]]:
    return {name: [sign * value for value in each[:pairs]] for name, each in scores.items()}


def _family(name: str, place: int, values: list[float], rng: np.random.Generator) -> dict[str, Any]:
    mean, error = float(np.mean(values)), 0.004
    prices = dict(zip(PRICES, (1000 * 4**place, 0.05 * 2**place, 9e4, 300.0, 1.5 + place, float("nan")), strict=True))
    return {
        "name": name,
        "run": f"searches/{name}",
        "trial": int(rng.integers(20)),
        "params": {"architecture": name, f"architecture.{name}.width": 64, "optimizer": "adamw"},
        "mean": mean,
        "low": mean - error,
        "high": mean + error,
        "values": values,
        "seeds": list(range(len(values))),
        **prices,
        "trials": 20,
        "complete": 17,
        "device_seconds": 65.4,
        "reasons": {"energy_j": "no meter of energy can be read"},
    }


def write(folder: Path, **wishes: Any) -> Path:
    """Write a comparison's folder without its report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(document(**wishes)))
    return folder


def on_tasks(folder: Path, count: int, **wishes: Any) -> list[Path]:
    """Write comparisons of the same families on so many tasks."""
    means = {"mlp": 0.951, "cnn": 0.953, "lstm": 0.93, "linear": 0.91}
    return [
        write(
            folder / f"task-{task}",
            **{"means": means, "seed": task, "name": f"task {task}", "fingerprint": f"{task}"} | wishes,
        )
        for task in range(count)
    ]
