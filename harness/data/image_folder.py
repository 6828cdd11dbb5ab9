"""Images from a folder with one sub-folder per class."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.data.files import check_fits_host, existing_folder
from harness.data.source import Source
from harness.errors import DataError
from harness.spec.task import ImagesTask


def read_image_folder(task: ImagesTask) -> Source:
    """Read every image below the sub-folders of ``task.images``; names of sub-folders are the classes, sorted.

    Hidden files and folders are ignored, files whose name is not that of an image are left out with a note.
    """
    root = existing_folder(task.images)
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    known = Image.registered_extensions()
    files: list[Path] = []
    codes: list[int] = []
    skipped = 0
    for code, folder in enumerate(folders):
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        images = [entry for entry in entries if entry.suffix.lower() in known]
        skipped += len(entries) - len(images)
        files += images
        codes += [code] * len(images)
    if not files:
        raise DataError(f"{root}: holds no images; expected one sub-folder of images per class")
    if len(folders) < 2:
        raise DataError(f"{root}: holds only one class ({folders[0].name}); there is nothing to learn")
    height, width = task.size
    check_fits_host(len(files) * task.channels * height * width, f"{root}: {len(files):,} images of {height}x{width}")
    notes = (f"{root}: {skipped} entries of the class folders are not image files: left out",) if skipped else ()
    return Source(
        name=root.name,
        inputs=read_images(files, size=task.size, channels=task.channels),
        targets=np.array(codes, np.int64),
        class_names=tuple(folder.name for folder in folders),
        fingerprint=_fingerprint(root, files),
        notes=notes,
    )


def read_images(files: Sequence[Path], *, size: tuple[int, int], channels: int) -> np.ndarray:
    """Return uint8 ``x_NCHW``: turned upright, grey or RGB, resized to (height, width) with an area-aware filter."""
    images = np.empty((len(files), channels, *size), np.uint8)

    def read(number: int) -> None:
        images[number] = _read_image(files[number], size, channels)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # damaged tags beside whole pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes without the interpreter lock
            for _ in pool.map(read, range(len(files))):
                pass
    return images


def _read_image(path: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would clip 16-bit values at 255
                raise DataError(f"{path}: has more than 8 bits per channel; save it as 8-bit")
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "P" and "transparency" in upright.info:
                upright = upright.convert("RGBA")
            plain = upright.convert("L" if channels == 1 else "RGB")
            resized = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: has too many pixels to be decoded safely; shrink it or remove it") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: is not an image that can be read ({error}); remove or replace it") from None
    pixels = np.asarray(resized)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _fingerprint(root: Path, files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()
