"""A packed run comes back byte for byte and says what it is; a zip file that is anything else leaves nothing."""

import hashlib
import json
import random
import shutil
import stat
import struct
import sys
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocrate.rocrate import ROCrate

import harness
from harness.cli import main
from harness.errors import HarnessError, InputError, StorageError
from harness.integrity.entries import CRATE
from harness.store import RunFolder, read_json, seal, write_json
from harness.store.run import MANIFEST, listing


def files(run):
    """Return the bytes of every file of a run by its name; the lock is none."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def made(parent, more=()):
    """Return a sealed run of a few small files, and ``more``."""
    folder = RunFolder.create(parent, "wine")
    folder.set_state("complete", elapsed_s=75.0)
    for name, data in more:
        folder.write(name, data)
    folder.close()
    seal(folder.path, {"state": "complete"})
    return folder.path


@pytest.fixture
def small(tmp_path):
    return made(tmp_path, [("stats.json", "{}"), ("best/model.safetensors", bytes(range(256)))])


@pytest.fixture
def packed(small, tmp_path):
    return harness.pack(small, tmp_path / "packed.zip").file


def test_a_run_comes_back_byte_for_byte_and_equal_runs_give_equal_files(searched, tmp_path):
    one = harness.pack(searched, tmp_path / "one.zip")
    assert one.sealed
    assert one.sha256 == hashlib.sha256(one.file.read_bytes()).hexdigest()
    back = harness.unpack(one.file, tmp_path / searched.name)
    assert files(back.run) == files(searched)
    assert back.files == one.files == len(files(searched))
    assert harness.pack(back.run, tmp_path / "two.zip").file.read_bytes() == one.file.read_bytes()
    assert zipfile.ZipFile(one.file).testzip() is None


NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=12)


def alike(held):
    """Return what a name is where case and composition are not told apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", held[0]).casefold())


@settings(max_examples=10)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=2000)), unique_by=alike, max_size=5))
def test_whatever_a_run_holds_comes_back(tmp_path_factory, more):
    folder = tmp_path_factory.mktemp("any")
    run = made(folder, [(f"more/of {name}.bin", data) for name, data in more])
    file = harness.pack(run, folder / "run.zip").file
    assert files(harness.unpack(file, folder / "back").run) == files(run)


def test_a_damaged_run_is_not_packed_and_an_unsealed_one_with_a_word(small, tmp_path, monkeypatch, capsys):
    (small / "stats.json").write_text('{"better": 1}')
    with pytest.raises(StorageError, match=r"is damaged: stats.json was changed.*`harness verify` names all"):
        harness.pack(small, tmp_path / "out.zip")
    assert not list(tmp_path.glob("*out.zip*"))
    (small / MANIFEST).unlink()
    write_json(small / "status.json", {**read_json(small / "status.json"), "pid": 2**30})  # no process that works on it
    code, out, err = cli(monkeypatch, capsys, "pack", small, "--out", tmp_path / "out.zip")
    assert (code, out) == (0, f"{tmp_path / 'out.zip'}\n")
    assert "the run has no manifest" in err
    code, out, err = cli(monkeypatch, capsys, "unpack", tmp_path / "out.zip", "--out", tmp_path / "back")
    assert (code, out) == (0, f"{tmp_path / 'back'}\n")
    assert "the run has no manifest" in err
    assert files(tmp_path / "back") == files(small)


def test_what_is_there_is_not_written_over(small, packed, tmp_path):
    before = packed.read_bytes()
    with pytest.raises(InputError, match=r"is there already; .*--force"):
        harness.pack(small, packed)
    assert harness.pack(small, packed, force=True).file.read_bytes() == before
    with pytest.raises(InputError, match="is in the run itself"):
        harness.pack(small, small / "run.zip")
    with pytest.raises(InputError, match="is a folder"):
        harness.pack(small, tmp_path)
    with pytest.raises(InputError, match="is there already"):
        harness.unpack(packed, small)
    with pytest.raises(InputError, match="no such run"):
        harness.pack(tmp_path / "none")
    with pytest.raises(InputError, match="no such file"):
        harness.unpack(tmp_path / "none.zip", tmp_path / "x")


