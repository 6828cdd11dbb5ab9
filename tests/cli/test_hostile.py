"""Files from someone else, made to do harm: each leaves a trace if it gets its way, and none may."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import socket
import time
from pathlib import Path

import pytest
import yaml

import harness
from harness.spec import load_spec, spec_hash
from harness.store import seal

SPACE = """
task: digits
objective: accuracy
budget: {trials: 1, epochs: 1}
search: {pruner: none, baselines: false, checks: false}
training: {final: keep}
space:
  architecture: {mlp: {depth: [0, 1]}}
  optimizer: {sgd: {lr: 0.1}}
"""

SECRET = "nobody else's business"
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX links and pipes")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small run, as it was left."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return harness.search("space.yaml", out=folder / "runs", device="cpu", workers=0).run


@pytest.fixture
def run(made, tmp_path):
    """A copy of it to tamper with."""
    return Path(shutil.copytree(made, tmp_path / "received"))


@pytest.fixture
def outside(tmp_path):
    """A folder beside the run that is nobody's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    return folder


@pytest.fixture
def trace(tmp_path):
    """A file that is there only if an attack got its way."""
    return tmp_path / "trace"


def snapshot(folder):
    """Return everything in a folder that an attack could change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[path.relative_to(folder).as_posix()] = (kind.st_mode, kind.st_mtime_ns, kind.st_ino, content)
    return found


def refused(done, code, *words):
    """Check that a command ended with its code and one line on stderr."""
    assert (done.code, done.out) == (code, ""), done.err
    assert done.err.startswith("harness: error: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def forge(run):
    """Make the run's own accounts agree with what was planted in it."""
    text = yaml.safe_load((run / "space.yaml").read_text())
    assert isinstance(text, dict)
    edit(run / "status.json", spec_sha256=spec_hash(load_spec(str(run / "space.yaml"))))
    manifest = json.loads((run / "manifest.json").read_text())
    seal(run, {key: value for key, value in manifest.items() if key not in ("files", "schema_version")})


def plant(path, target):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)


LINKS = {
    "checkpoints": "outside",
    "telemetry": "outside",
    "logs": "outside",
    "best": "outside",
    "status.json": "outside/secret",
    "manifest.json": "outside/secret",
    "space.yaml": "outside/secret",
    "stats.json": "outside/secret",
    "trials.parquet": "outside/secret",
    "report.md": "outside/secret",
    "report.html": "outside/new",
    ".lock": "outside/new",
    "study.db": "outside/new",
    "study.db-wal": "outside/secret",
    "best/model.safetensors": "outside/secret",
    "telemetry/zz.parquet": "outside/secret",
    ".status.json.1.tmp": "outside/secret",
    "notes.txt": "../received",
}
COMMANDS = [("search", "--resume"), ("report",)]
NAMES = [" ".join(command) for command in COMMANDS]


@POSIX
@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_a_run_is_refused_and_nothing_is_written_anywhere(name, command, run, outside, harness):
    plant(run / name, run.parent / LINKS[name])
    before = snapshot(run), snapshot(outside)
    refused(harness(*command, run), 5, f"{run / name}: a link")
    assert (snapshot(run), snapshot(outside)) == before


@POSIX
@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
@pytest.mark.parametrize(
    "name", ["status.json", "space.yaml", "stats.json", "trials.parquet", "study.db", ".lock", "x"]
)
def test_a_pipe_in_a_run_is_refused_and_not_waited_for(name, command, run, harness):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    refused(harness(*command, run), 5, f"{run / name}: a pipe")


@POSIX
@pytest.mark.parametrize("name", [".lock", "study.db"])
def test_a_file_of_the_run_that_is_a_file_elsewhere_too_is_not_written_to(name, run, outside, harness):
    (run / name).unlink(missing_ok=True)
    (run / name).hardlink_to(outside / "secret")
    refused(harness("search", "--resume", run), 5, name, "second name")
    assert (outside / "secret").read_text() == SECRET


@pytest.mark.parametrize("name", ["../outside/secret", "best/../../outside/secret", "ABSOLUTE", "nowhere", "..\\x"])
def test_a_manifest_that_names_other_files_is_refused_and_their_digests_are_not_taken(name, run, outside, harness):
    name = str(outside / "secret") if name == "ABSOLUTE" else name
    manifest = json.loads((run / "manifest.json").read_text())
    edit(run / "manifest.json", files={**manifest["files"], name: "0" * 64})
    (run / "report.md").write_text("so that it is renewed")
    refused(harness("report", run), 5, "manifest.json")
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    assert not [path for path in run.rglob("*") if path.is_file() and digest.encode() in path.read_bytes()]


STATUS = [b"[]", b"null", b"", b"\xff", b'"x"', b"[" * 100_000, b'{"elapsed_s": "x"}', b'{"test_opened": NaN}']


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
@pytest.mark.parametrize("content", STATUS, ids=range(len(STATUS)))
def test_a_status_that_is_none_is_refused(content, command, run, harness):
    (run / "status.json").write_bytes(content)
    refused(harness(*command, run), 5, "status.json")


def bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join([*lines, *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])


