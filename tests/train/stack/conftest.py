"""What tests of stacks share."""

import importlib
from pathlib import Path

import pytest
import torch

from harness.records import TaskKind


@pytest.fixture(scope="module")
def toy():
    """trainings.py, on one thread."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        torch.set_num_threads(1)
        yield importlib.import_module("trainings")
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def classes(toy):
    return toy.bench(TaskKind.CLASSIFICATION, outputs=3)


@pytest.fixture(scope="module")
def values(toy):
    return toy.bench(TaskKind.REGRESSION)


@pytest.fixture
def float64():
    """Models and what is made without saying otherwise are of eight bytes."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
