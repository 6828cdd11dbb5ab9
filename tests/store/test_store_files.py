import json
import math
import os
import subprocess
import sys

import pytest

from harness.errors import StorageError
from harness.store import plain, read_json, sha256_file, storage_errors, write_file, write_json


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "one")
    write_file(path, b"two")
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_file(path, "one")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.txt: No space left on device"):
        write_file(path, "two")
    assert path.read_text() == "one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_strict_and_sorted(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": math.nan, "a": (1, math.inf), "ü": {3: None}})
    assert path.read_text() == '{\n  "a": [\n    1,\n    null\n  ],\n  "b": null,\n  "ü": {\n    "3": null\n  }\n}\n'
    assert read_json(path) == {"a": [1, None], "b": None, "ü": {"3": None}}
    assert json.dumps(plain({"x": -math.inf})) == '{"x": null}'


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"[1,]"])
def test_damaged_json_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.json"):
        read_json(path)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(StorageError, match=r"a\.json: No such file"):
        read_json(tmp_path / "a.json")


def test_sha256_is_that_of_coreutils(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    known = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert sha256_file(path) == known


def test_the_words_of_the_database_are_kept_and_its_statements_are_not(tmp_path):
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://")
    with (
        pytest.raises(StorageError, match=r"no such table: nowhere$"),
        storage_errors(tmp_path / "study.db"),
        engine.connect() as connection,
    ):
        connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small tmpfs needs root on Linux")
def test_a_really_full_disk(tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount a tmpfs")
    try:
        write_file(tmp_path / "a", b"x" * 1000)
        with pytest.raises(StorageError, match="No space left on device"):
            write_file(tmp_path / "a", b"y" * 100_000)
        assert (tmp_path / "a").read_bytes() == b"x" * 1000
        assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)
