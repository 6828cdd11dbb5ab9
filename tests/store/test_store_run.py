import json
import re
import subprocess
import sys

import pytest

from harness.errors import InputError, StorageError
from harness.store import RunFolder, check_run, refresh_manifest, seal, sha256_file


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
