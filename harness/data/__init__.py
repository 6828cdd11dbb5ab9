"""Data: sources, cleaning, splits, fingerprint, batches on the device and whole-batch augmentation.

Names load on first use: ``from harness.data import tasks`` lists the built-ins without importing torch or scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.data.asked_columns import check_columns, unknown_columns
    from harness.data.batches import Batch, Batches, Order, place
    from harness.data.catalog import tasks
    from harness.data.dataset import Dataset, load
    from harness.data.download import fetch
    from harness.data.learning import Learning
    from harness.data.part import Part
    from harness.data.preprocessing import check_preprocessing, prepare
    from harness.data.seeding import derive_seed
    from harness.data.sources.fashion_mnist import cache_folder
    from harness.data.sources.given import Given, given
    from harness.data.training_data import TrainingData
    from harness.data.unusual import Unusual

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "Given",
    "Learning",
    "Order",
    "Part",
    "TrainingData",
    "Unusual",
    "cache_folder",
    "check_columns",
    "check_preprocessing",
    "derive_seed",
    "fetch",
    "given",
    "load",
    "place",
    "prepare",
    "tasks",
    "unknown_columns",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "asked_columns": ("check_columns", "unknown_columns"),
        "batches": (
            "Batch",
            "Batches",
            "Order",
            "place",
        ),
        "catalog": ("tasks",),
        "dataset": ("Dataset", "load"),
        "download": ("fetch",),
        "sources.fashion_mnist": ("cache_folder",),
        "sources.given": ("Given", "given"),
        "learning": ("Learning",),
        "part": ("Part",),
        "preprocessing": ("check_preprocessing", "prepare"),
        "seeding": ("derive_seed",),
        "training_data": ("TrainingData",),
        "unusual": ("Unusual",),
    },
)
