"""A study is read as it stands, beside whoever writes to it, and nothing beside it is made or changed."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from harness.errors import InputError, StorageError
from harness.store import StudyDatabase
from harness.store.snapshot import copy_study, read_study, signature

DEPTH = {"x": FloatDistribution(0, 1)}


def begin(database, number):
    database.begin(number, {"x": 0.25}, DEPTH, {"shown": []})


def finish(database, number, value):
    how = {"reports": {1: 0.1}, "constraints": {}, "record": f"record {number}"}
    database.finish(number, state="complete", values=(value,), **how)


@pytest.fixture
def written(tmp_path):
    """A study that is being written to: one trial has ended, another one is under way."""
    path = tmp_path / "study.db"
    with closing(StudyDatabase.open(path, study="harness", directions=["maximize"])) as database:
        begin(database, 0)
        finish(database, 0, 0.5)
        begin(database, 1)
        yield path, database


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def test_a_study_under_way_is_read_with_what_is_only_in_its_log(written):
    path, database = written
    before = contents(path.parent)
    assert before["study.db-wal"]
    found = read_study(path, "harness")
    assert contents(path.parent) == before
    assert (found.name, found.directions) == ("harness", (StudyDirection.MAXIMIZE,))
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert (found.trials[0].values, found.trials[0].params) == ([0.5], {"x": 0.25})
    earlier = signature(path)
    finish(database, 1, 0.75)
    assert signature(path) != earlier
    assert read_study(path, "harness").trials[1].values == [0.75]


def test_a_study_that_is_closed_stays_the_only_file(tmp_path):
    path = tmp_path / "study.db"
    StudyDatabase.open(path, study="harness", directions=["minimize"]).close()
    before = contents(tmp_path)
    assert read_study(path, "harness").trials == ()
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]
    assert contents(tmp_path) == before


def test_a_copy_is_of_one_moment_however_often_the_log_is_emptied(tmp_path):
    """Two tables that a writer always changes together are never found apart."""
    path, stop = tmp_path / "study.db", threading.Event()
    with closing(sqlite3.connect(path, check_same_thread=False)) as writer:
        writer.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=4;")
        writer.executescript("CREATE TABLE a (x BLOB); CREATE TABLE b (x BLOB);")

        def write():
            while not stop.is_set():
                with writer:
                    writer.execute("INSERT INTO a VALUES (randomblob(900))")
                    writer.execute("INSERT INTO b VALUES (randomblob(900))")
                time.sleep(0.001)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            counts = []
            for number in range(25):
                folder = tmp_path / str(number)
                folder.mkdir()
                with closing(sqlite3.connect(copy_study(path, folder))) as copy:
                    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    a, b = (copy.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in "ab")
                assert a == b
                counts.append(a)
        finally:
            stop.set()
            thread.join()
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_what_is_no_study_is_one_line_that_names_the_file_of_the_run(written, tmp_path):
    path, _ = written
    with pytest.raises(StorageError, match=r"study\.db: has no study 'other'"):
        read_study(path, "other")
    torn = tmp_path / "torn.db"
    torn.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StorageError, match="cut off") as caught:
        read_study(torn, "harness")
    assert str(caught.value).startswith(f"{torn}: ")
    with pytest.raises(StorageError, match="No such file"):
        read_study(tmp_path / "none.db", "harness")
    with pytest.raises(InputError, match="not the URL of a PostgreSQL database"):
        read_study("mysql://host/studies", "harness")


@pytest.mark.slow
def test_a_study_on_a_server_is_read_beside_its_writer(postgresql):
    url = postgresql()
    with closing(StudyDatabase.open(url, study="mine", directions=["maximize"])) as database:
        begin(database, 0)
        assert [trial.state for trial in read_study(url, "mine").trials] == [TrialState.RUNNING]
        finish(database, 0, 0.5)
        assert read_study(url, "mine").trials[0].values == [0.5]
        with pytest.raises(StorageError, match="has no study 'other'"):
            read_study(url, "other")
