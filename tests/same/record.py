"""Run the searches whose results must not change unnoticed, and write down what came of them.

Run: ``python tests/same/record.py FOLDER``. Writes ``FOLDER/results.json``; the test beside it compares with the one
that is kept. Trials and scores are the same on every machine but for rounding; weights are the same bits only where
processor, torch and threads are.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import torch

import harness
from harness.hardware.cpu import read_cpu

TABULAR = """space={
  architecture: {mlp: {depth: {int: [0, 3]}, width: {int: [16, 64], log: true}, norm: [batch, none], numeric: [plain, piecewise_linear]}},
  optimizer: {
    adamw: {lr: {float: [1e-4, 3e-2], log: true}, weight_decay: {float: [1e-4, 3.0], log: true}},
    sgd: {lr: {float: [1e-3, 0.5], log: true}, momentum: {float: [0.8, 0.98]}, nesterov: true}},
  schedule: {cosine: {warmup_epochs: 0.5}}, epochs: 4, batch_size: [32, 64, 128, 256], clip_norm: [0.0, 1.0]}"""  # noqa: E501
SMALL = ["budget={epochs: 4}", "search.first=[]", "search.winner=cheapest", TABULAR, "evaluation={}"]
SEARCHES = {
    "digits": ("digits", ["budget.epochs=2", "training.final=refit"]),
    "wine": (
        "tabular",
        ["task=wine", *SMALL],
    ),
    "diabetes": (
        "tabular",
        ["task=diabetes", *SMALL],
    ),
}
TRIALS = 4
SEED = 3


def main() -> None:
    """Search in turn and write the results."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    found = {name: search(*asked) for name, asked in SEARCHES.items()}
    (folder / "results.json").write_text(json.dumps({"where": where(), "searches": found}, indent=1) + "\n")


def where() -> dict[str, str]:
    """Return what the bits of weights hang on."""
    cpu = read_cpu()
    return {"cpu": cpu.model or "", "isa": " ".join(cpu.isa or ()), "torch": torch.__version__}


def search(space: str, overrides: list[str]) -> dict[str, object]:
    """Return what a search of a few trials leaves that no clock has a hand in."""
    # The split is drawn from the search's seed, as it was before it had a seed of its own.
    overrides = [*overrides, f"task.split.seed={SEED}"]
    with tempfile.TemporaryDirectory() as out:
        result = harness.search(
            space, overrides=overrides, trials=TRIALS, seed=SEED, device="cpu", precision="fp32", out=out, workers=0,
            deterministic=True,
        )  # fmt: skip
        columns = [name for name in result.trials if name.startswith("validation_")]
        trials = result.trials[["trial", "outcome", "epochs", "best_epoch", "value", "params", *columns]]
        weights = (result.run / "best/model.safetensors").read_bytes()
        return {
            "trials": [row.dropna().to_dict() for _, row in trials.iterrows()],
            "final": result.stats["test"]["final"],
            "test": {name: value for name, value in result.test.items() if value == value},
            "weights": hashlib.sha256(weights).hexdigest(),
        }


if __name__ == "__main__":
    main()
