"""One image file as 8-bit pixels: upright, of the asked size, with its transparency kept apart."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from harness.data.sources.class_folders import readable
from harness.errors import DataError

_DEEP = re.compile(r"I;16.*|I;12|(L|LA|RGB|RGBX|RGBA|RGBa|CMYK);16[BLN]")
"""Pillow's names for the layout of files with more than 8 bits per channel; ``BGR;16`` has fewer."""
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    struct.error,
)
"""What Pillow's decoders raise at files that are not what they claim to be."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What an image file shows, and what was special about it."""

    pixels: np.ndarray
    """uint8 ``x_CHW``, on black where something shines through."""
    alpha: np.ndarray | None
    """uint8 ``x_HW``, 255 where nothing shines through; None if that is everywhere."""
    peak: int | None
    """Brightest level, 0 to 255, of a file with more than 8 bits per channel; None for other files."""
    more_frames: bool
    """Whether the file holds further frames or pages; the first was read."""


def read_picture(path: Path, size: tuple[int, int], channels: int) -> Picture:
    """Read an image as grey or RGB, resized to (height, width) with an area-aware filter.

    Colours are weighted by their opacity before resizing mixes them, so that what lies hidden under transparent pixels
    does not show at the edges of a shape. Raises :class:`DataError` for what cannot be read, or only by guessing.
    """
    try:
        with Image.open(path) as image:
            layout = _layout(image)
            more_frames = image.format != "PSD" and bool(getattr(image, "is_animated", False))  # those are layers
            sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
            if image.mode.startswith(("I", "F")) and not sixteen:
                raise DataError(
                    f"{readable(path)}: has levels of 32 bits or with a sign, whose black and white are not known;"
                    " save it as 8-bit or 16-bit PNG"
                )
            upright = ImageOps.exif_transpose(image)
            level = _sixteen_to_eight(upright, layout) if sixteen else _eight(upright, layout)
            pixels, alpha = _resize(level, size, channels)
            peak = int(np.asarray(level.convert("L")).max()) if sixteen or _DEEP.fullmatch(layout) else None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{readable(path)}: has too many pixels to be decoded safely; shrink or remove it") from None
    except _UNREADABLE as error:
        why = readable(" ".join(str(error).split()))
        raise DataError(f"{readable(path)}: is not an image that can be read ({why}); remove or replace it") from None
    return Picture(pixels, alpha, peak, more_frames)


def _layout(image: ImageFile.ImageFile) -> str:
    """Return how the file lays out its pixels, in Pillow's words; known only before they are decoded."""
    words = image.tile[0].args if image.tile else ""
    return next((word for word in ([words] if isinstance(words, str) else words or ()) if isinstance(word, str)), "")


def _sixteen_to_eight(image: Image.Image, layout: str) -> Image.Image:
    """Scale grey levels of 16 bits by 1/257, of 12 bits by 255/4095; Pillow itself would clip them at 255."""
    values = np.asarray(image).astype(np.uint16)
    if layout == "I;12":
        values = (values << 4 | values >> 8).astype(np.uint16)
    grey = Image.fromarray((values // 257 + (values % 257 > 128)).astype(np.uint8))
    hidden = image.info.get("transparency")
    if hidden is None:
        return grey
    alpha = Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha)).convert("RGBA")


def _eight(image: Image.Image, layout: str) -> Image.Image:
    """Return RGBA where something shines through or might, RGB for LAB, and everything else as it is."""
    if image.mode == "LAB":  # Pillow turns it into RGB alone
        return image.convert("RGB")
    if not image.has_transparency_data:
        return image
    hidden = image.info.get("transparency")
    # A transparent colour is given in the depth of the file, to which Pillow does not bring it.
    if layout in ("L;2", "L;4") and isinstance(hidden, int):
        image.info["transparency"] = hidden * {"L;2": 85, "L;4": 17}[layout]
    elif _DEEP.fullmatch(layout) and isinstance(hidden, tuple):
        image.info["transparency"] = tuple(level >> 8 for level in hidden)
    return image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")


def _resize(image: Image.Image, size: tuple[int, int], channels: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return ``x_CHW`` and, where something shines through, ``alpha_HW``."""
    width_height, filter_ = (size[1], size[0]), Image.Resampling.BILINEAR
    mode, alpha = "L" if channels == 1 else "RGB", None
    if image.mode == "RGBA" and np.asarray(image.getchannel("A")).min() < 255:
        weighted = np.asarray(image.convert("RGBa").resize(width_height, filter_))
        alpha = weighted[..., 3]
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(weighted[..., :3])).convert(mode))
    else:
        pixels = np.asarray(image.convert(mode).resize(width_height, filter_))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1), alpha
