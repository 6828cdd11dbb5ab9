"""Data: sources, cleaning, splits, fingerprint, batches on the device and whole-batch augmentation.

Names load on first use: ``from harness.data import tasks`` lists the built-ins without importing torch or scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.data.batches import Batch, Batches, place
    from harness.data.catalog import tasks
    from harness.data.dataset import Dataset
    from harness.data.download import fetch
    from harness.data.fashion_mnist import cache_folder
    from harness.data.loading import load
    from harness.data.part import Part
    from harness.data.preprocessing import apply_preprocessing
    from harness.data.seeding import derive_seed

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "Part",
    "apply_preprocessing",
    "cache_folder",
    "derive_seed",
    "fetch",
    "load",
    "place",
    "tasks",
]

_HOMES = {
    "Batch": "batches",
    "Batches": "batches",
    "Dataset": "dataset",
    "Part": "part",
    "apply_preprocessing": "preprocessing",
    "cache_folder": "fashion_mnist",
    "derive_seed": "seeding",
    "fetch": "download",
    "load": "loading",
    "place": "batches",
    "tasks": "catalog",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
