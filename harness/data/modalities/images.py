"""Images: standardised per channel, as float32 ``x_NCHW``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NotRequired

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from typing_extensions import TypedDict, override

from harness.data.features import Fault, Features
from harness.data.files import existing_file
from harness.data.fitted import Target
from harness.data.modalities.raw import as_array, codes_of_equal
from harness.data.modality import Modality, Prepared
from harness.data.part import Normalise
from harness.data.pooling import pool_of, pooled
from harness.data.room import rows_of
from harness.data.sources.arrays import as_images
from harness.data.sources.image_folder import read_images
from harness.data.unusual import Unusual
from harness.errors import DataError
from harness.records import Input, image_inputs
from harness.spec.task import Ground

_CHUNK = 2**22
"""Pixels turned to float64 at a time while their mean and deviation are measured."""
_PATCH = 3
"""Side of the patches of images."""
_PATCH_PIXELS = 2**18
"""Pixels of the images, evenly chosen, whose patches are looked at."""


class Files(TypedDict, total=False):
    """What image files are read with; empty where the data were arrays."""

    size: tuple[int, int]
    channels: Literal[1, 3]
    background: Ground


class Images(TypedDict):
    """Of images, whose shape is (channels, height, width)."""

    inputs: Literal["image"]
    image: tuple[int, int, int]
    dtype: NotRequired[Literal["uint8", "float32"]]
    mean: list[float]
    std: list[float]
    patches: NotRequired[list[list[float]]]
    array: NotRequired[str]
    reading: NotRequired[Files]
    target: Target


class ImageModality(Modality[np.ndarray]):
    """``x_NCHW`` as uint8 or float32."""

    name = "image"
    raw = np.ndarray
    form: ClassVar[type] = Images

    def take(self, raw: np.ndarray, rows: np.ndarray, what: str) -> np.ndarray:
        """Copy some images, into a mapped file where memory does not hold them."""
        return rows_of(raw, rows, what)

    def alike(self, raw: np.ndarray) -> np.ndarray:
        """Tell identical images by their digests."""
        return codes_of_equal(raw)

    @override
    def fit(self, raw: np.ndarray, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return mean and deviation of each channel, and the covariance of patches."""
        return _fit_images(raw, rows)

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the only input."""
        channels, height, width = fitted["image"]
        return image_inputs(channels, height, width, tuple(map(tuple, fitted.get("patches", ()))))

    @override
    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return the images as they are, of the size of training's, to be standardised on the device."""
        return Prepared((_images(fitted, raw),), Normalise(tuple(fitted["mean"]), tuple(fitted["std"])))

    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return the values of all channels."""
        return math.prod(fitted["image"])

    @override
    def features(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Features:
        """Return the means of squares of pixels."""
        return Features(pooled(inputs[0], pool_of(*fitted["image"])))

    @override
    def faults(self, raw: np.ndarray) -> Iterator[Fault]:
        """Yield images of one colour."""
        first_NC11 = raw[:, :, :1, :1]
        plain = (raw == first_NC11).all(axis=(1, 2, 3))
        yield Fault("empty", "are of one colour", "look whether they were read, and remove them", plain)


def _fit_images(images_NCHW: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    count = len(rows) * images_NCHW[0, 0].size
    step = max(1, _CHUNK // images_NCHW[0].size)
    chunks = [rows[start : start + step] for start in range(0, len(rows), step)]
    mean_C = sum(images_NCHW[chunk].sum(axis=(0, 2, 3), dtype=np.float64) for chunk in chunks) / count
    centre_C11 = mean_C[:, None, None]
    squares = (np.square(images_NCHW[chunk] - centre_C11).sum(axis=(0, 2, 3)) for chunk in chunks)
    std_C = np.sqrt(sum(squares) / count)
    std_C[std_C == 0.0] = 1.0
    return {
        "inputs": "image",
        "image": list(images_NCHW.shape[1:]),
        "dtype": str(images_NCHW.dtype),
        "mean": mean_C.astype(np.float32).tolist(),
        "std": std_C.astype(np.float32).tolist(),
        "patches": _patches((images_NCHW[_few(images_NCHW, rows)] - centre_C11) / std_C[:, None, None]),
    }


def _few(images_NCHW: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows[:: max(1, len(rows) * images_NCHW[0].size // _PATCH_PIXELS)]


def _patches(x_NCHW: np.ndarray) -> list[list[float]]:
    """Return the covariance of all patches; empty where they do not fit into the images.

    It is rounded so far that it does not depend on how a machine sums up.
    """
    _, channels, height, width = x_NCHW.shape
    if min(height, width) < _PATCH:
        return []
    windows_NCHWpp = sliding_window_view(x_NCHW, (_PATCH, _PATCH), axis=(2, 3))
    patches_DP = windows_NCHWpp.transpose(1, 4, 5, 0, 2, 3).reshape(channels * _PATCH**2, -1)
    return [[float(f"{value:.6g}") for value in row] for row in np.cov(patches_DP, bias=True)]


def _images(preprocessing: Mapping[str, Any], raw: Any) -> np.ndarray:
    """Return ``x_NCHW`` as the training data were before they were normalised."""
    if isinstance(raw, Sequence) and not isinstance(raw, str) and all(isinstance(each, str | Path) for each in raw):
        raw = _pictures(preprocessing, raw)
    images_NCHW, shape = as_images(as_array(raw), "raw images"), tuple(preprocessing["image"])
    if images_NCHW.shape[1:] != shape:
        raise DataError(f"raw images are {images_NCHW.shape[1:]}, the training data's were {shape}; resize them")
    return images_NCHW


def _pictures(preprocessing: Mapping[str, Any], paths: Sequence[str | Path]) -> np.ndarray:
    how = preprocessing.get("reading")
    if not how:
        raise DataError("the training data were arrays, not image files; give arrays of images")
    files = [existing_file(Path(path)) for path in paths]
    # Nothing shone through in training: one ground for all, whatever pictures are read together.
    ground: Ground = "white" if how["background"] == "auto" else how["background"]
    return read_images(files, size=tuple(how["size"]), channels=how["channels"], background=ground).pixels