EVIL = {
    "apply": "task: !!python/object/apply:os.system ['touch {trace}']\n" + SPACE,
    "new": "task: !!python/object/new:subprocess.Popen [['touch', '{trace}']]\n",
    "name": "task: !!python/name:os.system\n",
    "module": "task: !!python/module:antigravity\n",
    "merge": "task: digits\n<<: !!python/object/apply:os.system ['touch {trace}']\n",
    "key": "? !!python/object/apply:os.system ['touch {trace}']\n: digits\n",
    "bomb": bomb(),
    "loop": "task: &a [*a]\n",
    "deep": "task: " + "[" * 100_000,
    "deep keys": "{a: " * 100_000,
    "huge": "#" * (2 << 20),
    "number": "task: digits\nbudget: {trials: " + "9" * 100_000 + "}\n",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("payload", EVIL)
def test_a_space_file_runs_nothing_and_costs_nothing(payload, trace, tmp_path, harness):
    (tmp_path / "evil.yaml").write_text(EVIL[payload].replace("{trace}", str(trace)))
    started = time.monotonic()
    for options in ((), ("--trust",), ("--dry-run",)):
        refused(harness("search", tmp_path / "evil.yaml", "--out", tmp_path / "runs", *options), 2, "evil.yaml")
    assert time.monotonic() - started < 20
    assert not trace.exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("payload", EVIL)
def test_the_space_of_a_received_run_runs_nothing(payload, trace, run, harness):
    (run / "space.yaml").write_text(EVIL[payload].replace("{trace}", str(trace)))
    refused(harness("search", "--resume", run, "--trust"), 2, "space.yaml")
    refused(harness("report", run), 5, "space.yaml")
    manifest = json.loads((run / "manifest.json").read_text())
    digest = hashlib.sha256((run / "space.yaml").read_bytes()).hexdigest()
    edit(run / "manifest.json", files={**manifest["files"], "space.yaml": digest})
    harness("report", run)  # shows it as the text it is
    assert not trace.exists()


def test_a_received_space_of_other_trials_is_refused_whatever_the_manifest_says(run, harness):
    (run / "space.yaml").write_text(SPACE.replace("epochs: 1", "epochs: 9"))
    manifest = json.loads((run / "manifest.json").read_text())
    seal(run, {"state": manifest["state"]})
    refused(harness("search", "--resume", run), 5, "space.yaml: not the space that this run was made with")


@pytest.fixture
def module(trace, tmp_path, monkeypatch):
    """A module that can be imported, and leaves a trace when it is."""
    (tmp_path / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\ndef build(shape): raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


OWN = "architecture: {evil: {family: 'evil:build'}, mlp: {depth: [0, 1]}}"


@pytest.mark.usefixtures("module")
def test_a_received_run_cannot_grant_itself_trust(trace, run, harness):
    shutil.copy(run.parent / "evil.py", run / "evil.py")
    (run / "space.yaml").write_text(SPACE.replace("architecture: {mlp: {depth: [0, 1]}}", OWN))
    for name in ("status.json", "stats.json", "environment.json", "hardware.json"):
        edit(run / name, trust=True, argv=["harness", "search", "--trust"])
    forge(run)
    refused(harness("search", "--resume", run), 2, "--trust")
    assert harness("report", run).code == 0
    assert not trace.exists()


class Payload:
    """Touches the trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return (open, (self.trace, "w"))


@pytest.mark.usefixtures("module")
def test_nothing_of_the_winner_is_unpickled_or_imported(trace, run, harness):
    data = pickle.dumps(Payload(trace))
    pickle.loads(data).close()
    assert trace.exists(), "the payload works"
    trace.unlink()
    for name in ("best/model.safetensors", "best/model.pt", "best/preprocessing.json", "checkpoints/x.safetensors"):
        (run / name).write_bytes(data)
    candidate = json.loads((run / "best" / "candidate.json").read_text())
    own = {**candidate["candidate"], "architecture": {"evil": {"family": "evil:build"}}}
    edit(run / "best" / "candidate.json", candidate=own, task=f"../../{trace}")
    forge(run)
    assert harness("search", "--resume", run, "--trials", 2, "--json").code == 0
    assert harness("report", run).code == 0
    assert not trace.exists()


def test_weights_that_are_a_pickle_are_refused_by_their_name(trace, run, harness):
    winner = json.loads((run / "stats.json").read_text())["best"]["trial"]
    weights = run / "checkpoints" / f"trial-{winner:06d}.safetensors"
    weights.write_bytes(pickle.dumps(Payload(trace)))
    (run / "stats.json").unlink()  # so that the winner is scored again, from these weights
    forge(run)
    done = harness("search", "--resume", run)
    assert done.code == 5
    assert weights.name in done.err
    assert done.err.count("harness: error: ") == 1
    assert not trace.exists()


DEEP = "{" + '"a":{' * 50_000


@pytest.mark.parametrize("text", ["[]", "3", "NaN", DEEP], ids=["list", "number", "NaN", "deep"])
def test_crafted_files_of_the_winner_do_not_stop_a_run(text, run, harness):
    for name in ("candidate.json", "preprocessing.json"):
        (run / "best" / name).write_text(text)
    forge(run)
    assert harness("report", run).code == 0
    assert harness("search", "--resume", run, "--json").code == 0


FORGED = {
    "test without best": {"test": {"metrics": {}}, "best": None},
    "best of another form": {"test": {"metrics": {}}, "best": [1]},
    "test of another form": {"test": [1]},
}


@pytest.mark.parametrize("case", FORGED)
def test_the_scores_of_a_received_run_are_taken_up_or_refused_in_one_line(case, run, harness):
    (run / "stats.json").write_text(json.dumps(FORGED[case]))
    forge(run)
    refused(harness("report", run), 5, "stats.json")
    done = harness("search", "--resume", run, "--json")
    assert done.code in (0, 5), done.err
    assert done.err.count("harness: error: ") == (done.code != 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_a_received_run_is_not_asked_where_to_connect_to(scheme, run, harness):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        edit(run / "status.json", storage=f"{scheme}://me@127.0.0.1:{port}/studies?connect_timeout=2")
        done = harness("search", "--resume", run)
        assert done.code in (2, 5), done.err
        with pytest.raises(TimeoutError):
            server.accept()
    assert "--storage" in done.err
