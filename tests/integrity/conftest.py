"""One small search, and copies of it to spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import harness as package
from harness.store import read_json, seal
from harness.store.run import MANIFEST

SPACE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"epochs": 2},
    "search": {"baselines": False, "checks": False, "pruner": "none", "deterministic": True, "sampler": "random"},
    "training": {"final": "keep"},
    "space": {
        "architecture": {"mlp": {"width": {"int": [8, 64]}, "depth": 1}},
        "optimizer": {"adamw": {"lr": {"float": [0.001, 0.1], "log": True}}},
    },
}


@pytest.fixture(scope="session")
def searched(tmp_path_factory) -> Path:
    """The folder of a finished search of wine with three trials."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("integrity")
        patch.chdir(folder)  # no repository, whose uncommitted changes would be a part of the run
        return package.search(SPACE, trials=3, workers=0, device="cpu", out=folder).run


@pytest.fixture
def run(searched, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(searched, tmp_path / searched.name))


@pytest.fixture
def reseal() -> Callable[[Path], None]:
    """Return what makes the manifest of a changed run anew, as somebody who wants to hide the change would."""

    def again(path: Path) -> None:
        facts = {
            key: value for key, value in read_json(path / MANIFEST).items() if key not in ("files", "schema_version")
        }
        seal(path, facts)

    return again
