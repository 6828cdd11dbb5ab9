"""Search a DataFrame of your own, by a metric of your own.

Takes about half a minute. From the top of the checkout: ``python examples/search_frame.py``.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import harness


def regret(targets: np.ndarray, answers: np.ndarray) -> float:
    """Return the mean cost of a wrong price: one that is too low costs twice as much as one that is too high."""
    return float(np.where(answers < targets, 2.0 * (targets - answers), answers - targets).mean())


houses = pd.read_csv(Path(__file__).parent / "houses.csv")
space = {
    "task": {"split": {"seed": 1}},
    "objective": {"regret": "minimize"},
    "budget": {"trials": 4, "epochs": 20},
    "space": {
        "architecture": {"mlp": {"depth": {"int": [1, 3]}, "width": {"int": [16, 128], "log": True}}},
        "optimizer": {"adamw": {"lr": {"float": [1e-3, 1e-1], "log": True}}},
        "batch_size": 32,
    },
}
result = harness.search(space, data=houses, target="price", metrics={"regret": regret})
print(f"regret on the test samples {result.test['regret']:,.0f}, R² {result.test['r2']:.3f}")
print(result.run)
