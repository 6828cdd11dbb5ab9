"""Samples in the arrays of NPZ files, which are unpacked no further than a chunk needs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.data.sources.arrays import npz_errors
from harness.errors import DataError, did_you_mean
from harness.prediction.samples import Chunk, Samples

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MEMBER = ".npy"


def npz_samples(path: Path, preprocessing: Mapping[str, Any], beside: tuple[str, ...] = ()) -> Samples:
    """Return the samples of an NPZ file; nothing in it is ever unpickled. Raises :class:`DataError`.

    ``beside`` are arrays that are no samples.
    """
    with npz_errors(path), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(_MEMBER) for name in archive.namelist() if name.endswith(_MEMBER)]
    names = [name for name in names if name not in beside]
    name = _inputs(path, names, preprocessing)

    def chunks(rows: int) -> Iterator[Chunk]:
        with npz_errors(path), zipfile.ZipFile(path) as archive, archive.open(name + _MEMBER) as member:
            done = 0
            for array, total in _arrays(member, f"{path}: {name!r}", rows):
                done += len(array)
                yield Chunk(array, len(array), {}, done / total if total else 1.0)

    return Samples(f"{path}: {name!r}", chunks)


def _inputs(path: Path, names: list[str], preprocessing: Mapping[str, Any]) -> str:
    """Return the array of the inputs: called as in training, or the only one beside the targets."""
    trained = preprocessing.get("array", "")
    if trained in names:
        return str(trained)
    others = [name for name in names if name != preprocessing["target"].get("name")]
    if len(others) == 1:
        return others[0]
    raise DataError(f"{path}: holds no array {trained or 'x'!r}{did_you_mean(trained or 'x', names)}")


def _arrays(file: IO[bytes], where: str, rows: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield so many samples at a time, with the number of all."""
    header = _HEADERS.get(np.lib.format.read_magic(file))
    if header is None:
        raise DataError(f"{where}: is of a format that is not known; save it with `numpy.savez`")
    shape, by_columns, dtype = header(file)
    if not shape or dtype.kind not in "biufU":
        raise DataError(f"{where} is {' x '.join(map(str, shape)) or 'a single value'} of {dtype}; expected numbers")
    if by_columns:  # no row is whole before the last column
        whole = np.frombuffer(bytearray(file.read()), dtype).reshape(shape[::-1]).T
        yield from ((whole[first : first + rows], shape[0]) for first in range(0, max(1, shape[0]), rows))
        return
    width = dtype.itemsize * int(np.prod(shape[1:]))
    for first in range(0, max(1, shape[0]), rows):
        count = min(rows, shape[0] - first)
        data = file.read(count * width)
        if len(data) < count * width:
            raise EOFError("it ends within its samples")
        yield np.frombuffer(bytearray(data), dtype).reshape(count, *shape[1:]), shape[0]
