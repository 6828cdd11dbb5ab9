"""Data that memory does not hold are read, split and streamed from files, bit for bit as they would be from memory."""

from __future__ import annotations

import errno
import os
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from harness.data import load, place
from harness.data.room import chunks, let_go, room, rows_of, scratch_file, scratch_folder
from harness.errors import DataError
from harness.spec.task import ImagesTask, NpzTask

MIB = 2**20
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 3, 9, 8)).astype(np.uint8)
Y = np.arange(60) % 3


@pytest.fixture
def little_memory(monkeypatch, tmp_path):
    """Let 4 KiB be free; return the folder where the files without names are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with monkeypatch.context() as patched:
        patched.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**12))
        yield tmp_path / "cache/harness/scratch"


def on_disk(array):
    """Return whether an array lies in a file that was not named by anybody, by the map of this process."""
    address = array.ctypes.data
    with open("/proc/self/maps") as maps:
        for line in maps:
            first, _, last = line.split()[0].partition("-")
            if int(first, 16) <= address < int(last, 16):
                return str(scratch_folder()) in line and "(deleted)" in line
    raise AssertionError("the array is nowhere")


def same_data(left, right):
    assert left.fingerprint == right.fingerprint
    assert left.preprocessing == right.preprocessing
    assert left.notes == right.notes
    for name in ("train", "validation"):
        first, second = getattr(left, name), getattr(right, name)
        for one, other in zip((*first.inputs, first.targets), (*second.inputs, second.targets), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def npz(folder, save, pixels):
    save(folder / "arrays.npz", x=pixels, y=Y)
    return NpzTask(npz=folder / "arrays.npz")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "pixels",
    [PIXELS, PIXELS / 3.0, (PIXELS / 3.0).astype(np.float32), np.asfortranarray(PIXELS), PIXELS[:, 0] > 99],
    ids=["uint8", "float64", "float32", "by column", "bool"],
)
def test_arrays_beyond_memory_are_the_same_data(tmp_path, request, save, pixels):
    task = npz(tmp_path, save, pixels)
    plenty = load(task, seed=0)
    scratch = request.getfixturevalue("little_memory")
    little = load(task, seed=0)
    same_data(plenty, little)
    same_data(plenty.for_refit(), little.for_refit())
    np.testing.assert_array_equal(plenty.open_test().inputs[0], little.open_test().inputs[0])
    assert on_disk(little.train.inputs[0])
    assert not on_disk(plenty.train.inputs[0])
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("see_through", [False, True])
def test_image_files_beyond_memory_are_the_same_data(tmp_path, request, see_through):
    for number, pixels in enumerate(RNG.integers(0, 256, (30, 40, 40, 4)).astype(np.uint8)):
        path = tmp_path / "images" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if see_through else pixels[..., :3]).save(path)
    task = ImagesTask(images=tmp_path / "images", size=24)
    plenty = load(task, seed=0)
    request.getfixturevalue("little_memory")
    little = load(task, seed=0)
    same_data(plenty, little)
    assert any("transparent" in note for note in little.notes) == see_through
    (tmp_path / "images/class 1/7.png").write_bytes(b"\x89PNG torn")
    with pytest.raises(DataError, match=r"class 1/7\.png: is not an image that can be read .*; remove or replace it"):
        load(task, seed=0)


def test_batches_from_a_mapped_file_are_those_from_memory(tmp_path, request, monkeypatch):
    task = npz(tmp_path, np.savez, PIXELS)
    resident = place(load(task, seed=0).train, device=CPU, batch_size=8, seed=1, shuffle=True)
    expected = [(batch.inputs[0].clone(), batch.targets) for batch in resident.epoch(2)]
    request.getfixturevalue("little_memory")
    monkeypatch.setattr("harness.data.batches._HELD_BYTES", 1000)  # lets go after every batch
    streamed = place(load(task, seed=0).train, device=CPU, batch_size=8, seed=1, shuffle=True)
    assert streamed.path == "streamed"
    for batch, (inputs, targets) in zip(streamed.epoch(2), expected, strict=True):
        assert torch.equal(batch.inputs[0], inputs)
        assert torch.equal(batch.targets, targets)


@pytest.mark.usefixtures("little_memory")
def test_a_table_beyond_memory_is_refused_with_the_figure(tmp_path):
    task = npz(tmp_path, np.savez, RNG.normal(size=(60, 90)))
    with pytest.raises(DataError, match=r"arrays\.npz: 'x': would take 0 MiB, more than half of the free memory"):
        load(task, seed=0)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_in_an_array_beyond_memory_is_found(tmp_path, save):
    task = npz(tmp_path, save, PIXELS)
    content = bytearray(task.npz.read_bytes())
    content[3000] ^= 0xFF
    task.npz.write_bytes(content)
    with pytest.raises(DataError, match=r"arrays\.npz: is not a whole NPZ file"):
        load(task, seed=0)


def test_objects_beyond_memory_are_never_loaded(tmp_path, little_memory):
    with pytest.raises(DataError, match="Python objects are never loaded"):
        load(npz(tmp_path, np.savez, np.array([[[str(number)]] for number in range(20_000)], dtype=object)), seed=0)
    assert not little_memory.exists()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="asks the disk for room as POSIX does")
def test_a_full_disk_is_told_before_anything_is_written(tmp_path, little_memory, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    task = npz(tmp_path, np.savez, PIXELS)
    monkeypatch.setattr(os, "posix_fallocate", full)
    before = psutil.Process().num_fds()
    with pytest.raises(DataError, match=rf"'x': 0 MiB are too many .*{little_memory} \(No space left on device\); use"):
        load(task, seed=0)
    assert psutil.Process().num_fds() == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of this process as Linux counts it")
def test_what_is_let_go_of_is_no_memory_of_the_process_and_still_there(little_memory):
    array = room((64, MIB), np.uint8, "x")
    array[:] = np.arange(64, dtype=np.uint8)[:, None]
    full = psutil.Process().memory_info().rss
    let_go(array)
    assert full - psutil.Process().memory_info().rss > 60 * MIB
    assert array[:, ::4096].sum() == 256 * sum(range(64))
    let_go(array[1:2, 100:200])  # less than a page
    let_go(np.zeros(100_000))  # in no file
    assert not list(little_memory.iterdir())


def test_what_a_user_has_written_to_a_private_map_of_theirs_stays(tmp_path):
    np.save(tmp_path / "images.npy", PIXELS)
    mine = np.load(tmp_path / "images.npy", mmap_mode="c")
    mine[:] = 255 - PIXELS
    rows_of(np.asarray(mine), np.arange(60), "x")
    let_go(np.asarray(mine))
    np.testing.assert_array_equal(mine, 255 - PIXELS)


@pytest.mark.usefixtures("little_memory")
def test_rows_are_those_of_the_array_and_chunks_cover_it(monkeypatch):
    monkeypatch.setattr("harness.data.room.CHUNK_BYTES", 1000)
    rows = RNG.permutation(60)[:50]
    np.testing.assert_array_equal(rows_of(PIXELS, rows, "x"), PIXELS[rows])
    assert sum(len(PIXELS[part]) for part in chunks(PIXELS)) == 60
    assert max(PIXELS[part].nbytes for part in chunks(PIXELS)) <= 1000
    assert len(rows_of(PIXELS, rows[:0], "x")) == 0


def test_a_file_has_no_name_and_the_size_that_was_asked_for(little_memory):
    with scratch_file(12_345, "x") as file:
        assert os.fstat(file.fileno()).st_size == 12_345
        assert not list(little_memory.iterdir())
