"""What a run rests on, checked before anything is trained: its files, its data, the split of its samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from harness.reproduction.levels import Check
from harness.reproduction.recorded import Recorded
from harness.store import sha256_file
from harness.store.files import read_parquet
from harness.store.run import changed_files, sealed_files
from harness.study import Opened
from harness.study.split_record import SPLITS, split_frame


def file_checks(run: Path) -> tuple[list[Check], str]:
    """Return the files that are not what the run was sealed with, and why they were not looked at, or ``""``."""
    sealed = sealed_files(run)
    if not sealed:
        return [], "the run is not sealed (no manifest.json): whether its files have changed is not known"
    apart = [
        Check(f"sha256 of {name}", sealed[name], sha256_file(run / name) if (run / name).is_file() else None, False)
        for name in changed_files(run)
    ]
    return apart, ""


def data_checks(recorded: Recorded, opened: Opened) -> tuple[list[Check], str]:
    """Return whether data and split are those of the run, and why a split was not compared, or ``""``."""
    data = Check.of("data, sha256", recorded.stats["task"]["fingerprint"], opened.dataset.fingerprint)
    path = recorded.run / SPLITS
    if not data.equal:
        return [data], ""
    if not path.is_file():
        return [data], f"the run was made by a version that wrote no {SPLITS}: its split was not compared"
    old, new = read_parquet(path), split_frame(opened.job, opened.dataset)
    if opened.job.splits and "seed" in old:
        old = old[old["seed"].isin(new["seed"].unique())]
    return [data, *_split(old, new)], ""


def _split(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[Check]:
    """Yield the check of the samples of each part, in their order."""
    groups = [_samples(frame) for frame in (old, new)]
    for name in dict.fromkeys([*groups[0], *groups[1]]):
        yield Check.of(f"split: {name} samples, sha256", *(group.get(name) for group in groups))


def _samples(frame: pd.DataFrame) -> dict[str, str]:
    """Return the digest of the samples of each part by what it is called."""
    by = [name for name in ("part", "fold", "seed") if name in frame]
    digests = {}
    for key, rows in frame.groupby(by, sort=False):
        part, *number = key
        told = " ".join([str(part), *(f"{name} {value}" for name, value in zip(by[1:], number, strict=True))])
        digests[told] = hashlib.sha256(rows["index"].to_numpy(np.int64).tobytes()).hexdigest()
    return digests
