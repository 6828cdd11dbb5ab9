"""Folders of images: what is a class, what is a part of the data, and what is left out."""

from __future__ import annotations

import os
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from harness.data import load
from harness.data.sources.image_folder import read_image_folder
from harness.errors import DataError
from harness.spec.task import ImagesTask, Split


def fill(folder, count, level=100, suffix="png"):
    """Write small plain images, each a little different."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("L", (4, 4), level + number % 50).save(folder / f"{number:03d}.{suffix}")


def classes(folder, count, names=("cat", "dog")):
    for place, name in enumerate(names):
        fill(folder / name, count, 40 + 150 * place)


def read(folder):
    return read_image_folder(ImagesTask(images=folder, size=4, channels=1))


def refusal(folder):
    with pytest.raises(DataError) as raised:
        read(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("training", "validation", "testing"),
        ("Train", "VALID", "Test"),
        ("train", "dev", "test"),
    ],
)
def test_parts_of_any_usual_name_are_kept_and_told(tmp_path, train, validation, test):
    for name, count in ((train, 12), (validation, 5), (test, 7)):
        classes(tmp_path / name, count)
    task = ImagesTask(images=tmp_path, size=4, channels=1, split=Split(validation=0.4, test=0.4))
    data = load(task, seed=0)
    assert data.class_names == ("cat", "dog")
    source = read_image_folder(task)
    index = data.split_index
    for name, rows in ((train, index["train"]), (validation, index["validation"]), (test, index["test"])):
        assert {source.files[row].split("/")[0] for row in rows} == {name}
    assert [len(index[part]) for part in ("train", "validation", "test")] == [24, 10, 14]
    for row, file in enumerate(source.files):
        assert file.split("/")[1] == source.class_names[source.targets[row]]
    told = f"read as the parts of the data, not as classes: {train} (24), {validation} (10), {test} (14) images"
    assert any(told in note for note in data.notes)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("train", "test"), "validation samples are drawn"),
        (("train", "val"), "test samples are drawn"),
        (("train",), "validation and test samples are drawn"),
    ],
)
def test_missing_parts_are_drawn_from_train(tmp_path, given, missing):
    for name in given:
        classes(tmp_path / name, 20)
    (tmp_path / "validation").mkdir()  # empty: no part
    data = load(ImagesTask(images=tmp_path, size=4, channels=1), seed=0)
    files = np.array(read(tmp_path).files)
    for part, name in (("validation", "val"), ("test", "test")):
        rows = data.split_index[part]
        folders = {file.split("/")[0] for file in files[rows]}
        assert folders == {name if name in given else "train"}
        assert len(rows) == (40 if name in given else 6)
    assert any(missing in note for note in data.notes)
    assert any("folders beside the parts are left out: 'validation'" in note for note in data.notes)


def test_names_of_parts_may_be_classes_beside_others(tmp_path):
    for name in ("car", "bus", "train"):
        fill(tmp_path / "vehicles" / name, 4)
    for name in ("valid", "invalid"):
        fill(tmp_path / "tickets" / name, 4)
    assert read(tmp_path / "vehicles").class_names == ("bus", "car", "train")
    assert read(tmp_path / "tickets").class_names == ("invalid", "valid")
    assert read(tmp_path / "tickets").parts is None
    fill(tmp_path / "vehicles" / "train" / "steam", 2)  # still a class, since cars and buses are
    source = read(tmp_path / "vehicles")
    assert source.class_names == ("bus", "car", "train")
    assert "2 images lie in sub-folders of class folders, such as train: left out" in source.notes[0]


def test_parts_change_the_fingerprint(tmp_path):
    for place in ("a", "b", "c"):
        classes(tmp_path / place / "train", 10)
        classes(tmp_path / place / "test", 4)
    (tmp_path / "b" / "test").rename(tmp_path / "b" / "val")
    (tmp_path / "c" / "train" / "cat" / "009.png").rename(tmp_path / "c" / "test" / "cat" / "009.png")
    assert len({read(tmp_path / place).fingerprint for place in ("a", "b", "c")}) == 3


def test_parts_that_do_not_fit_each_other_are_explained(tmp_path):
    classes(tmp_path / "train", 10)
    classes(tmp_path / "test", 4, names=("cat", "cow", "dog"))
    assert "train and test differ in their class folders (only in test: 'cow'); give every part" in refusal(tmp_path)
    shutil.rmtree(tmp_path / "test" / "cow")
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "Dog")
    assert "differ in their class folders, in case, blanks or" in refusal(tmp_path)
    (tmp_path / "test" / "Dog").rename(tmp_path / "test" / "dog")
    classes(tmp_path / "validation", 4)
    classes(tmp_path / "dev", 4)
    assert "dev and validation both name the validation part; join them" in refusal(tmp_path)


def test_a_class_without_images_in_a_part_is_the_usual_error(tmp_path):
    classes(tmp_path / "train", 10)
    classes(tmp_path / "test", 4)
    for image in (tmp_path / "test" / "dog").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"class 'dog' \(10 samples\) has none among the 4 test samples; add samples"):
        load(ImagesTask(images=tmp_path, size=4), seed=0)


def test_parts_without_train_or_without_class_folders_are_explained(tmp_path):
    classes(tmp_path / "no-train" / "test", 4)
    classes(tmp_path / "no-train" / "val", 4)
    assert "holds val and test but no folder `train`" in refusal(tmp_path / "no-train")
    fill(tmp_path / "flat" / "train", 12)
    fill(tmp_path / "flat" / "test", 5)
    assert "holds 5 images and no class folders, so their classes are not known; sort" in refusal(tmp_path / "flat")
    fill(tmp_path / "flat" / "more", 5)
    assert "no class folders, so their classes are not known" in refusal(tmp_path / "flat")
    classes(tmp_path / "unlabelled" / "train", 12)
    fill(tmp_path / "unlabelled" / "test", 5)
    message = refusal(tmp_path / "unlabelled")
    assert message.startswith(f"{tmp_path / 'unlabelled' / 'test'}: holds 5 images and no class folders")
    assert message.endswith(f"or use {tmp_path / 'unlabelled' / 'train'} alone")
    assert len(read(tmp_path / "unlabelled" / "train")) == 24


@pytest.mark.parametrize(
    ("place", "use"),
    [
        ("wrapped/dataset", "dataset"),
        ("deeper/archive/images", "archive/images"),
        ("parts/set/train", "set"),
        ("groups/pets", "pets"),
    ],
)
def test_images_that_lie_too_deep_are_found_and_the_folder_to_name_is_said(tmp_path, place, use):
    classes(tmp_path / place, 6)
    classes(tmp_path / "groups" / "wild", 6, names=("lion", "tiger"))
    root = tmp_path / place.split("/")[0]
    assert f"its images lie too deep; name the folder whose sub-folders are the classes ({root / use}?)" in refusal(
        root
    )
    assert len(read(root / use)) == 12


def test_images_directly_in_the_root_or_in_sub_folders_of_a_class(tmp_path):
    fill(tmp_path, 7)
    assert "its 7 images lie directly in it; put them in one sub-folder per class" in refusal(tmp_path)
    classes(tmp_path, 6)
    fill(tmp_path / "dog" / "puppies" / "small", 3)
    source = read(tmp_path)
    assert len(source) == 12
    assert "7 images lie beside the class folders, in none of them: left out" in source.notes[0]
    assert "3 images lie in sub-folders of class folders, such as dog: left out" in source.notes[1]
    fill(tmp_path / "cow" / "calves", 2)
    assert f"{tmp_path / 'cow'}: holds no images itself but 2 in sub-folders" in refusal(tmp_path)


def test_a_folder_that_links_to_itself_ends(tmp_path):
    classes(tmp_path, 6)
    (tmp_path / "cat" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "cat" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "cat" / "deep" / "deeper" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(read(tmp_path)) == 12


def test_classes_may_be_links_to_folders_elsewhere(tmp_path):
    classes(tmp_path / "here", 6)
    (tmp_path / "here" / "dog").rename(tmp_path / "there")
    (tmp_path / "here" / "dog").symlink_to(tmp_path / "there", target_is_directory=True)
    source = read(tmp_path / "here")
    assert (source.class_names, len(source), source.notes) == (("cat", "dog"), 12, ())


def test_classes_are_in_the_order_of_their_names_as_text(tmp_path):
    for number in (1, 2, 10):
        fill(tmp_path / str(number), 4)
    assert read(tmp_path).class_names == ("1", "10", "2")


def test_every_sample_has_the_name_of_its_file(tmp_path):
    classes(tmp_path, 11)
    source = read(tmp_path)
    assert source.files == tuple(f"{name}/{number:03d}.png" for name in ("cat", "dog") for number in range(11))
    for file, image in zip(source.files, source.inputs, strict=True):
        with Image.open(tmp_path / file) as written:
            assert np.array_equal(image[0], np.asarray(written))


def test_names_that_are_not_utf_8_are_read_and_shown_escaped(tmp_path):
    classes(tmp_path, 12)
    odd = os.fsdecode(b"caf\xe9")
    (tmp_path / "cat").rename(tmp_path / odd)
    (tmp_path / odd / "000.png").rename(tmp_path / odd / os.fsdecode(b"\xff.png"))
    (tmp_path / odd / "note.txt").write_text("no image")
    source = read(tmp_path)
    assert source.class_names == (r"caf\xe9", "dog")
    assert r"caf\xe9/\xff.png" in source.files
    for text in (*source.files, *source.notes, source.name, source.fingerprint):
        text.encode()
    assert len(load(ImagesTask(images=tmp_path, size=4), seed=0).train.targets) > 10
    inner = tmp_path / odd
    classes(inner / "a", 3)
    (inner / "000.png").write_bytes(b"")
    for folder in (inner, tmp_path):
        refusal(folder).encode()


@pytest.mark.parametrize(
    "pair",
    [("Dog", "dog"), ("dog", "dog "), ("guide dog", "guidedog"), ("Zoë", unicodedata.normalize("NFD", "Zoë"))],
)
def test_class_names_that_look_the_same_are_told(tmp_path, pair):
    for name in (*pair, "cat"):
        fill(tmp_path / name, 4)
    source = read(tmp_path)
    assert len(source.class_names) == 3
    assert "are different classes although their names differ only in case, blanks" in source.notes[0]


def test_upper_case_and_other_suffixes_are_read(tmp_path):
    for place, name in enumerate(("cat", "dog")):
        for suffix in ("PNG", "jpeg", "JPG", "webp", "bmp", "tif"):
            fill(tmp_path / name, 1 + place, suffix=suffix)
    (tmp_path / "cat" / "paper.pdf").write_bytes(b"%PDF-1.4")
    source = read(tmp_path)
    assert len(source) == 18
    assert "1 entries of the class folders are not named like images" in source.notes[0]
