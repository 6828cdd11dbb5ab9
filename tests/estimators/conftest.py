"""Small searches: one trial of a small network takes a fraction of a second."""

import numpy as np
import pandas as pd
import pytest

SPACE = {
    "space": {
        "architecture": {"mlp": {"depth": 1, "width": 32}},
        "optimizer": {"adamw": {"lr": 0.02}},
        "batch_size": 16,
    },
    "budget": {"epochs": 4},
    "search": {"checks": False},
    "training": {"final": "keep", "precision": "fp32"},
}
OPTIONS = {"space": SPACE, "trials": 1, "random_state": 0}


@pytest.fixture(scope="session")
def options():
    """Parameters of an estimator whose ``fit`` is short."""
    return OPTIONS


@pytest.fixture(scope="session")
def animals():
    """A table with numbers, some of them missing, a category, text and dates; and labels that follow from them."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["cat", "dog", "eel"], 90)
    weight = np.select([kind == "cat", kind == "dog"], [4.0, 25.0], 2.0) + rng.normal(0.0, 0.3, 90)
    frame = pd.DataFrame(
        {
            "weight": np.where(rng.random(90) < 0.1, np.nan, weight),
            "coat": pd.Categorical(rng.choice(["short", "long"], 90)),
            "water": np.where(kind == "eel", "yes", rng.choice(["no", None], 90)),
            "born": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 90), unit="D"),
            "tame": rng.random(90) < 0.5,
        },
        index=rng.permutation(90),
    )
    return frame, kind
