"""Images from a folder with one sub-folder per class, or with such folders for each part of the data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from harness.data.files import existing_folder
from harness.data.room import room
from harness.data.sources.class_folders import Content, find_samples, folder_source, readable
from harness.data.sources.image_pixels import Picture, read_picture
from harness.data.sources.source import Source, read_source
from harness.spec.task import Ground, ImagesTask

_LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as Pillow turns RGB into grey."""
_NEARLY_BLACK = 256 // 8
"""A set of deep images whose brightest level is below this has used three bits fewer than its format offers."""
_BLOCK = 64
"""Images that a thread is given at a time: of a million images there is no list of a million things to do."""
_FAINT = 8
"""With fewer levels than this between the darkest and the brightest pixel, a picture shows next to nothing."""


@cache
def image_files() -> Content:
    """Return which files hold images: those that Pillow opens."""
    opened = (suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN)
    return Content("images", frozenset(opened))


@read_source.register
def read_image_folder(task: ImagesTask) -> Source:
    """Read every image below the sub-folders of ``task.images``; names of sub-folders are the classes, sorted.

    Folders named train, val and test (and the like) with class folders inside are the parts of the data. Hidden files
    and folders are ignored, files whose name is not that of an image are left out with a note.
    """
    root = existing_folder(task.images)
    layout = find_samples(root, image_files())
    pictures = read_images(layout.files, size=task.size, channels=task.channels, background=task.background)
    return folder_source(
        root,
        layout,
        pictures.pixels,
        reading={"size": list(task.size), "channels": task.channels, "background": pictures.background},
        notes=(*layout.notes, *(f"{readable(root)}: {note}" for note in pictures.notes)),
    )


class Pictures(NamedTuple):
    """What image files show."""

    pixels: np.ndarray
    """uint8 ``x_NCHW``."""
    notes: tuple[str, ...]
    background: Ground
    """The ground that was laid under them; as it was asked for where nothing shone through."""


def read_images(
    files: Sequence[Path], *, size: tuple[int, int], channels: int, background: Ground = "auto"
) -> Pictures:
    """Return images upright, grey or RGB, resized, on a plain ground; and what there is to tell of them."""
    what = f"{len(files):,} images of {size[0]}x{size[1]}"
    images = room((len(files), channels, *size), np.uint8, what)
    opacity = room((len(files), *size), np.uint8, what)
    """Where something shines through; the rest stays untouched, and takes no memory."""

    def read(number: int) -> Picture:
        picture = read_picture(files[number], size, channels)
        images[number] = picture.pixels
        alpha = None
        if picture.alpha is not None:
            opacity[number] = picture.alpha
            alpha = opacity[number]
        return replace(picture, pixels=images[number], alpha=alpha)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # damaged tags beside whole pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Pillow decodes and resizes without the interpreter lock, which a picture needs for 0.3 ms; a photo of 375x500
        # takes 4.5 ms, so that threads keep over ten cores busy, without processes to be started.
        with ThreadPoolExecutor() as pool:
            blocks = (range(start, min(start + _BLOCK, len(files))) for start in range(0, len(files), _BLOCK))
            pictures = [*chain.from_iterable(pool.map(lambda block: [*map(read, block)], blocks))]
    background, blended = _blend(pictures, background)
    return Pictures(images, (*blended, *_deep_notes(pictures), *_frame_notes(files, pictures)), background)


def _blend(pictures: Sequence[Picture], background: Ground) -> tuple[Ground, list[str]]:
    """Lay one ground under all pictures that something shines through, in place; return it with notes."""
    clear = [(picture.pixels, picture.alpha) for picture in pictures if picture.alpha is not None]
    if not clear:
        return background, []
    why = ""
    if background == "auto":
        mean = _mean_luminance(clear)
        background, tone = ("white", "dark") if mean < 128 else ("black", "light")
        why = f", since what is opaque in them is {tone} (mean luminance {mean:.0f} of 255); `background` sets another"
    colour = {"white": (255, 255, 255), "black": (0, 0, 0)}.get(str(background), background)
    levels = np.array(colour, np.uint16)
    if len(clear[0][0]) == 1:
        levels = np.array([_LUMINANCE @ levels]).round().astype(np.uint16)
    faint = 0
    for pixels, alpha in clear:
        ground = ((255 - alpha.astype(np.uint16)) * levels[:, None, None] + 127) // 255
        pixels += ground.astype(np.uint8)  # in place, and never above 255: a colour is at most as large as its opacity
        faint += bool(np.ptp(pixels, axis=(1, 2)).max() < _FAINT)
    notes = [f"{len(clear):,} images have transparent pixels: blended with a ground of {background}{why}"]
    if faint:
        lost = "show one plain colour; if a shape is lost, set `background` to a colour that no shape has"
        notes.append(f"{faint:,} images with transparent pixels {lost}")
    return background, notes


def _mean_luminance(clear: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the mean (0 to 255) over all pixels, each weighted by its opacity; 0 where all is transparent."""
    opacity = sum(float(alpha.sum()) for _, alpha in clear)
    weights = _LUMINANCE if len(clear[0][0]) == 3 else np.ones(1)
    light = sum(float(weights @ pixels.sum(axis=(1, 2))) for pixels, _ in clear)
    return 255 * light / opacity if opacity else 0.0


def _deep_notes(pictures: Sequence[Picture]) -> list[str]:
    peaks = [picture.peak for picture in pictures if picture.peak is not None]
    if not peaks:
        return []
    note = f"{len(peaks):,} images have more than 8 bits per channel: scaled to 8 over the full range of their format"
    if max(peaks) >= _NEARLY_BLACK:
        return [note]
    share = f"the brightest pixel in them reaches {max(peaks) / 255:.1%} of that range, so all are nearly black"
    return [f"{note}; {share}: multiply the levels to fill it (those of 12 bits by 16) and save the images again"]


def _frame_notes(files: Sequence[Path], pictures: Sequence[Picture]) -> list[str]:
    several = [file for file, picture in zip(files, pictures, strict=True) if picture.more_frames]
    if not several:
        return []
    first = readable(Path(*several[0].parts[-2:]))
    return [f"{len(several):,} files hold several frames or pages, such as {first}: the first of each is used"]
