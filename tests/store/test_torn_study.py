"""A study whose files were cut off, or whose writer was killed, is the study after one of its commits or is refused."""

import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution

from harness.errors import StorageError
from harness.store import StudyDatabase

pytestmark = pytest.mark.slow

PAGE, WAL_HEADER, FRAME_HEADER = 512, 32, 24
FRAME = FRAME_HEADER + PAGE
DEPTH = {"x": FloatDistribution(0, 1)}


@pytest.fixture
def folder(tmp_path):
    """A folder in memory where there is one: a disk is slow to make thousands of small files durable."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


def study_at(path):
    return closing(StudyDatabase.open(path, study="harness", directions=["maximize"]))


def dump(path):
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def steps(database, first, count):
    """Begin and finish trials; each step is one commit."""
    for number in range(first, first + count):
        yield database.begin(number, {"x": 0.5}, DEPTH, {"shown": []})
        how = {"state": "complete", "values": (0.5,), "constraints": {}, "record": f"record {number}" * 60}
        yield database.finish(number, reports={1: 0.1, 2: 0.2}, **how)


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """The bytes of a small study and of its log while it is written, and its contents after each commit of the log.

    Its pages are as small as SQLite allows, so that every byte of some of them can be tried.
    """
    path = tmp_path_factory.mktemp("whole") / "study.db"
    with study_at(path) as database:
        for _ in steps(database, 0, 3):
            pass
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode=DELETE", f"PRAGMA page_size={PAGE}", "VACUUM"):
            connection.execute(statement)
    with study_at(path) as database:
        contents = [dump(path)]
        for _ in steps(database, 3, 2):
            contents.append(dump(path))
        return path.read_bytes(), path.with_name("study.db-wal").read_bytes(), contents


def opened(folder, file, log):
    """The contents of such a study as it is opened; None: it is refused."""
    folder.mkdir()
    path = folder / "study.db"
    path.write_bytes(file)
    if log is not None:
        path.with_name("study.db-wal").write_bytes(log)
    words = ""
    try:
        with study_at(path) as database:
            database.load()
            return dump(path)
    except StorageError as error:
        words = str(error)
    finally:
        shutil.rmtree(folder)
    assert words.startswith(f"{path}: ")
    assert "\n" not in words
    return None


def commits(log):
    """How many bytes of the log each commit needs, from the format (https://www.sqlite.org/fileformat2.html#walformat)."""
    ends = range(WAL_HEADER + FRAME, len(log) + 1, FRAME)
    return [end for end in ends if struct.unpack_from(">I", log, end - FRAME + 4)[0]]


def test_a_cut_log_is_the_study_after_its_last_whole_commit(torn, folder):
    file, log, contents = torn
    ends = commits(log)
    assert len(ends) == len(contents) - 1 == 4
    assert len(set(contents)) == len(contents)
    edges = range(WAL_HEADER, len(log) + 1, FRAME)
    cuts = {
        *range(WAL_HEADER + FRAME_HEADER + 1),
        *range(len(log) - FRAME, len(log), 19),
        *(edge + near for edge in edges for near in (-1, 0, 1, FRAME_HEADER)),
        *range(0, len(log), 997),
    }
    for cut in sorted(cut for cut in cuts if cut <= len(log)):
        whole = sum(end <= cut for end in ends)
        assert opened(folder / "cut", file, log[:cut]) == contents[whole], f"cut at {cut} of {len(log)}"


@pytest.mark.parametrize("logged", [False, True])
def test_a_cut_file_is_refused(torn, folder, logged):
    file, log, contents = torn
    edges = range(0, len(file) + 1, PAGE)
    cuts = {edge + near for edge in edges for near in (-1, 0, 1)} | set(range(0, len(file), 997))
    for cut in sorted(cut for cut in cuts if 0 <= cut < len(file)):
        assert opened(folder / "cut", file[:cut], log if logged else None) is None, f"cut at {cut} of {len(file)}"
    assert opened(folder / "cut", file, log if logged else None) == contents[-1 if logged else 0]


WRITER = """
import os, sys
from pathlib import Path
from optuna.distributions import FloatDistribution
from harness.store import StudyDatabase

def write(path):
    database = StudyDatabase.open(path, study="harness", directions=["maximize"])
    trials = database.load()
    done = 2 * len(trials) - (bool(trials) and trials[-1].record is None)
    while True:
        number = done // 2
        if done % 2 == 0:
            database.begin(number, {"x": 0.5}, {"x": FloatDistribution(0, 1)}, {"shown": [number]})
        else:
            reports = dict.fromkeys(range(20), 0.5)
            how = dict(state="complete", values=(0.5,), constraints={}, record=f"record {number}" * 1000)
            database.finish(number, reports=reports, **how)
        done += 1
        os.write(1, f"{done}\\n".encode())

# Whatever is loaded at first use is loaded before the fork.
StudyDatabase.open(Path(sys.argv[1]), study="harness", directions=["maximize"]).close()
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        write(Path(sys.argv[1]))
    os.write(1, f"child {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"dead\\n")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writer that is killed is forked")
def test_a_killed_writer_leaves_all_that_was_committed(folder):
    path = folder / "study.db"
    chance = random.Random(0)
    counts = [0]
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        for _ in range(20):
            server.stdin.write("next\n")
            server.stdin.flush()
            child, said = None, []
            wanted = chance.randrange(1, 30)
            while child is None or len(said) < wanted:
                word, *rest = server.stdout.readline().split()
                child, said = (int(rest[0]), said) if word == "child" else (child, [*said, int(word)])
            time.sleep(chance.random() * 2e-3)
            os.kill(child, signal.SIGKILL)
            while (line := server.stdout.readline().strip()) != "dead":
                said.append(int(line))
            assert said == list(range(counts[-1] + 1, counts[-1] + 1 + len(said))), (
                "it went on where the last one ended"
            )
            with study_at(path) as database:
                trials = database.load()
            done = 2 * len(trials) - (trials[-1].record is None)
            assert done in (said[-1], said[-1] + 1)
            for trial in trials[: done // 2]:
                assert trial.record == f"record {trial.number}" * 1000
                assert trial.note == {"shown": [trial.number]}
            counts.append(done)
        server.stdin.close()
    assert all(earlier < later for earlier, later in pairwise(counts))
