import hashlib
import subprocess
import sys
from importlib import metadata

from harness.store import environment
from harness.store.provenance import git_state


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", folder, *settings, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_the_commit_and_what_was_changed_since(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None, "a repository without a commit has no state to tell"
    (tmp_path / "a").write_text("one\n")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = git_state(tmp_path)
    assert clean["commit"] == git(tmp_path, "rev-parse", "HEAD").strip()
    assert (clean["dirty"], clean["diff"]) == (False, "")
    (tmp_path / "a").write_text("two\n")
    dirty = git_state(tmp_path)
    assert dirty["dirty"]
    assert "+two" in dirty["diff"]
    assert dirty["diff_sha256"] != clean["diff_sha256"]


def test_the_environment_names_versions_and_the_command(tmp_path):
    found = environment(["harness", "search"], tmp_path)
    assert found["argv"] == ["harness", "search"]
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["torch"]
    assert found["packages"]["optuna"]
    installed = sorted((item.metadata["Name"] or "", item.version) for item in metadata.distributions())
    assert found["lock_sha256"] == hashlib.sha256(repr(installed).encode()).hexdigest()
