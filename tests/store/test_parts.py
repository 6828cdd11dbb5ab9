"""Each part of a run keeps where it was carried out."""

import json

import pytest

from harness.store import RunFolder, begin_part, part_files


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.create(tmp_path, "parts")
    yield folder
    folder.close()


def read(folder, name):
    return json.loads((folder.path / name).read_text())


def machine(cpu):
    return {"device": "cpu", "cpu": {"model": cpu}}


def versions(torch, diff="+a", digest="1"):
    return {"packages": {"torch": torch}, "git": {"commit": "c", "diff_sha256": digest, "diff": diff}}


def test_every_part_is_kept_and_the_last_one_stands_on_its_own(folder):
    begin_part(folder, machine("one"), versions("2.1"))
    first = (folder.path / "parts/0001.json").read_bytes()
    begin_part(folder, machine("two"), versions("2.2"))
    assert list(part_files(folder.path)) == [1, 2]
    assert (folder.path / "parts/0001.json").read_bytes() == first
    assert read(folder, "hardware.json") == machine("two")
    assert read(folder, "environment.json") == versions("2.2")
    one, two = read(folder, "parts/0001.json"), read(folder, "parts/0002.json")
    assert (one["hardware"], one["environment"]) == (machine("one"), versions("2.1"))
    assert two["hardware"] == machine("two")
    assert two["begun_unix_s"] >= one["begun_unix_s"] > 1.7e9


def test_a_diff_is_kept_once_and_another_one_too(folder):
    for diff, digest in (("+a", "1"), ("+a", "1"), ("+b", "2"), ("+a", "1")):
        begin_part(folder, machine("one"), versions("2.1", diff, digest))
    kept = [read(folder, f"parts/{n:04d}.json")["environment"]["git"].get("diff") for n in (1, 2, 3, 4)]
    assert kept == ["+a", None, "+b", None]
    assert read(folder, "environment.json")["git"]["diff"] == "+a"


def test_outside_of_git_there_is_no_diff(folder):
    for _ in range(2):
        begin_part(folder, machine("one"), {"git": None})
    assert read(folder, "parts/0002.json")["environment"] == {"git": None}


def test_a_run_without_parts_gets_what_is_known_of_it_as_the_first(folder):
    folder.write_json("hardware.json", machine("old"))
    folder.write_json("environment.json", versions("1.0"))
    begin_part(folder, machine("new"), versions("2.0"))
    old = {"begun_unix_s": None, "hardware": machine("old"), "environment": versions("1.0")}
    assert read(folder, "parts/0001.json") == old
    assert read(folder, "parts/0002.json")["hardware"] == machine("new")


@pytest.mark.parametrize("torn", ["", "[1, 2]", '{"device": '])
def test_what_is_torn_costs_itself_and_no_more(folder, torn):
    folder.write("hardware.json", torn)
    folder.write_json("environment.json", versions("1.0"))
    begin_part(folder, machine("new"), versions("2.0"))
    assert list(part_files(folder.path)) == [1]
    folder.write("parts/0001.json", torn)
    begin_part(folder, machine("newer"), versions("2.0"))
    assert read(folder, "parts/0002.json")["environment"] == versions("2.0"), "its diff is in no file that can be read"
