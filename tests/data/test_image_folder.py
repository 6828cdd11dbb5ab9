from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from harness.data import load
from harness.data.sources.image_folder import read_image_folder, read_images
from harness.errors import DataError
from harness.spec.task import ImagesTask


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, level in (("cats", 60), ("dogs", 180)):
        (tmp_path / name).mkdir()
        for number in range(12):
            pixels = (rng.integers(0, 40, (9, 7, 3)) + level).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_sub_folders_are_classes_and_images_are_resized(folder):
    data = load(ImagesTask(images=folder, size=(8, 6)), seed=0)
    assert (data.class_names, data.shape.inputs[0].sizes) == (("cats", "dogs"), (3, 8, 6))
    assert data.train.inputs[0].dtype == np.uint8
    means = data.train.inputs[0].mean(axis=(1, 2, 3))
    assert np.array_equal(means > 130, data.train.targets == 1)


def test_image_of_the_asked_size_keeps_its_pixels_in_channel_order(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    images, notes, _ = read_images([tmp_path / "x.png"], size=(5, 4), channels=3)
    assert np.array_equal(images[0], pixels.transpose(2, 0, 1))
    assert notes == ()
    grey = read_images([tmp_path / "x.png"], size=(5, 4), channels=1)[0][0, 0]
    assert np.allclose(grey, pixels @ [0.299, 0.587, 0.114], atol=1)


def test_images_are_turned_upright(tmp_path):
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    for dtype in (np.uint8, np.uint16):
        Image.fromarray(pixels.astype(dtype) * (np.iinfo(dtype).max // 255)).save(tmp_path / "turned.png", exif=exif)
        upright = read_images([tmp_path / "turned.png"], size=(4, 2), channels=1)[0][0, 0]
        assert np.array_equal(upright, np.rot90(pixels, k=-1))


def test_hidden_and_other_files_are_left_out(folder):
    before = read_image_folder(ImagesTask(images=folder))
    (folder / ".git").mkdir()
    (folder / "cats" / ".hidden.png").write_bytes(b"no image")
    (folder / "README").write_text("beside the classes")
    assert read_image_folder(ImagesTask(images=folder)).notes == ()
    (folder / "dogs" / "labels.txt").write_text("no image")
    after = read_image_folder(ImagesTask(images=folder))
    assert len(after) == 24
    assert after.fingerprint == before.fingerprint
    assert "1 entries of the class folders are not named like images" in after.notes[0]


def test_fingerprint_sees_names_and_content(folder):
    before = read_image_folder(ImagesTask(images=folder)).fingerprint
    (folder / "cats" / "0.png").rename(folder / "cats" / "00.png")
    renamed = read_image_folder(ImagesTask(images=folder)).fingerprint
    Image.new("RGB", (9, 7)).save(folder / "cats" / "00.png")
    assert len({before, renamed, read_image_folder(ImagesTask(images=folder)).fingerprint}) == 3


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_a_corrupt_image_is_named(folder, content):
    broken = folder / "dogs" / "3.png"
    broken.write_bytes(broken.read_bytes()[:120] if content is None else content)
    with pytest.raises(DataError, match="is not an image that can be read") as raised:
        load(ImagesTask(images=folder), seed=0)
    assert str(broken) in str(raised.value)


def test_what_was_special_about_the_images_is_told_with_the_folder(folder):
    Image.new("I;16", (9, 9), 40_000).save(folder / "cats" / "3.png")
    Image.new("RGBA", (9, 9), (10, 20, 30, 0)).save(folder / "dogs" / "3.png")
    Image.new("L", (9, 9)).save(folder / "dogs" / "4.gif", save_all=True, append_images=[Image.new("L", (9, 9), 99)])
    data = load(ImagesTask(images=folder, background=(7, 8, 9)), seed=0)
    assert all(note.startswith(f"{folder}: ") for note in data.notes)
    told = ("blended with a ground of (7, 8, 9)", "one plain colour", "1 images have more than 8 bits", "dogs/4.gif")
    assert len(data.notes) == len(told)
    assert all(text in note for text, note in zip(told, data.notes, strict=True))


def test_decompression_bombs_are_refused(folder, monkeypatch):
    for pixels in (50, 30):  # 63 pixels: a warning in Pillow's eyes, then an error
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
        with pytest.raises(DataError, match="too many pixels"):
            load(ImagesTask(images=folder), seed=0)


def test_folders_without_images_or_classes_are_refused(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match="holds no images"):
        load(ImagesTask(images=empty), seed=0)
    with pytest.raises(DataError, match="is a file, not a folder"):
        load(ImagesTask(images=folder / "cats" / "0.png"), seed=0)
    with pytest.raises(DataError, match="no such folder"):
        load(ImagesTask(images=folder / "none"), seed=0)
    (folder / "birds").mkdir()
    with pytest.raises(DataError, match="class 'birds' has 0 samples"):
        load(ImagesTask(images=folder), seed=0)
    one = tmp_path_factory.mktemp("one")
    (folder / "cats").rename(one / "cats")
    with pytest.raises(DataError, match="only one class"):
        load(ImagesTask(images=one), seed=0)
