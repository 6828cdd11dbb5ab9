import json
import math
import os
import secrets
import subprocess
import sys

import pandas as pd
import pytest

from harness.errors import StorageError
from harness.store import plain, read_json, sha256_file, to_parquet, write_file, write_json
from harness.store.files import MAX_BYTES, TEMPORARY, read_object, read_parquet


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


def test_the_words_of_the_database_are_kept_and_its_statements_are_not():
    import sqlalchemy

    from harness.store.connection import database_errors

    engine = sqlalchemy.create_engine("sqlite://")
    with (
        pytest.raises(StorageError, match=r"no such table: nowhere$"),
        database_errors("study.db"),
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


def test_a_link_planted_in_the_way_is_neither_followed_nor_written_through(tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0" * 8)
    planted = run / f".a.txt.{os.getpid()}-00000000.tmp"
    planted.symlink_to(outside)
    with pytest.raises(StorageError, match=r"a\.txt: File exists"):
        write_file(run / "a.txt", "evil")
    assert outside.read_text() == "mine"
    (run / "b.txt").symlink_to(outside)
    write_file(run / "b.txt", "new")
    assert (outside.read_text(), (run / "b.txt").read_text()) == ("mine", "new")
    assert not (run / "b.txt").is_symlink()


def test_names_written_under_are_fresh_and_told_apart_from_files(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append({entry.name for entry in tmp_path.iterdir()}))
    write_file(tmp_path / "a.b.json", "x")
    write_file(tmp_path / "a.b.json", "x")
    names = {name for listed in seen for name in listed} - {"a.b.json"}
    assert len(names) == 2
    assert all(TEMPORARY.fullmatch(name) for name in [*names, ".status.json.123.tmp"])
    for kept in (".lock", "a.tmp", ".a.tmp", ".a.x.tmp", "a.1.tmp", ".a.1.tmp.json"):
        assert not TEMPORARY.fullmatch(kept), kept


def test_the_mode_of_a_file_is_what_the_umask_leaves(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_file(tmp_path / "written", "x")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 200_000, "NaN", '{"a": Infinity}', "1" * 5000])
def test_json_that_is_deep_or_no_json_is_one_line(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(StorageError, match=r"a\.json: not valid JSON") as caught:
        read_json(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: it takes no space
    with pytest.raises(StorageError, match="larger than 64 MiB"):
        read_json(path)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES)
    with pytest.raises(StorageError, match="not valid JSON"):
        read_json(path)


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and pipes")
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("b"), lambda path: path.mkdir()]
)
def test_only_plain_files_are_read(tmp_path, make):
    (tmp_path / "b").write_text("{}")
    make(tmp_path / "a.json")
    for read in (read_json, read_object, read_parquet):
        with pytest.raises(StorageError, match=r"a\.json: not a plain file"):
            read(tmp_path / "a.json")


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"'])
def test_an_object_is_asked_for_and_nothing_else_taken(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(StorageError, match=r"a\.json: not a JSON object"):
        read_object(tmp_path / "a.json")


def test_parquet_with_any_byte_changed_is_a_frame_or_one_line(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None], "c": pd.array([1, None], dtype="Int64")})
    whole = to_parquet(frame)
    path = tmp_path / "a.parquet"
    path.write_bytes(whole)
    pd.testing.assert_frame_equal(read_parquet(path), pd.read_parquet(path))
    refused = []
    for position in range(0, len(whole), 5):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x1D]) + whole[position + 1 :])
        try:
            read_parquet(path)
        except StorageError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all(message.startswith(f"{path}: cannot be read (") and "\n" not in message for message in refused)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("日 Läufe", "日 Läufe"),
        (os.fsdecode(b"a\xff"), r"a\xff"),
        ("Läufe".encode().decode("ascii", "surrogateescape"), "Läufe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_that_is_written_is_utf8_whatever_the_name_of_a_file_holds(text, shown, tmp_path):
    write_json(tmp_path / "a.json", {text: [text]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {shown: [shown]}
    write_file(tmp_path / "a.md", text)
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == shown