def test_the_names_that_are_left_out_are_the_runs_own(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert harness.pack(small).file == Path(f"{small.name}.zip")
    assert harness.unpack(f"{small.name}.zip").run == Path("results", small.name)


def cli(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


# What does not come from pack


def entry(name, mode=stat.S_IFREG | 0o644, method=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, method
    return info


def adding(*entries):
    """Return what adds entries, each with its content, to the files of a packed run."""

    def build(source, target):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for each in old.infolist():
                new.writestr(each, old.read(each))
            for info, data in entries:
                new.writestr(info, data)

    return build


def named(name):
    """Return what adds an entry of any name, which the library would have made harmless."""

    def build(source, target):
        mark = "Q" * len(name.encode())
        adding((entry(mark), b"owned"))(source, target)
        target.write_bytes(target.read_bytes().replace(mark.encode(), name.encode()))

    return build


def lying(source, target):
    """Say of a megabyte that it is ten bytes."""
    adding((entry("more.txt"), b"x" * 1_000_000))(source, target)
    data = target.read_bytes()
    target.write_bytes(data.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10)))


def encrypted(source, target):
    """Set the flag of the last entry."""
    adding((entry("more.txt"), b"secret"))(source, target)
    data = bytearray(target.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    target.write_bytes(data)


def cut(source, target):
    target.write_bytes(source.read_bytes()[:-40])


def torn(source, target):
    """Change a byte of the weights, which are stored as they are."""
    data = bytearray(source.read_bytes())
    data[data.index(bytes(range(256))) + 7] ^= 1
    target.write_bytes(data)


def changed(source, target):
    """Change a file, and all that the zip format says of it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for each in old.infolist():
            new.writestr(each, b'{"better": 1}' if each.filename == "stats.json" else old.read(each))


def no_run(_, target):
    with zipfile.ZipFile(target, "w") as new:
        new.writestr("photos/cat.jpg", b"meow")


HOSTILE = {
    "a path from the root": (named("/tmp/owned"), "is no path below the run"),
    "a path upwards": (named("../owned"), "leads elsewhere"),
    "a path upwards within": (named("best/../../owned"), "leads elsewhere"),
    "a drive": (named("C:/owned.txt"), "a colon"),
    "a stream of a file": (named("stats.json:more"), "a colon"),
    "backslashes": (named("..\\owned"), "a backslash"),
    "a NUL": (named("stats.json\0.txt"), "control characters"),
    "an escape": (named("a\x1b[31m.txt"), "control characters"),
    "an empty part": (named("best//owned"), "is no path below the run"),
    "a hidden file": (named(".lock"), "is hidden"),
    "a device": (named("best/NUL.txt"), "a device of Windows"),
    "a dot at the end": (named("stats.json."), "leads elsewhere"),
    "a link": (adding((entry("more", stat.S_IFLNK | 0o777), b"/etc/passwd")), "is no plain file"),
    "a pipe": (adding((entry("more", stat.S_IFIFO | 0o644), b"")), "is no plain file"),
    "a device node": (adding((entry("more", stat.S_IFCHR | 0o644), b"")), "is no plain file"),
    "a folder": (adding((entry("more/", stat.S_IFDIR | 0o755), b"")), "is no plain file"),
    "other case": (adding((entry("Stats.JSON"), b"{}")), "are one name"),
    "another composition": (adding((entry("caf\u00e9"), b""), (entry("cafe\u0301"), b"")), "are one name"),
    "a file that is a folder": (adding((entry("best"), b"")), "is a file, and the folder of"),
    "a bomb": (adding((entry("zeros"), bytes(8 << 20))), "more than 200 times larger"),
    "a bomb of another kind": (adding((entry("x", method=zipfile.ZIP_BZIP2), bytes(99))), "than by deflate"),
    "a lie about its size": (lying, "damaged"),
    "encrypted": (encrypted, "is encrypted"),
    "cut off": (cut, "not a zip file, cut off or damaged"),
    "a changed byte": (torn, "cut off or damaged"),
    "a changed file": (changed, "is damaged: stats.json was changed"),
    "an added file": (adding((entry("more.txt"), b"x")), "is damaged: more.txt was added"),
    "no run": (no_run, "holds no run"),
    "no zip file": (lambda _, target: target.write_text("PK, or not"), "not a zip file"),
    "nothing": (lambda _, target: target.write_bytes(b""), "not a zip file"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_zip_file_of_another_kind_is_refused_and_nothing_stays(what, packed, tmp_path):
    build, words = HOSTILE[what]
    hostile, target = tmp_path / "hostile.zip", tmp_path / "new" / "folder"
    build(packed, hostile)
    before = files(tmp_path)
    with pytest.raises(HarnessError) as refused:
        harness.unpack(hostile, target)
    assert words in str(refused.value)
    assert str(refused.value).isprintable()
    assert files(tmp_path) == before
    assert not (tmp_path / "new").exists()
    assert not Path("/tmp/owned").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(packed, tmp_path):
    adding((entry("stats.json"), b"{}"))(packed, tmp_path / "twice.zip")
    with pytest.raises(InputError, match="are one name"):
        harness.unpack(tmp_path / "twice.zip", tmp_path / "new")


def test_more_than_any_run_holds_is_refused_before_anything_is_written(packed, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.integrity.entries.LARGE", 200)
    with pytest.raises(InputError, match="unpacked, at most"):
        harness.unpack(packed, tmp_path / "new")
    monkeypatch.setattr("harness.integrity.entries.MANY", 2)
    with pytest.raises(InputError, match="at most 2 are unpacked"):
        harness.unpack(packed, tmp_path / "new")


def test_any_bytes_changed_are_refused_or_change_nothing(small, packed, tmp_path):
    whole, rng, expected = packed.read_bytes(), random.Random(0), files(small)
    spoiled, target = tmp_path / "spoiled.zip", tmp_path / "new"
    refused, left = [], {small.name, packed.name, spoiled.name}
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        spoiled.write_bytes(data)
        try:
            harness.unpack(spoiled, target)
        except HarnessError as error:
            refused.append(str(error))
        else:
            assert files(target) == expected
            shutil.rmtree(target)
        assert {path.name for path in tmp_path.iterdir()} == left
    assert len(refused) > 75
    assert all(map(str.isprintable, refused))


def test_what_would_look_like_a_bomb_is_stored_as_it_is(tmp_path):
    run = made(tmp_path, [("zeros.bin", bytes(3 << 20))])
    assert files(harness.unpack(harness.pack(run, tmp_path / "run.zip").file, tmp_path / "back").run) == files(run)


def test_names_that_other_systems_cannot_tell_apart_are_not_packed(tmp_path):
    run = made(tmp_path, [("a.txt", "1"), ("A.txt", "2")])
    with pytest.raises(InputError, match="are one name"):
        harness.pack(run, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


# The metadata


def test_the_metadata_is_a_crate_that_names_every_file_and_the_winners_scores(searched, tmp_path):
    file = harness.pack(searched, tmp_path / "run.zip").file
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "crate")
        described = json.loads(archive.read(CRATE))
    crate, stats = ROCrate(tmp_path / "crate"), read_json(searched / "stats.json")
    assert crate.name == searched.name
    assert crate.root_dataset["license"]["name"] == "not stated"
    assert crate.root_dataset["datePublished"].startswith("20")
    for name in [*listing(searched), MANIFEST]:
        held, data = crate.get(name), (searched / name).read_bytes()
        assert held["sha256"] == hashlib.sha256(data).hexdigest()
        assert held["contentSize"] == str(len(data))
    action = crate.root_dataset["mentions"]
    assert action["instrument"]["version"] == harness.__version__
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["startTime"] <= action["endTime"]
    assert stats["task"]["fingerprint"] in crate.get("#data")["identifier"]
    scores = {each["name"]: each["value"] for each in crate.root_dataset["variableMeasured"]}
    assert scores["test accuracy"] == stats["test"]["metrics"]["accuracy"]
    assert {each["name"] for each in action["additionalProperty"]} >= {"processor", "usable cores"}
    ids = [each["@id"] for each in described["@graph"]]
    assert len(ids) == len(set(ids))
    assert _refs(described["@graph"]) - {"https://w3id.org/ro/crate/1.1"} <= set(ids)


def _refs(value):
    """Return every @id that plain data points to, itself left out."""
    if isinstance(value, list):
        return set().union(*map(_refs, value))
    if not isinstance(value, dict):
        return set()
    if set(value) == {"@id"}:
        return {value["@id"]}
    return set().union(*map(_refs, value.values()))


def test_a_benchmark_is_packed_too(tmp_path, bench_runs):
    run = bench_runs.write_run(tmp_path / "bench", bench_runs.usual_rows(0))
    packed = harness.pack(run, tmp_path / "run.zip")
    assert not packed.sealed
    assert files(harness.unpack(packed.file, tmp_path / "back").run) == files(run)
