"""Recordings from a folder with one sub-folder per class, or with such folders for each part of the data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from harness.data.files import existing_folder
from harness.data.sounds import Sounds
from harness.data.sources.audio_file import AUDIO_FILES, read_wave
from harness.data.sources.class_folders import find_samples, folder_source, names_of, readable
from harness.data.sources.source import Source, read_source
from harness.errors import DataError
from harness.spec.audio import AudioTask


@read_source.register
def read_audio_folder(task: AudioTask) -> Source:
    """Read every recording below the sub-folders of ``task.audio``; names of sub-folders are the classes, sorted."""
    root = existing_folder(task.audio)
    layout = find_samples(root, AUDIO_FILES)
    return folder_source(
        root,
        layout,
        Sounds(read_waves(layout.files, task.rate), task),
        groups=None if task.split.group is None else _groups(names_of(root, layout), task.split.group, readable(root)),
    )


def read_waves(files: Sequence[Path], rate: int) -> list[np.ndarray]:
    """Return recordings, read beside each other: to bring one to another rate takes longer than to read it."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda file: read_wave(file, rate), files))


def _groups(names: Sequence[str], pattern: str, where: str) -> np.ndarray:
    """Return what a regular expression finds in each path."""
    found = [re.search(pattern, name) for name in names]
    if None in found:
        missing = names[found.index(None)]
        raise DataError(
            f"{where}: split.group {pattern!r} finds nothing in {missing!r}; it must find something in each path"
        )
    return np.array([each.group(1 if each.re.groups else 0) for each in found if each], dtype=object)
