from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.sources.fashion_mnist import read_idx
from harness.errors import DataError

CONTENT = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))


def test_reads_plain_and_gzipped(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT, mtime=0))
    for name in ("a", "a.gz"):
        assert read_idx(tmp_path / name, ndim=2).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG" + CONTENT, "not an IDX file"),
        (CONTENT[:2] + b"\x0d" + CONTENT[3:], "IDX type 0x0d"),
        (CONTENT[:3] + b"\x03" + CONTENT[4:], "3 dimensions, expected 2"),
        (CONTENT[:7], "ends within its header"),
        (CONTENT[:-1], "holds 5 bytes where its header says 6"),
        (CONTENT + b"\0", "holds more bytes where its header says 6"),
        (CONTENT[:4] + struct.pack(">2I", 2**32 - 1, 2**32 - 1), "more than the 2 GiB"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_wrong_content_names_the_file(tmp_path, content, message, packed):
    path = tmp_path / ("broken.gz" if packed else "broken")
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    with pytest.raises(DataError, match=message) as raised:
        read_idx(path, ndim=2)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "content", [CONTENT, gzip.compress(CONTENT, mtime=0)[:-9], gzip.compress(CONTENT, mtime=0)[:-4] + b"oops"]
)
def test_damaged_gzip_is_refused(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.gz: is not a whole gzip file"):
        read_idx(tmp_path / "x.gz", ndim=2)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.randoms())
@settings(max_examples=25)
def test_round_trip_of_any_shape(tmp_path_factory, shape, random):
    array = np.frombuffer(random.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes())
    assert np.array_equal(read_idx(path, ndim=len(shape)), array)
