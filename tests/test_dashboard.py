"""Optuna's dashboard on a run: what it shows, that it changes nothing, and how its server begins and ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import closing
from types import SimpleNamespace
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.distributions import FloatDistribution

import harness
from harness.cli import main
from harness.dashboard import Pages
from harness.errors import InputError, StorageError
from harness.serving import is_loopback
from harness.store import StudyDatabase
from harness.store.run import changed_files, listing

SPACE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"epochs": 2, "trials": 3},
    "search": {"baselines": False, "checks": False, "sampler": "random", "pruner": "none"},
    "training": {"final": "keep"},
    "evaluation": {"folds": None},
    "space": {"architecture": {"mlp": {"width": {"int": [8, 64]}}}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A sealed run of three trials; its report, which takes longer than they, is left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.api.write_report", lambda _run: [])
        return harness.search(SPACE, out=tmp_path_factory.mktemp("runs"), workers=0, device="cpu").run


def fetch(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_a_server_shows_the_run_changes_nothing_and_ends_with_ctrl_c(run):
    before = listing(run)
    command = [sys.executable, "-m", "harness", "dashboard", run, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert "<title>Optuna Dashboard</title>" in fetch(url)
        (study,) = json.loads(fetch(f"{url}api/studies"))["study_summaries"]
        assert (study["study_name"], study["directions"]) == (run.name, ["maximize"])
        detail = json.loads(fetch(f"{url}api/studies/{study['study_id']}"))
        with pytest.raises(urllib.error.HTTPError, match="405") as refused:
            fetch(f"{url}api/studies/{study['study_id']}", "DELETE")
        assert "read-only" in json.load(refused.value)["reason"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "harness: Ctrl-C ends it\n")
    trials = harness.open_run(run).trials
    assert [each["values"] for each in detail["trials"]] == [[value] for value in trials["value"]]
    assert detail["best_trials"][0]["values"] == [trials["value"].max()]
    assert detail["objective_names"] == ["accuracy"]
    told = {each["key"]: each["value"] for each in detail["trials"][1]["user_attrs"]}
    assert (told["outcome"], told["reason"]) == ("complete", trials["reason"][1])
    assert float(told["loss"]) == trials["validation_loss"][1]
    assert float(told["seconds"]) == trials["seconds"][1]
    assert changed_files(run) == []
    assert listing(run) == before


def ask(pages, path, method="GET"):
    """Ask an application as a server does, without one."""
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    said = []
    body = b"".join(pages(environ, lambda status, *_: said.append(status)))
    return said[0], json.loads(body)


def test_a_run_under_way_is_shown_as_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.dashboard.REFRESH_S", 0.0)
    (tmp_path / "status.json").write_text("{}")
    with closing(StudyDatabase.open(tmp_path / "study.db", study="harness", directions=["maximize"])) as database:
        pages = Pages(tmp_path)
        assert ask(pages, "/api/studies/0")[1]["trials"] == []
        database.begin(0, {"x": 0.5}, {"x": FloatDistribution(0, 1)}, {})
        (trial,) = ask(pages, "/api/studies/0")[1]["trials"]
        assert (trial["state"], trial["params"][0]["name"]) == ("Running", "x")
        assert sorted(file.name for file in tmp_path.iterdir()) == [
            "status.json",
            "study.db",
            "study.db-shm",
            "study.db-wal",
        ]
        assert ask(pages, "/api/studies/0", "POST")[0] == "405 Method Not Allowed"


def test_a_study_that_is_gone_meanwhile_is_told_once_and_shown_as_it_was(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harness.dashboard.REFRESH_S", 0.0)
    (tmp_path / "status.json").write_text("{}")
    study = tmp_path / "study.db"
    study.write_bytes((run / "study.db").read_bytes())
    pages = Pages(tmp_path)
    study.unlink()
    for _ in range(2):
        assert len(ask(pages, "/api/studies/0")[1]["trials"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"harness: {study}: No such file or directory; the pages stay as they were"
    ]


@pytest.mark.parametrize(
    "record", ["no JSON", '{"trial": 3}', '{"trial": {"candidate": {"architecture": 3}}, "epochs": []}']
)
def test_a_study_whose_records_are_damaged_is_one_line(record, tmp_path):
    (tmp_path / "status.json").write_text("{}")
    with closing(StudyDatabase.open(tmp_path / "study.db", study="harness", directions=["maximize"])) as database:
        database.begin(0, {"x": 0.5}, {"x": FloatDistribution(0, 1)}, {})
        database.finish(0, state="pruned", values=(), reports={}, constraints={}, record=record)
    with pytest.raises(StorageError, match="the record of a trial is damaged"):
        Pages(tmp_path)


def refused(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["harness", "dashboard", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return ended.value.code, line


def test_a_port_that_is_taken_is_told_with_one_that_is_free(run, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refused(monkeypatch, capsys, run, "--port", port)
    assert (code, line.startswith(f"harness: error: --port {port}: taken by another program; ")) == (2, True)
    free = int(line.split("; ")[1].split()[0])
    socket.create_server(("127.0.0.1", free)).close()


def test_what_cannot_be_shown_is_one_line(run, tmp_path, monkeypatch, capsys):
    assert refused(monkeypatch, capsys, tmp_path / "none") == (
        2,
        f"harness: error: {tmp_path / 'none'}: no such run; `harness runs` lists those of results/",
    )
    assert refused(monkeypatch, capsys, run, "--host", "no-such-host.invalid")[0] == 2
    (tmp_path / "status.json").write_text('{"storage": "postgresql://host/studies"}')
    with pytest.raises(InputError, match="if you trust it, give it as --storage"):
        Pages(tmp_path)
    (tmp_path / "design.json").write_text("{}")
    with pytest.raises(InputError, match="a comparison; name one of the runs in it"):
        Pages(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "optuna_dashboard", None)
        code, line = refused(monkeypatch, capsys, run)
    assert (code, line.endswith("pip install 'harness-automl[dashboard]'")) == (4, True)


@pytest.mark.parametrize(
    ("host", "alone"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_who_may_reach_an_address(host, alone):
    assert is_loopback(host) is alone


def test_another_host_is_served_with_a_warning(run, monkeypatch, capsys):
    ended = threading.Event()
    ended.set()
    monkeypatch.setattr("harness.cli.dashboard.threading", SimpleNamespace(Event=lambda: ended))
    monkeypatch.setattr(sys, "argv", ["harness", "dashboard", str(run), "--port", "0", "--host", "0.0.0.0"])
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    assert left.value.code in (0, None)
    assert captured.out.startswith("http://0.0.0.0:")
    assert "there is no password" in captured.err
