from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Batches here are tiny; a team of threads would only wait for itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small_fashion_mnist(tmp_path: Path):
    """A folder with the four files, 120 training and 40 test images of 6x5 pixels, half of the files gzipped."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "small"
    folder.mkdir()
    for stem, samples in (("train", 120), ("t10k", 40)):
        images = rng.integers(0, 256, (samples, 6, 5)).astype(np.uint8)
        labels = (np.arange(samples) % 10).astype(np.uint8)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder
