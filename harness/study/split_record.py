"""Which sample is in which part, as ``splits.parquet`` records it."""

from __future__ import annotations

import pandas as pd

from harness.data import Dataset
from harness.study.job import Job

SPLITS = "splits.parquet"


def split_frame(job: Job, dataset: Dataset) -> pd.DataFrame:
    """Return which sample is in which part; of several splits, in which fold or with which seed (test: 0).

    Of those only the validation samples of each are told: all others but the test samples are trained on there.
    """
    return pd.concat(_parts(job, dataset), ignore_index=True)


def _parts(job: Job, dataset: Dataset) -> list[pd.DataFrame]:
    index = dataset.split_index
    if job.learning is not None:
        drawn = [(seed, "validation", rows) for seed, rows in job.learning.validation_index.items()]
        told = (*drawn, (0, "test", index["test"]))
        return [pd.DataFrame({"index": rows, "part": part, "seed": seed}) for seed, part, rows in told]
    if not job.folds:
        return [pd.DataFrame({"index": rows, "part": part}) for part, rows in index.items()]
    dealt = [(fold.validation.index, "validation", number) for number, fold in enumerate(job.folds, start=1)]
    rows = [*dealt, (index["test"], "test", 0)]
    return [pd.DataFrame({"index": index, "part": part, "fold": fold}) for index, part, fold in rows]
