"""A strict reader of IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from harness.data.files import existing_file
from harness.errors import DataError

_UBYTE = 0x08
_MAX_BYTES = 2**31


def read_idx(path: Path, *, ndim: int) -> np.ndarray:
    """Return the uint8 array of ``ndim`` dimensions in an IDX file; a name that ends in ``.gz`` is decompressed.

    Raises :class:`DataError`, naming the file, for a wrong magic, type or dimension, a file that is shorter or longer
    than its header says, and damaged gzip data.
    """
    path = existing_file(path)
    try:
        with _open(path) as file:
            return _read(file, path, ndim)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not a whole gzip file ({error}); fetch it again") from None


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read(file: BinaryIO, path: Path, ndim: int) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: is not an IDX file (it starts with {magic.hex() or 'nothing'}); fetch it again")
    if magic[2] != _UBYTE:
        raise DataError(f"{path}: holds IDX type 0x{magic[2]:02x}, expected 0x08 (unsigned bytes)")
    if magic[3] != ndim:
        raise DataError(f"{path}: has {magic[3]} dimensions, expected {ndim}; are images and labels swapped?")
    header = file.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise DataError(f"{path}: ends within its header; fetch it again")
    shape = tuple(np.frombuffer(header, ">u4").tolist())
    size = math.prod(shape)
    if size > _MAX_BYTES:
        raise DataError(f"{path}: its header claims {size:,} bytes, more than the 2 GiB that are read; fetch it again")
    content = file.read(size + 1)  # one byte more than promised shows a file that is too long
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content):,}"
        raise DataError(f"{path}: holds {found} bytes where its header says {size:,}; fetch it again")
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape)
