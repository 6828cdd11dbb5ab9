import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import InputError, StorageError
from harness.report import load_run
from harness.store import RunFolder, check_run, refresh_manifest, seal, sha256_file
from harness.store.run import check_space, read_status, sealed_files


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.create(tmp_path, "Fashion MNIST/../x")
    yield folder
    folder.close()


def test_a_run_is_named_by_time_task_and_id(folder, tmp_path):
    assert folder.path.parent == tmp_path
    assert re.fullmatch(r"\d{8}-\d{6}-fashion-mnist-x-[0-9a-f]{4}", folder.path.name)


def test_the_manifest_has_the_digest_of_every_other_file(folder):
    folder.set_state("complete", answer=42)
    folder.write("best/model.bin", b"weights")
    seal(folder.path, {"seed": 7})
    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert manifest["seed"] == 7
    assert manifest["schema_version"] == 1
    assert manifest["files"] == {name: sha256_file(folder.path / name) for name in ("best/model.bin", "status.json")}


def test_a_rebuilt_file_renews_its_digest_only(folder):
    folder.set_state("complete")
    folder.write("report.md", "one")
    refresh_manifest(folder.path, ["report.md"])
    assert not (folder.path / "manifest.json").exists(), "an unfinished run stays unfinished"
    seal(folder.path, {})
    before = (folder.path / "manifest.json").read_bytes()
    refresh_manifest(folder.path, ["report.md"])
    assert (folder.path / "manifest.json").read_bytes() == before
    folder.write("report.md", "two")
    refresh_manifest(folder.path, ["report.md"])
    files = json.loads((folder.path / "manifest.json").read_text())["files"]
    assert files["report.md"] == sha256_file(folder.path / "report.md")


def test_a_second_process_is_refused_until_the_first_is_done(folder):
    folder.set_state("running")
    code = "import sys, pathlib, harness.store as store; store.RunFolder.open(pathlib.Path(sys.argv[1])).close()"
    second = subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, text=True, check=False)
    assert "another harness process is writing to this run" in second.stderr
    folder.close()
    assert subprocess.run([sys.executable, "-c", code, folder.path], check=False).returncode == 0


def test_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match="no such run"):
        check_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a run folder"):
        check_run(tmp_path)


def test_a_parent_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        RunFolder.create(tmp_path / "file", "digits")


def test_files_that_killed_processes_left_half_written_are_cleared_away(folder):
    folder.set_state("running")
    folder.write("best/model.bin", b"weights")
    folder.close()
    half = [folder.path / ".status.json.123.tmp", folder.path / "best" / ".model.bin.77-0a1b2c3d.tmp"]
    for path in half:
        path.write_bytes(b"ha")
    kept = folder.path / ".notes.tmp"
    kept.write_text("the user's own")
    RunFolder.open(folder.path).close()
    assert not any(path.exists() for path in half)
    assert kept.exists()
    assert (folder.path / "best" / "model.bin").read_bytes() == b"weights"


def test_nothing_is_cleared_away_while_another_process_writes(folder):
    folder.set_state("running")
    half = folder.path / f".status.json.{os.getpid()}.tmp"
    half.write_bytes(b"ha")
    code = "import sys, pathlib, harness.store as store; store.RunFolder.open(pathlib.Path(sys.argv[1]))"
    assert subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, check=False).returncode != 0
    assert half.exists()


OUTSIDE = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a/..",
    "C:\\x",
    "C:x",
    "..\\x",
    "\\\\host\\x",
    "a\0b",
    "a\n",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leaves_the_folder_is_refused(folder, name):
    for reach in (folder.file, folder.remove, lambda name: folder.write(name, "x")):
        with pytest.raises(StorageError, match="no name of a file in the run") as caught:
            reach(name)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in folder.path.parent.iterdir()) == [folder.path.name]


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and pipes")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["status.json", ".lock", "checkpoints", "best/model.bin", "study.db", ".x.1.tmp"])
@pytest.mark.parametrize("kind", ["link", "folder link", "dangling link", "pipe", "socket"])
def test_links_and_pipes_are_refused_and_what_they_lead_to_is_left_alone(folder, tmp_path, monkeypatch, name, kind):
    folder.set_state("complete")
    folder.write("stats.json", "{}")
    folder.close()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text('{"state": "complete"}')
    planted = folder.path / name
    planted.parent.mkdir(exist_ok=True)
    planted.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(planted)
    elif kind == "socket":
        monkeypatch.chdir(planted.parent)  # the whole path may be too long for an address
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(planted.name)
    else:
        planted.symlink_to({"link": outside / "file", "folder link": outside, "dangling link": outside / "new"}[kind])
    before = sorted(path.name for path in folder.path.rglob("*"))
    for reach in (check_run, RunFolder.open, lambda path: seal(path, {}), load_run):
        with pytest.raises(StorageError, match=rf"{re.escape(str(planted))}: (a link|a pipe)") as caught:
            reach(folder.path)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in folder.path.rglob("*")) == before
    assert (outside / "file").read_text() == '{"state": "complete"}'
    assert [path.name for path in outside.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX links")
@pytest.mark.parametrize("name", [".lock", "study.db", "study.db-wal"])
def test_a_second_name_of_a_file_that_is_written_in_place_is_refused(folder, tmp_path, name):
    folder.set_state("complete")
    folder.close()
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (folder.path / name).unlink(missing_ok=True)
    (folder.path / name).hardlink_to(outside)
    with pytest.raises(StorageError, match=rf"{re.escape(name)}: a link, or a file with a second name"):
        RunFolder.open(folder.path)
    assert outside.read_text() == "mine"
    (folder.path / name).unlink()
    RunFolder.open(folder.path).close()


def test_a_run_may_be_named_by_a_link_to_it(folder, tmp_path):
    folder.set_state("complete")
    folder.close()
    (tmp_path / "latest").symlink_to(folder.path)
    RunFolder.open(tmp_path / "latest").close()


def test_a_nest_of_folders_too_deep_to_recurse_into_is_one_line(folder, monkeypatch):
    folder.set_state("complete")
    monkeypatch.chdir(folder.path)
    for _ in range(2500):
        Path("d").mkdir()
        os.chdir("d")
    with pytest.raises(StorageError, match="File name too long"):
        check_run(folder.path)
    for _ in range(2500):
        os.chdir("..")
        Path("d").rmdir()
    check_run(folder.path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names of text only")
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"a\x1b[31m"])
def test_names_that_are_no_text_are_refused_in_one_line(folder, name):
    folder.set_state("complete")
    (folder.path / os.fsdecode(name)).touch()
    with pytest.raises(StorageError, match="no name of a file of a run") as caught:
        check_run(folder.path)
    assert str(caught.value).isprintable()


