"""What every peer's script begins and ends with: its command line, the samples, and one line of JSON for what it found.

python benchmarks/peers/with_optuna.py SPACE --split SPLIT.json [--trials N] [--threads N]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from sklearn.datasets import load_digits


class Asked(NamedTuple):
    """What is to be searched."""

    space: dict[str, Any]
    trials: int
    epochs: int
    sampler: str
    seed: int
    threads: int | None


class Samples(NamedTuple):
    """Standardised images (samples, 1, 8, 8) as float32, with their classes."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


class Trial(NamedTuple):
    """What was trained, and the best validation accuracy of its epochs."""

    params: dict[str, Any]
    score: float


Search = Callable[[Asked, Samples], Iterable[Trial]]


def main(search: Search, packages: Sequence[str]) -> None:
    """Search as the command line says, and print what came of it, with the versions of the packages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("space", type=Path)
    parser.add_argument("--split", type=Path, required=True, help="sample numbers of the parts, as JSON")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    file = yaml.safe_load(options.space.read_text(encoding="utf-8"))
    asked = Asked(
        file["space"],
        options.trials or file["budget"]["trials"],
        file["budget"]["epochs"],
        file["search"]["sampler"],
        file["search"]["seed"],
        options.threads,
    )
    trials = list(search(asked, read_samples(options.split)))
    found = {
        "best": max(trial.score for trial in trials),
        "trials": [trial._asdict() for trial in trials],
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    print(json.dumps(found))


def read_samples(split: Path) -> Samples:
    """Read scikit-learn's digits in the parts that are given."""
    digits = load_digits()
    parts = json.loads(split.read_text(encoding="utf-8"))
    train, validation = np.array(parts["train"]), np.array(parts["validation"])
    images, mean, std = digits.images[:, None], digits.images[train].mean(), digits.images[train].std()
    x, y = ((images - mean) / std).astype(np.float32), digits.target.astype(np.int64)
    return Samples(x[train], y[train], x[validation], y[validation])
