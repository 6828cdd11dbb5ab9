"""New samples in a file or a folder, read chunk by chunk; where a chunk ends changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.data.sources.class_folders import Content, readable, samples_below
from harness.data.texts import row_of
from harness.errors import DataError


class Chunk(NamedTuple):
    """Some samples, in their order."""

    raw: Any
    """What a predictor takes."""
    samples: int
    labels: Mapping[str, np.ndarray]
    """What the samples are called, by column: ``row`` or ``file``, or nothing."""
    share: float
    """Of all there is, how much has been read with this chunk: 0 to 1."""
    steps: Mapping[str, np.ndarray] = {}
    """Of several values that follow each other, what each of them is called, samples x values by column."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What can be read of samples.

    >>> Samples("rows", lambda rows: iter([Chunk([], 0, {}, 1.0)])).place(0)
    'row 1'
    """

    where: str
    """What messages about them start with, or nothing where they say it themselves."""
    chunks: Callable[[int], Iterator[Chunk]]
    """Yields so many samples at a time, and a chunk without any where there are none. Raises :class:`DataError`."""
    place: Callable[[int], str] = field(default=row_of)
    """Says where the sample with a number from 0 stands."""
    notes: tuple[str, ...] = ()


def file_samples(folder: Path, content: Content, read: Callable[[Sequence[Path]], Any]) -> Samples:
    """Return the samples in a folder and below it, a file each, of which some are read at a time.

    Raises :class:`DataError` where there are none.
    """
    files, others = samples_below(folder, content)
    if not files:
        raise DataError(
            f"{readable(folder)}: holds no {content.name}, nor do the folders below it; name another folder"
        )

    def chunks(rows: int) -> Iterator[Chunk]:
        for first in range(0, len(files), rows):
            some = files[first : first + rows]
            names = [readable(path.relative_to(folder).as_posix()) for path in some]
            labels = {"file": np.array(names, dtype=object)}
            yield Chunk(read(some), len(some), labels, (first + len(some)) / len(files))

    left_out = f"{readable(folder)}: {others:,} files not named like {content.name}: left out"
    return Samples("", chunks, notes=(left_out,) if others else ())