WRONG = [
    ("state", 3),
    ("elapsed_s", "soon"),
    ("elapsed_s", -1),
    ("elapsed_s", True),
    ("elapsed_s", [1]),
    ("test_opened", -1),
    ("test_opened", 1.5),
    ("test_opened", "0"),
    ("fingerprint", {}),
    ("spec_sha256", 7),
    ("pid", "1; rm"),
    ("storage", ["postgresql://"]),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_status_of_wrong_types_is_named_by_its_key(folder, key, value):
    folder.set_state("complete", elapsed_s=1, test_opened=0, fingerprint="f", spec_sha256="s", more={"x": 1})
    check_run(folder.path)
    folder.write_json("status.json", {"state": "complete", key: value})
    with pytest.raises(StorageError, match=rf"status\.json: {key}: "):
        check_run(folder.path)


@pytest.mark.parametrize("text", ["[]", "null", "", "{", '{"elapsed_s": NaN}', '{"elapsed_s": 1e999}', "[" * 100_000])
def test_a_status_that_is_no_status_is_named(folder, text):
    folder.write("status.json", text)
    with pytest.raises(StorageError, match=r"status\.json: "):
        check_run(folder.path)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["state", "pid", "boot_id", "fingerprint", "spec_sha256", "elapsed_s", "test_opened", "x"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=2),
    )
)
def test_any_status_is_read_with_the_types_it_promises_or_refused(folder, contents):
    (folder.path / "status.json").write_text(json.dumps(contents))
    try:
        status = read_status(folder.path)
    except StorageError:
        return
    assert 0 <= float(status.get("elapsed_s", 0)) < float("inf")
    assert type(status.get("test_opened", 0)) is int
    assert all(isinstance(status.get(key, ""), str) for key in ("state", "fingerprint", "spec_sha256"))


def test_a_space_of_another_hash_is_refused(folder):
    folder.set_state("complete")
    check_space(folder.path, "one")
    folder.set_state("complete", spec_sha256="one")
    check_space(folder.path, "one")
    with pytest.raises(StorageError, match=r"space\.yaml: not the space that this run was made with"):
        check_space(folder.path, "two")


def forge(folder, files):
    """Seal a run with a report, then put ``files`` into its manifest."""
    folder.set_state("complete")
    folder.write("report.md", "one")
    seal(folder.path, {})
    manifest = json.loads((folder.path / "manifest.json").read_text())
    manifest["files"] = files(manifest["files"])
    folder.write_json("manifest.json", manifest)
    folder.write("report.md", "two")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "", ".", "C:\\secret", "..\\secret"])
def test_a_manifest_that_names_files_outside_is_refused_and_left_as_it_is(folder, name):
    (folder.path.parent / "secret").write_text("mine")
    forge(folder, lambda files: {**files, name: "0" * 64})
    before = (folder.path / "manifest.json").read_bytes()
    for reach in (sealed_files, lambda path: refresh_manifest(path, ["report.md"])):
        with pytest.raises(StorageError, match=r"manifest\.json: .* is no name of a file in the run"):
            reach(folder.path)
    assert (folder.path / "manifest.json").read_bytes() == before


def test_a_manifest_that_names_what_is_not_there_is_refused(folder):
    forge(folder, lambda files: {**files, "best/model.bin": "0" * 64})
    with pytest.raises(StorageError, match=r"manifest\.json: 'best/model\.bin' is not in the run"):
        refresh_manifest(folder.path, ["report.md"])


@pytest.mark.parametrize("files", [[], None, "x", {"a": 1}, {"a": None}])
def test_a_manifest_of_another_form_is_refused(folder, files):
    forge(folder, lambda _: files)
    with pytest.raises(StorageError, match=r"manifest\.json: `files` does not map names to digests"):
        refresh_manifest(folder.path, ["report.md"])


def test_what_is_no_manifest_is_refused(folder):
    folder.set_state("complete")
    for text in ("[]", "{", "", "null"):
        folder.write("manifest.json", text)
        with pytest.raises(StorageError, match=r"manifest\.json: not "):
            sealed_files(folder.path)
