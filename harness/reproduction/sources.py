"""What a run rests on, checked before anything is trained: its files, its data, the split of its samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from harness.integrity import verify
from harness.reproduction.levels import Check
from harness.reproduction.recorded import Recorded
from harness.store.files import read_parquet
from harness.study import Opened
from harness.study.split_record import SPLITS, split_frame


def file_checks(run: Path) -> tuple[list[Check], list[str]]:
    """Return what :func:`harness.verify` finds in a run, and what it could not check."""
    verified = verify(run)
    found = [Check(f"{each.file}: {each.what}", each.expected, each.found, equal=False) for each in verified.findings]
    return found, [f"not checked: {each}" for each in verified.unchecked]


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
