"""Runs of a second each, with the files that they were trained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harness
from harness.api import request_of
from harness.cli import main
from harness.study import Callbacks, Observer, Stop, open_search, run_search

ROWS = 120


@dataclass(frozen=True)
class Trained:
    """A run, and what it was trained on."""

    run: Path
    data: Path

    @property
    def known(self):
        """What the run predicted of its test samples."""
        return pd.read_parquet(self.run / "predictions.parquet")

    @property
    def model(self):
        return harness.load(self.run, device="cpu")


@pytest.fixture(scope="session")
def train():
    """Return a function that trains one small network."""

    def run(folder, task, *, final="keep", epochs=2, seed=0, width=8, space="", augment="{}"):
        space = space or f"{{architecture: {{mlp: {{depth: 1, width: {width}}}}}}}"
        overrides = [
            f"task={task}",
            f"space={space}",
            f"budget.epochs={epochs}",
        ]
        overrides += [
            "search.first=[]",
            "search.baselines=false",
            "search.checks=false",
            "budget.time=10m",
            "evaluation.folds=null",
            "training.precision=fp32",
            f"training.final={final}",
        ]
        overrides += [f"search.seed={seed}", f"training.augment={augment}"]
        options = {"trials": 1, "out": folder, "device": "cpu", "workers": 0, "deterministic": True}
        request = request_of({"space": "tabular", "overrides": overrides, **options})
        stop = Stop(request.spec.budget.time)
        # Without the report, which takes as long as all else.
        return run_search(request, open_search(request), stop, Callbacks(stop, Observer())).run

    return run


def messy():
    """A table as people write it, with row labels; the second half of a column of codes looks like another kind."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": [f"{n % 13},{n % 10}5" for n in range(ROWS)],
            "code": [f"00{n % 3}" if n < ROWS // 2 else rng.choice(["12", "A1"]) for n in range(ROWS)],
            "town": rng.choice(["Bern", "Chur", "Thun", "?"], ROWS),
            "built": [f"{1 + n % 28}/{1 + n % 12}/20{10 + n % 9}" for n in range(ROWS)],
            "price": [f"{(1 + n % 7) * 1111:,} €".replace(",", ".") for n in range(ROWS)],
            "id": [f"x{n}" for n in range(ROWS)],
            "sold": rng.choice(["no", "yes"], ROWS),
        },
        index=[f"plot {n}" for n in range(ROWS)],
    )
    frame.loc[frame.index[[3, 30]], "area"] = ""
    return frame


@pytest.fixture(scope="session")
def towns(tmp_path_factory, train):
    """Classes of a messy table with row labels."""
    folder = tmp_path_factory.mktemp("towns")
    messy().to_csv(folder / "towns.csv", sep=";")
    task = f'{{csv: {folder / "towns.csv"}, target: sold, dates: [built], drop: [id], missing: ["?"]}}'
    return Trained(train(folder, task), folder / "towns.csv")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, train):
    """Two values of the rows of an array."""
    folder = tmp_path_factory.mktemp("pairs")
    x = np.random.default_rng(1).normal(size=(ROWS, 4)).astype(np.float32)
    np.savez_compressed(folder / "pairs.npz", rows=x, both=np.stack([x[:, 0] + x[:, 1], 100 * x[:, 2]], axis=1))
    task = f"{{npz: {folder / 'pairs.npz'}, inputs: rows, targets: both}}"
    return Trained(train(folder, task, final="auto"), folder / "pairs.npz")


@pytest.fixture(scope="session")
def icons(tmp_path_factory, train):
    """Classes of image files of several sizes."""
    folder = tmp_path_factory.mktemp("icons")
    rng = np.random.default_rng(2)
    for number in range(40):
        path = folder / "icons" / ("bright" if number % 2 else "dark") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (9, 7 + number % 3, 3)).astype(np.uint8) + np.uint8(150 * (number % 2))
        Image.fromarray(pixels).save(path)
    return Trained(train(folder, f"{{images: {folder / 'icons'}, size: 8, channels: 3}}"), folder / "icons")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def predict(monkeypatch, capsys):
    """Run ``harness predict`` in this process, on the CPU."""

    def run(trained, data, *options):
        words = ["harness", "predict", trained.run, data, "--device", "cpu", *options]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Done(ended.value.code or 0, captured.out, captured.err)

    return run
