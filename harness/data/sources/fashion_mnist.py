"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017, arXiv:1708.07747): its files, where they lie, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.files import sha256_of_arrays
from harness.data.sources.arrays import as_images
from harness.data.sources.idx import read_idx
from harness.data.sources.source import Source
from harness.errors import DataError


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
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "harness" / _NAME


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
