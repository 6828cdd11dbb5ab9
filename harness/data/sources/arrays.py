"""Arrays: of NPZ files, given from Python, and tables that are arrays already."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from harness.data.columns import Cleaned, Reading, clean_columns
from harness.data.files import check_fits_host, existing_file, sha256_of_arrays
from harness.data.room import beyond_memory, chunks, let_go, room
from harness.data.series import checked, of_array, remarks
from harness.data.sources.source import Source, read_source
from harness.data.targets import encode_several, encode_targets
from harness.data.texts import row_of
from harness.errors import DataError, did_you_mean
from harness.spec.task import ArraysTask, NpzTask


@read_source.register
def read_npz(task: NpzTask) -> Source:
    """Read inputs and targets from an NPZ file; nothing in it is ever unpickled."""
    path = existing_file(task.npz)
    names = (task.inputs, task.targets)
    lengths = npz_lengths(path) if task.as_ == "series" else None
    return read_arrays(*_load(path, names), task, path.stem, str(path), names, lengths)


def read_arrays(
    inputs: np.ndarray,
    targets: np.ndarray,
    task: NpzTask | ArraysTask,
    name: str,
    where: str,
    labels: tuple[str, str] = ("inputs", "targets"),
    lengths: np.ndarray | None = None,
) -> Source:
    """Return the samples of two arrays, which messages call by their ``labels``.

    Inputs are N x F (a table of numbers), N x H x W, or N x C x H x W with 1 or 3 channels; or, where the task says so,
    series N x T or N x T x C, of ``lengths``. Targets are N, or N x V numbers, which are several values to predict of
    each sample.
    """
    x, y = f"{where}: {labels[0]!r}", f"{where}: {labels[1]!r}"
    several = targets.ndim == 2 and targets.size > len(targets) and targets.dtype.kind in "biuf"
    if targets.ndim != 1 + several or targets.dtype.kind not in "biufU":
        raise DataError(
            f"{y} is {_describe(targets)}, expected one number or text per sample, of shape N, or several numbers,"
            " N x 2 and more"
        )
    if inputs.ndim == 0 or len(inputs) != len(targets) or not len(targets):
        raise DataError(f"{x} is {_describe(inputs)} and {labels[1]!r} is {_describe(targets)}: not one each")
    if task.as_ is None:
        _check_numbers(inputs, x)
    _check_numbers(targets, y)
    reading = Reading(where, row_of)
    if several:
        encoded = encode_several(targets, task.kind, y, reading)
    else:
        encoded = encode_targets(pd.Series(targets), task.kind, y, reading)
    common: dict[str, Any] = {
        "name": name,
        "targets": encoded.targets,
        "class_names": encoded.class_names,
        "problem": task.kind,
        "value_names": tuple(map(str, range(targets.shape[1]))) if several else (),
        "target": labels[1],
        "array": labels[0],
        "fingerprint": sha256_of_arrays(inputs, targets, *(() if lengths is None else (lengths,))),
    }
    if task.as_ == "series":
        series = checked(of_array(inputs, x, lengths), x, row_of)
        return Source(**common, inputs=series, notes=(*encoded.notes, *remarks(series, x)))
    if inputs.ndim != 2:
        return Source(**common, inputs=as_images(inputs, x), notes=encoded.notes)
    names = [str(number) for number in range(inputs.shape[1])]
    table = numeric_table(inputs, names, where)
    return Source(
        **common, inputs=table.frame, columns=tuple(names), reading=table.reading, notes=(*encoded.notes, *table.notes)
    )


def numeric_table(array: np.ndarray, names: Sequence[str], where: str) -> Cleaned:
    """Return the columns of an N x F array that can be learnt from, with notes on those left out."""
    return clean_columns(pd.DataFrame(array, columns=list(names)), Reading(where, row_of))


def as_images(array: np.ndarray, where: str) -> np.ndarray:
    """Return N x H x W or N x C x H x W numbers as ``x_NCHW``, uint8 where they are, else float32."""
    images = array[:, None] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[1:]:
        raise DataError(
            f"{where} is {_describe(array)}; expected N x F, N x H x W, or N x C x H x W with 1 or 3 channels"
            " (transpose N x H x W x C with `x.transpose(0, 3, 1, 2)`)"
        )
    dtype = np.dtype(np.uint8 if images.dtype in (np.uint8, np.bool_) else np.float32)
    if images.dtype != dtype or not images.flags.c_contiguous:
        images = _converted(images, dtype, where)
    if not _finite(images):
        raise DataError(f"{where} holds values beyond the range of float32 (3e38); rescale them")
    return images


def _converted(images: np.ndarray, dtype: np.dtype, where: str) -> np.ndarray:
    """Return a copy of images as another type of numbers, one after the other."""
    found = room(images.shape, dtype, where)
    with np.errstate(over="ignore"):
        for part in chunks(found):
            found[part] = images[part]
    return found


def npz_lengths(path: Path) -> np.ndarray | None:
    """Return the array ``lengths`` of an NPZ file, the steps of each of its series; None where there is none."""
    with npz_errors(path), np.load(path, allow_pickle=False) as archive:
        lengths: np.ndarray | None = archive.get("lengths")
        return lengths


def _load(path: Path, keys: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    with npz_errors(path), np.load(path, allow_pickle=False) as archive, zipfile.ZipFile(path) as members:
        for key in keys:
            if key not in archive:
                raise DataError(f"{path}: holds no array {key!r}{did_you_mean(key, archive.files)}")
        sizes = {member.filename: member.file_size for member in members.infolist()}
        names = [f"{key.removesuffix('.npy')}.npy" for key in keys]
        inputs, targets = (
            _unpacked(members, name, f"{path}: {key!r}") if beyond_memory(sizes.get(name, 0)) else archive[key]
            for key, name in zip(keys, names, strict=True)
        )
        return inputs, targets


def _unpacked(members: zipfile.ZipFile, name: str, what: str) -> np.ndarray:
    """Return images that memory cannot hold, from where :func:`room` is for them."""
    with members.open(name) as file:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = reader(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        if len(shape) < 3:
            check_fits_host(members.getinfo(name).file_size, what)
        array = room(shape[::-1] if by_column else shape, dtype, what)
        for part in chunks(array):
            _fill(array[part], file)
            let_go(array[part])
        file.read(1)  # beyond the end, where the checksum is looked at
    return array.T if by_column else array


def _fill(array: np.ndarray, file: IO[bytes]) -> None:
    content = file.read(array.nbytes)
    if len(content) < array.nbytes:
        raise EOFError("an array ends early")
    array[:] = np.frombuffer(content, array.dtype).reshape(array.shape)


@contextmanager
def npz_errors(path: Path) -> Iterator[None]:
    """Turn what is wrong with an NPZ file into one line of :class:`DataError`."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: is not a whole NPZ file; save inputs and targets with `numpy.savez`")
    try:
        yield
    # RuntimeError: zipfile's word for archives that are encrypted or of an unknown kind
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{path}: is not a whole NPZ file ({error}); save it again with `numpy.savez`") from None
    except ValueError as error:
        raise DataError(
            f"{path}: cannot be read ({error}); save plain numbers, Python objects are never loaded"
        ) from None
    except MemoryError:
        raise DataError(f"{path}: its arrays do not fit in the host memory; use fewer samples") from None


def _check_numbers(array: np.ndarray, where: str) -> None:
    if array.dtype.kind not in "biufU":
        raise DataError(f"{where} is {_describe(array)}; expected numbers")
    if not _finite(array):
        raise DataError(f"{where} holds NaN or infinite values; correct or remove those samples")


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or all(np.isfinite(array[part]).all() for part in chunks(array))


def _describe(array: np.ndarray) -> str:
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} of {array.dtype}"
