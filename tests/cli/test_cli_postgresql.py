"""Searches whose study is in a PostgreSQL database, on a real server: all that differs from a file is where it lies."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from harness.store import TIMED_COLUMNS, StudyDatabase

pytestmark = pytest.mark.slow

PASSWORD = "p:w/d%?{}"  # as the server of the tests has it
ENCODED = "p%3Aw%2Fd%25%3F%7B%7D"
SPACE = """
task: {builtin: digits, limit: 200}
objective: accuracy
budget: {trials: 4, epochs: 20, checkpoint_time: 0.05}
search: {pruner: median, sampler: tpe, baselines: false, checks: false}
training: {precision: fp32}
space:
  architecture: {mlp: {depth: 1, width: {int: [8, 32], log: true}}}
  optimizer: {sgd: {lr: {float: [1e-2, 0.3], log: true}}}
"""


def rows(run):
    """Return trials.csv as text cells, without the columns that measure time or the machine."""
    with (Path(run) / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED_COLUMNS} for row in csv.DictReader(file)]


def scores(run):
    return json.loads((Path(run) / "stats.json").read_text())["test"]["metrics"]


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def undisturbed(space, tmp_path_factory):
    """The same search of one go, with its study in a file."""
    import harness

    out = tmp_path_factory.mktemp("file")
    return harness.search(str(space), trials=6, out=out, device="cpu", workers=0).run


@pytest.fixture
def url(postgresql):
    return postgresql()


@pytest.fixture
def search(harness, url, tmp_path):
    """Run a search with its study on the server, which nobody may learn the password of."""

    def run(*arguments):
        done = harness("search", *arguments, "--storage", url, "--out", tmp_path / "runs", "--device", "cpu")
        keeps_the_secret(done.out, done.err, tmp_path / "runs")
        return done

    return run


def keeps_the_secret(out, err, *folders):
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for text in (out.encode(), err.encode(), *(path.read_bytes() for path in files)):
        for secret in (PASSWORD, ENCODED):
            assert secret.encode() not in text
            assert json.dumps(secret)[1:-1].encode() not in text


def one_line(done, code, *words):
    """Check that a command ended with one line after whatever progress it made."""
    assert (done.code, done.out) == (code, ""), done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("harness: error: ")
    assert done.err.count("harness: error: ") == 1
    assert "Traceback" not in done.err
    for word in words:
        assert word in last


def only_run(folder):
    (run,) = folder.iterdir()
    return run


def ask(url, query):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchone()


OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def wait_until_alone(url):
    """Wait until the server has noticed that a client is gone."""
    until = time.monotonic() + 30
    while ask(url, f"SELECT count(*) {OTHERS}") != (0,):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_study_is_on_the_server_and_goes_on_there(search, harness, space, url, undisturbed, tmp_path):
    done = search(space, "--json")
    assert done.code == 0, done.err
    run = only_run(tmp_path / "runs")
    assert not list(run.glob("study.db*"))
    status = json.loads((run / "status.json").read_text())
    assert status["storage"] == url.replace(f":{ENCODED}", "")

    storage = optuna.storages.RDBStorage(url.replace("postgresql", "postgresql+psycopg", 1))
    study = optuna.load_study(study_name=run.name, storage=storage)
    values = [float(row["value"]) for row in rows(run) if row["outcome"] == "complete"]
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    assert [trial.value for trial in complete] == values
    assert study.best_value == max(values)
    assert [trial.params["optimizer.sgd.lr"] for trial in study.trials] == [
        float(row["param.optimizer.sgd.lr"]) for row in rows(run)
    ]
    storage.remove_session()
    storage.engine.dispose()

    one_line(harness("search", "--resume", run, "--trials", 6), 2, "--storage", "in a database")
    assert not list(run.glob("study.db*"))
    assert search("--resume", run, "--trials", 6).code == 0
    assert rows(run) == rows(undisturbed)
    assert scores(run) == scores(undisturbed)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_killed_coordinator_loses_nothing_and_only_one_writes_at_a_time(search, space, url, undisturbed, tmp_path):
    command = [sys.executable, "-m", "harness", "search", space, "--trials", "6", "--device", "cpu", "--storage", url]
    with subprocess.Popen([*command, "--out", tmp_path / "runs"], stderr=subprocess.PIPE, text=True) as process:
        try:
            said = [process.stderr.readline() for _ in range(3)]
            process.send_signal(signal.SIGSTOP)
            run = only_run(tmp_path / "runs")
            copy = shutil.copytree(run, tmp_path / "elsewhere" / run.name, ignore=shutil.ignore_patterns(".*"))
            one_line(search("--resume", copy), 5, f"another harness process is writing to study '{run.name}'")
        finally:
            process.kill()
    told = {line[:9] for line in said[1:]}  # two of those that are trained at once, whichever ended first
    assert said[0].startswith("run folder"), said
    assert len(told) == 2, said
    assert all(line.startswith("trial ") for line in told), said
    keeps_the_secret("", "".join(said), tmp_path / "runs", tmp_path / "elsewhere")
    wait_until_alone(url)
    done = search("--resume", run, "--trials", 6)
    assert done.code == 0, done.err
    assert not {line[:9] for line in done.err.splitlines()} & told, "they were not lost"
    assert rows(run) == rows(undisturbed)
    assert scores(run) == scores(undisturbed)


def test_a_connection_that_is_lost_is_one_line_and_the_search_goes_on_later(
    search, space, url, undisturbed, tmp_path, monkeypatch
):
    finish = StudyDatabase.finish

    def finish_and_lose_the_server(database, number, **facts):
        finish(database, number, **facts)
        if number == 2:
            assert ask(url, f"SELECT bool_and(pg_terminate_backend(pid)) {OTHERS}") == (True,)

    with monkeypatch.context() as patch:
        patch.setattr(StudyDatabase, "finish", finish_and_lose_the_server)
        done = search(space, "--trials", 6)
    one_line(done, 5, url.replace(f":{ENCODED}", ""), "once the server is well again, resume the run")
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    done = search("--resume", run, "--trials", 6)
    assert done.code == 0, done.err
    assert rows(run) == rows(undisturbed)
    assert scores(run) == scores(undisturbed)


REFUSED = {
    "wrong password": (lambda url: url.replace(ENCODED, "guess"), 5, "password authentication failed"),
    "unknown host": (lambda url: f"{url.split('@')[0]}@no-such-host.invalid/studies", 5, "check the URL"),
    "missing database": (lambda url: f"{url}-not", 5, "does not exist"),
    "another kind": (lambda url: url.replace("postgresql", "mysql"), 2, "not the URL of a PostgreSQL database"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_server_that_cannot_be_used_is_one_line_and_leaves_no_run(case, harness, space, url, tmp_path):
    change, code, words = REFUSED[case]
    done = harness("search", space, "--storage", change(url), "--out", tmp_path / "runs")
    one_line(done, code, words)
    assert done.err.count("\n") == 1
    keeps_the_secret(done.out, done.err)
    assert not list(tmp_path.glob("runs/*"))


def test_a_run_whose_study_is_a_file_is_not_gone_on_with_on_a_server(search, undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run")
    one_line(search("--resume", run, "--trials", 7), 5, "has no study 'run'")
    assert rows(run) == rows(undisturbed)
