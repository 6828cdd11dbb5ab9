from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data import load
from harness.data.sources import fashion_mnist
from harness.data.sources.fashion_mnist import FILES, read_fashion_mnist
from harness.errors import DataError
from harness.spec.task import BuiltinTask, Split

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No copy of the files in any place that is looked in unasked."""
    monkeypatch.setattr(fashion_mnist, "_DEBIAN", tmp_path / "no-debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def load_from(folder, **options):
    return load(BuiltinTask(builtin="fashion-mnist", directory=folder, **options), seed=0)


def test_small_copy_is_read_plain_or_gzipped_and_keeps_its_official_test_set(small_fashion_mnist):
    data = load_from(small_fashion_mnist)
    assert data.shape.inputs[0].sizes == (1, 6, 5)
    assert np.array_equal(data.split_index["test"], np.arange(120, 160))
    assert len(data.validation) == 18
    assert data.class_names[9] == "Ankle boot"
    fingerprint = data.fingerprint
    for path in list(small_fashion_mnist.glob("*.gz")):
        (small_fashion_mnist / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load_from(small_fashion_mnist).fingerprint == fingerprint


@pytest.mark.usefixtures("nowhere")
def test_places_are_tried_in_order(small_fashion_mnist, monkeypatch, tmp_path):
    task = BuiltinTask(builtin="fashion-mnist")
    with pytest.raises(DataError, match=r"dataset-fashion-mnist.*harness tasks fetch fashion-mnist"):
        load(task, seed=0)
    monkeypatch.setenv("HARNESS_DATA", str(small_fashion_mnist))
    assert len(load(task, seed=0).train) == 102
    monkeypatch.delenv("HARNESS_DATA")
    (tmp_path / "cache" / "harness").mkdir(parents=True)
    (tmp_path / "cache" / "harness" / "fashion-mnist").symlink_to(small_fashion_mnist)
    assert fashion_mnist.cache_folder() == tmp_path / "cache" / "harness" / "fashion-mnist"
    assert len(load(task, seed=0).train) == 102


@pytest.mark.usefixtures("nowhere")
def test_falling_back_from_a_given_directory_is_noted(small_fashion_mnist, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_DATA", str(small_fashion_mnist))
    (note,) = load_from(tmp_path / "elsewhere").notes
    assert str(tmp_path / "elsewhere") in note
    assert str(small_fashion_mnist) in note


def test_limit_too_small_for_the_classes_names_the_limit(small_fashion_mnist):
    with pytest.raises(DataError, match=r"none among the .* validation samples; raise `limit` \(12\)"):
        load_from(small_fashion_mnist, limit=12)


def test_labels_that_do_not_fit_the_images_are_refused(small_fashion_mnist):
    labels = small_fashion_mnist / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DataError, match="holds label 10"):
        load_from(small_fashion_mnist)
    labels.write_bytes(b"\0\0\x08\x01\0\0\0\x01\x05")
    with pytest.raises(DataError, match="40 images, t10k-labels-idx1-ubyte 1 labels"):
        load_from(small_fashion_mnist)


@pytest.mark.skipif(
    not all((DEBIAN / file.archive).exists() for file in FILES),
    reason="needs Debian's package dataset-fashion-mnist",
)
def test_the_real_files_are_the_published_ones_and_load():
    data = load(BuiltinTask(builtin="fashion-mnist", limit=2000, split=Split(validation=0.1)), seed=0)
    assert (len(data.train), len(data.validation), data.test_size) == (1800, 200, 10_000)
    assert np.array_equal(np.bincount(data.validation.targets), np.full(10, 20))
    source = read_fashion_mnist(None)
    assert len(source) == 70_000
    # published mean and deviation of the training images, https://github.com/zalandoresearch/fashion-mnist
    assert source.inputs[:60_000].mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    (x_NCHW,) = data.train.tensors(torch.device("cpu"))
    assert float(x_NCHW.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(x_NCHW.std()) == pytest.approx(1.0, abs=1e-4)
