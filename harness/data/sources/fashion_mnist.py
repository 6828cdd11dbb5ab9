"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017, arXiv:1708.07747): its files, where they lie, and how they are read."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from harness.cache import user_cache
from harness.data.files import existing_file, sha256_of_arrays
from harness.data.sources.arrays import as_images
from harness.data.sources.source import Source
from harness.errors import DataError

_UBYTE = 0x08
_MAX_BYTES = 2**31


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file as it was published, known by its content *before* compression.

    Mirrors and Debian's dataset-fashion-mnist may compress the same content differently, so that the digest of a
    ``.gz`` file would tell the packer rather than the data.
    """

    stem: str
    plain_bytes: int
    plain_sha256: str

    @property
    def archive(self) -> str:
        """Name of the compressed file."""
        return f"{self.stem}.gz"


TRAIN_IMAGES = PublishedFile(
    "train-images-idx3-ubyte", 47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
)
TRAIN_LABELS = PublishedFile(
    "train-labels-idx1-ubyte", 60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
)
TEST_IMAGES = PublishedFile(
    "t10k-images-idx3-ubyte", 7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
)
TEST_LABELS = PublishedFile(
    "t10k-labels-idx1-ubyte", 10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_NAME = "fashion-mnist"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def cache_folder() -> Path:
    """Return the user's folder for the files, ``$XDG_CACHE_HOME/harness/fashion-mnist``; it need not exist."""
    return user_cache() / _NAME


def read_fashion_mnist(directory: Path | None) -> Source:
    """Read the four files; the last 10,000 samples are the official test set.

    They are looked for in ``directory``, ``$HARNESS_DATA`` (its sub-folder fashion-mnist first), where Debian's
    package puts them, and the user's cache. :class:`DataError` says how to get them when they are nowhere.
    """
    folder = _find(directory)
    images, labels = zip(
        _read_pair(folder, TRAIN_IMAGES, TRAIN_LABELS), _read_pair(folder, TEST_IMAGES, TEST_LABELS), strict=True
    )
    if images[0].shape[1:] != images[1].shape[1:]:
        raise DataError(f"{folder}: training images are {images[0].shape[1:]}, test images {images[1].shape[1:]}")
    elsewhere = directory is not None and folder != directory.expanduser()
    return Source(
        name=_NAME,
        inputs=as_images(np.concatenate(images), str(folder)),
        targets=np.concatenate(labels).astype(np.int64),
        class_names=CLASSES,
        fingerprint=sha256_of_arrays(*images, *labels),
        official_test=len(labels[1]),
        notes=(f"{directory} does not hold the four files of {_NAME}: read from {folder}",) if elsewhere else (),
    )


def _folders(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory.expanduser()
    if configured := os.environ.get("HARNESS_DATA"):
        yield Path(configured) / _NAME
        yield Path(configured)
    yield _DEBIAN
    yield cache_folder()


def _find(directory: Path | None) -> Path:
    looked = tuple(_folders(directory))
    for folder in looked:
        if all(_existing(folder, file) for file in FILES):
            return folder
    raise DataError(
        f"{_NAME}: no folder with its four files in {', '.join(map(str, looked))}; install Debian's package"
        f" dataset-fashion-mnist, or run `harness tasks fetch {_NAME}`"
    )


def _existing(folder: Path, file: PublishedFile) -> Path | None:
    paths = (folder / file.archive, folder / file.stem)
    return next((path for path in paths if path.exists()), None)


def _read_pair(folder: Path, images: PublishedFile, labels: PublishedFile) -> tuple[np.ndarray, np.ndarray]:
    images_path = _existing(folder, images) or folder / images.archive
    labels_path = _existing(folder, labels) or folder / labels.archive
    x_NHW, y_N = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(x_NHW) != len(y_N) or not len(y_N):
        raise DataError(f"{images_path}: holds {len(x_NHW)} images, {labels_path.name} {len(y_N)} labels; fetch both")
    if y_N.max() >= len(CLASSES):
        raise DataError(f"{labels_path}: holds label {y_N.max()}, expected 0 to {len(CLASSES) - 1}; fetch it again")
    return x_NHW, y_N


def read_idx(path: Path, *, ndim: int) -> np.ndarray:
    """Return the uint8 array of ``ndim`` dimensions in an IDX file; a name that ends in ``.gz`` is decompressed.

    IDX is the format of MNIST (http://yann.lecun.com/exdb/mnist).
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
