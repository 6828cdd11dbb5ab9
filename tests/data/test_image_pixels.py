"""What a file shows is what the network gets: transparency, depth, frames and colour spaces."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from harness.data.sources.image_folder import read_images
from harness.errors import DataError

GREY = np.array([0.299, 0.587, 0.114])


def pixels_of(path, *, size, channels=3, background="auto"):
    return read_images([path], size=size, channels=channels, background=background)[0][0]


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def on_ground(rgba, ground):
    """The textbook: opacity times colour, and the rest of the ground."""
    alpha = rgba[..., 3:] / 255
    return alpha * rgba[..., :3] + (1 - alpha) * np.array(ground)


def png(depth, colour, rows, width, transparent=b""):
    """A PNG file of raw rows, for what Pillow reads but does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    extra = chunk(b"tRNS", transparent) if transparent else b""
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


RGBA = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGBA", "png"),
        ("RGBA", "tiff"),
        ("RGBA", "tga"),
        ("RGBA", "webp"),
        ("LA", "png"),
        ("LA", "tiff"),
        ("LA", "tga"),
    ],
)
def test_an_alpha_channel_is_blended_as_the_textbook_says(tmp_path, mode, suffix):
    image = Image.fromarray(RGBA).convert(mode)
    image.save(tmp_path / f"x.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    shown = pixels_of(tmp_path / f"x.{suffix}", size=(6, 5), background=(200, 30, 90)).transpose(1, 2, 0)
    assert np.abs(shown - on_ground(np.asarray(image.convert("RGBA")), (200, 30, 90))).max() <= 1


def test_a_palette_may_be_transparent_by_index_by_table_or_by_a_channel(tmp_path):
    palette = Image.fromarray(RGBA).convert("RGB").quantize(16)
    colours = np.asarray(palette.convert("RGB"))
    index = np.asarray(palette)
    table = np.zeros(16, np.uint8) + np.arange(16, dtype=np.uint8) * 17
    palette.save(tmp_path / "index.png", transparency=3)
    palette.save(tmp_path / "index.gif", transparency=3)
    palette.save(tmp_path / "table.png", transparency=table.tobytes())
    channel = palette.convert("PA")
    channel.putalpha(Image.fromarray(table[index]))
    channel.save(tmp_path / "channel.tiff")
    assert mode_of(tmp_path / "channel.tiff") == "PA"
    for name, alpha in (
        ("index.png", np.where(index == 3, 0, 255)),
        ("index.gif", np.where(index == 3, 0, 255)),
        ("table.png", table[index]),
        ("channel.tiff", table[index]),
    ):
        wanted = on_ground(np.dstack([colours, alpha]), (255, 255, 255))
        shown = pixels_of(tmp_path / name, size=(6, 5), background="white").transpose(1, 2, 0)
        assert np.abs(shown - wanted).max() <= 1, name


@pytest.mark.parametrize(
    ("depth", "colour", "row", "transparent", "wanted"),
    [
        (1, 0, b"\x50", b"\0\1", [0, 77, 0, 77]),
        (2, 0, b"\x1b", b"\0\1", [0, 77, 170, 255]),
        (4, 0, b"\x12\x3f", b"\0\2", [17, 77, 51, 255]),
        (8, 0, bytes([5, 6, 7, 6]), b"\0\6", [5, 77, 7, 77]),
        (16, 0, struct.pack(">4H", 0x1234, 0x1235, 0xFFFF, 0), struct.pack(">H", 0x1234), [77, 18, 255, 0]),
        (8, 2, bytes([5] * 3 + [6] * 3 + [6, 6, 7] + [6] * 3), b"\0\6" * 3, [5, 77, 6, 77]),
        (16, 2, struct.pack(">12H", *[257 * 9] * 3, *[257 * 8] * 9), struct.pack(">3H", *[257 * 9] * 3), [77, 8, 8, 8]),
    ],
)
def test_one_colour_may_be_transparent_at_any_depth(tmp_path, depth, colour, row, transparent, wanted):
    path = tmp_path / "x.png"
    path.write_bytes(png(depth, colour, [row] * 4, 4, transparent))
    shown = pixels_of(path, size=(4, 4), channels=1, background=(77, 77, 77))
    assert np.abs(shown[0, 0].astype(int) - wanted).max() <= 1


def test_colours_hidden_under_transparent_pixels_make_no_halo(tmp_path):
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[..., :3] = 255  # white, but to be seen nowhere
    rgba[9:30, 13:27] = (0, 0, 0, 255)
    Image.fromarray(rgba).save(tmp_path / "x.png")
    black = pixels_of(tmp_path / "x.png", size=(8, 8), channels=1, background="black")
    assert black.max() == 0
    blended = Image.fromarray(on_ground(rgba, (90, 90, 90)).astype(np.uint8)).resize((8, 8), Image.Resampling.BILINEAR)
    shown = pixels_of(tmp_path / "x.png", size=(8, 8), background=(90, 90, 90)).transpose(1, 2, 0)
    assert np.abs(shown.astype(int) - np.asarray(blended)).max() <= 2


@given(
    rgba=arrays(np.uint8, (5, 4, 4)),
    ground=st.tuples(*[st.integers(0, 255)] * 3),
    channels=st.sampled_from([1, 3]),
)
@settings(max_examples=60)
def test_no_blend_wraps_around(tmp_path_factory, rgba, ground, channels):
    path = tmp_path_factory.mktemp("blend") / "x.png"
    Image.fromarray(rgba).save(path)
    shown = pixels_of(path, size=(5, 4), channels=channels, background=ground).transpose(1, 2, 0)
    wanted = on_ground(rgba, ground)
    assert np.abs(shown - (wanted if channels == 3 else (wanted @ GREY)[..., None])).max() <= 2


def shapes(folder, *colours):
    """Files with a bar on a transparent ground, one of each colour."""
    for number, colour in enumerate(colours):
        rgba = np.zeros((16, 16, 4), np.uint8)
        rgba[4:8, 2:14] = (*colour, 255)
        Image.fromarray(rgba).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(len(colours))]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("colours", "ground", "name"),
    [
        ([(0, 0, 0)] * 2, 255, "white"),
        ([(255, 255, 255)] * 2, 0, "black"),
        ([(0, 0, 120), (90, 0, 0)], 255, "white"),
        ([(255, 255, 0), (0, 255, 0)], 0, "black"),
        ([(0, 0, 0), (0, 0, 0), (255, 255, 255)], 255, "white"),
    ],
)
def test_the_ground_is_one_that_the_shapes_stand_out_from(tmp_path, channels, colours, ground, name):
    files = shapes(tmp_path, *colours)
    images, notes, _ = read_images(files, size=(16, 16), channels=channels)
    assert (images[:, :, 0, 0] == ground).all()
    assert f"{len(colours)} images have transparent pixels: blended with a ground of {name}" in notes[0]
    lost = [number for number, image in enumerate(images) if np.ptp(image) == 0]
    assert len(lost) == sum(colour == (255, 255, 255) for colour in colours if ground == 255)
    assert any("1 images with transparent pixels show one plain colour" in note for note in notes) == bool(lost)


