"""Whatever a file holds, a user sees one line, never another error."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.data import load
from harness.data.sources.fashion_mnist import read_idx
from harness.data.sources.image_folder import read_images
from harness.errors import DataError
from harness.spec.task import CsvTask, NpzTask, ParquetTask

FRAME = pd.DataFrame({"a": np.arange(30) / 3, "b": ["p", "q", None] * 10, "y": np.arange(30) % 2})
CELLS = ["1", "2.5", "", "x", "nan", "inf", "1e400", "1" * 30, "2024-01-01", "True", '"', '"a,b"', "\x00", "1,2", "é"]
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)


def written(save) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def refusal(read) -> str:
    try:
        read()
    except DataError as error:
        return str(error)
    return ""


READERS = {
    "csv": (FRAME.to_csv(index=False).encode(), lambda path: load(CsvTask(csv=path, target="y"), seed=0)),
    "parquet": (written(FRAME.to_parquet), lambda path: load(ParquetTask(parquet=path, target="y"), seed=0)),
    "npz": (
        written(lambda out: np.savez(out, x=np.ones((30, 4, 4)), y=np.arange(30) % 2)),
        lambda path: load(NpzTask(npz=path), seed=0),
    ),
    "gz": (gzip.compress(b"\0\0\x08\x01\0\0\0\x05hello"), lambda path: read_idx(path, ndim=1)),
    **{
        kind: (
            written(lambda out, kind=kind: Image.fromarray(PIXELS).save(out, kind)),
            lambda path: read_images([path], size=(5, 5), channels=3),
        )
        for kind in ("png", "gif", "tiff", "webp", "jpeg", "avif")
    },
}


@pytest.mark.parametrize("kind", READERS)
@given(
    cut=st.floats(0.3, 1.0),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4),
)
@settings(max_examples=30)
def test_damage_to_a_file_is_a_data_error_or_harmless(tmp_path_factory, kind, cut, flips):
    content, read = READERS[kind]
    damaged = bytearray(content[: int(cut * len(content))])
    for place, mask in flips:
        damaged[int(place * len(damaged))] ^= mask
    path = tmp_path_factory.mktemp("damaged") / f"file.{kind}"
    path.write_bytes(damaged)
    assert "\n" not in refusal(lambda: read(path))


@given(
    columns=st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=3), min_size=1, max_size=3),
    rows=st.sampled_from([1, 12, 60]),
    kind=st.sampled_from(["auto", "classification", "regression"]),
)
@settings(max_examples=60)
def test_odd_tables_are_a_data_error_or_finite(tmp_path_factory, columns, rows, kind):
    names = [f"c{number}" for number in range(len(columns) - 1)] + ["y"]
    lines = [",".join(cells[row % len(cells)] for cells in columns) for row in range(rows)]
    path = tmp_path_factory.mktemp("odd") / "odd.csv"
    path.write_text("\n".join([",".join(names), *lines]))

    def read():
        data = load(CsvTask(csv=path, target="y", kind=kind), seed=0)
        assert np.isfinite(data.train.inputs[0]).all()
        assert np.isfinite(data.train.targets).all()

    assert "\n" not in refusal(read)
