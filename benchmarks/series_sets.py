"""Real time series with official splits, for benchmarks and tests: the ``.ts`` files that the package aeon ships.

aeon is not imported, which would take seconds; its files are read by their paths. Nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

UNIVARIATE = ("ACSF1", "ArrowHead", "GunPoint", "ItalyPowerDemand", "OSULeaf", "PickupGestureWiimoteZ")
"""Of the UCR archive; the last one has series of several lengths."""
MULTIVARIATE = ("BasicMotions", "JapaneseVowels")
"""Of the UEA archive; the last one has series of several lengths."""


def sets_folder() -> Path:
    """Return the folder of aeon's data sets; ImportError says what to install."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        raise ImportError("the series come with the package aeon: pip install aeon")
    return Path(found.origin).parent / "datasets" / "data"


def task_of(folder: Path, name: str) -> str:
    """Return the ``task=...`` of a search on the official split of a set."""
    train, test = (str(folder / name / f"{name}_{part}.ts") for part in ("TRAIN", "TEST"))
    return f"task={json.dumps({'ts': train, 'test': {'ts': test}})}"  # which is YAML as well