def test_hidden_colours_do_not_decide_the_ground_and_opaque_images_are_left_alone(tmp_path):
    rgba = np.full((8, 8, 4), 255, np.uint8)
    rgba[..., 3] = 0
    rgba[2:4, 2:6] = (10, 10, 10, 255)
    Image.fromarray(rgba).save(tmp_path / "hidden.png")
    rgba[..., 3] = 255
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    images, notes, _ = read_images([tmp_path / "hidden.png", tmp_path / "opaque.png"], size=(8, 8), channels=3)
    assert np.array_equal(images[0], images[1])  # its transparent pixels became as white as those of the other
    assert len(notes) == 1
    assert notes[0].startswith("1 images have transparent pixels: blended with a ground of white")
    assert read_images([tmp_path / "opaque.png"], size=(8, 8), channels=3)[1] == ()


def test_what_is_transparent_everywhere_is_told(tmp_path):
    Image.new("RGBA", (8, 8), (40, 50, 60, 0)).save(tmp_path / "x.png")
    images, notes, _ = read_images([tmp_path / "x.png"], size=(8, 8), channels=3)
    assert (images == 255).all()
    assert "1 images with transparent pixels show one plain colour" in notes[1]


EVERY = np.arange(65_536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize(
    ("suffix", "order"), [("png", "<"), ("tiff", "<"), ("lzw.tiff", "<"), ("tiff", ">"), ("pgm", "<"), ("jp2", "<")]
)
def test_grey_of_16_bits_is_scaled_over_its_full_range(tmp_path, suffix, order):
    image = Image.frombytes("I;16" if order == "<" else "I;16B", (256, 256), EVERY.astype(f"{order}u2").tobytes())
    path = tmp_path / f"x.{suffix}"
    image.save(path, **({"compression": "tiff_lzw"} if "lzw" in suffix else {}))
    images, notes, _ = read_images([path], size=(256, 256), channels=1)
    assert np.array_equal(images[0, 0], np.round(EVERY / 257))
    assert notes == ("1 images have more than 8 bits per channel: scaled to 8 over the full range of their format",)


@pytest.mark.parametrize(("colour", "count"), [(2, 3), (4, 2), (6, 4)])
def test_colour_of_16_bits_is_scaled_over_its_full_range(tmp_path, colour, count):
    levels = np.random.default_rng(2).integers(0, 65_536, (5, 5, count)).astype(">u2")
    if count != 3:
        levels[..., -1] = 65_535
    levels[0, 0] = 65_535
    (tmp_path / "x.png").write_bytes(png(16, colour, [row.tobytes() for row in levels], 5))
    images, notes, _ = read_images([tmp_path / "x.png"], size=(5, 5), channels=3)
    assert np.abs(images[0].transpose(1, 2, 0) - levels[..., : 3 if count > 2 else 1] / 257).max() <= 1
    assert notes[0].startswith("1 images have more than 8 bits per channel")


def tiff_of_12_bits(levels):
    """A TIFF file of one row of grey levels, two to three bytes."""
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in levels.reshape(-1, 2).tolist())
    tags = {256: levels.size, 257: 1, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(packed)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + packed


def test_12_bits_that_the_file_owns_up_to_are_scaled_and_those_in_16_are_told(tmp_path):
    levels = np.arange(0, 4096, 256) + np.arange(16) * 17
    (tmp_path / "twelve.tiff").write_bytes(tiff_of_12_bits(np.append(levels[1:], 4095)))
    image, notes, _ = read_images([tmp_path / "twelve.tiff"], size=(1, 16), channels=1)
    assert np.abs(image[0, 0, 0] - np.append(levels[1:], 4095) / 4095 * 255).max() <= 0.51
    assert "nearly black" not in notes[0]
    Image.fromarray((EVERY // 16).astype(np.uint16)).save(tmp_path / "sixteen.png")
    assert (
        "reaches 6.3% of that range, so all are nearly black: multiply"
        in read_images([tmp_path / "sixteen.png"], size=(9, 9), channels=1)[1][0]
    )
    Image.fromarray(EVERY).save(tmp_path / "bright.png")
    notes = read_images([tmp_path / "sixteen.png", tmp_path / "bright.png"], size=(9, 9), channels=1)[1]
    assert notes[0].startswith("2 images")
    assert "nearly black" not in notes[0]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_levels_whose_range_is_not_known_are_refused_by_name(tmp_path, dtype):
    Image.fromarray(np.arange(16, dtype=dtype).reshape(4, 4)).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match=r"x\.tiff: has levels of 32 bits .* save it as 8-bit or 16-bit PNG"):
        pixels_of(tmp_path / "x.tiff", size=(4, 4))


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp", "png", "mpo", "avif"])
def test_the_first_frame_is_read_and_the_others_are_told(tmp_path, suffix):
    frames = [Image.new("RGB", (16, 16), (level, level, level)) for level in (40, 220, 120)]
    frames[0].save(tmp_path / f"still.{suffix}")
    frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:])
    still, moving = tmp_path / f"still.{suffix}", tmp_path / f"moving.{suffix}"
    images, notes, _ = read_images([still, moving, moving], size=(4, 4), channels=1)
    assert np.abs(images.astype(int) - 40).max() <= 2
    assert len(notes) == 1
    assert f"2 files hold several frames or pages, such as {tmp_path.name}/moving.{suffix}: the first" in notes[0]


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("CMYK", "jpg"),
        ("CMYK", "tiff"),
        ("YCbCr", "jpg"),
        ("YCbCr", "tiff"),
        ("LAB", "tiff"),
        ("P", "gif"),
        ("1", "png"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_other_colour_spaces_show_the_same_colours(tmp_path, mode, suffix, channels):
    colour = {"1": (255, 255, 255), "LAB": (255, 0, 0)}.get(mode, (230, 20, 10))
    plain = Image.new("RGB", (16, 16), colour)
    if mode == "LAB":  # red is L* 54.3, a* 80.8, b* 69.9 under D50
        plain = Image.new("LAB", (16, 16), (138, 128 + 81, 128 + 70))
    plain.convert(mode).save(tmp_path / f"x.{suffix}")
    assert mode_of(tmp_path / f"x.{suffix}") == ("RGB" if mode == "YCbCr" and suffix == "jpg" else mode)
    shown = pixels_of(tmp_path / f"x.{suffix}", size=(4, 4), channels=channels).reshape(channels, -1).mean(axis=1)
    assert np.abs(shown - (np.array(colour) if channels == 3 else GREY @ colour)).max() < 12
