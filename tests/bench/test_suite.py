from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.bench import catalog, process, schedule, suite
from harness.bench.catalog import in_order, load_groups
from harness.bench.frames import read_bench
from harness.bench.schedule import LEVEL_S, Schedule
from harness.bench.suite import run_suite
from harness.bench.workload import groups
from harness.errors import HardwareError, InputError, StorageError
from harness.hardware import fork_server, usable_cores

CHILD = """
import os, signal, struct, sys, time
from harness.bench.rows import Case, Row
from harness.bench.workload import Idle
from harness.hardware.channel import frame, messages

def main(connection, **_):
    for request in messages(connection):
        name = request.group
        if not name:
            peaks = {"tflops": {"fp32": 1.0}, "gbps": 100.0}
            facts = {"device_name": "stub", "threads": 2, "machine": {}, "peaks": peaks, "idle": Idle(60.0, 2.0)}
            connection.sendall(frame(facts))
            continue
        case = Case(bench=name, shape="s")
        facts = {"pid": os.getpid(), "seconds": request.seconds, "idle_w": request.idle.power_w}
        facts["asked"] = request.threads
        known = {"n_blocks": 5, "blocks_s": (0.5,) * 5, "t_median_s": 0.5}
        rate = {"tflops": 2.0} if name == "matmul" else {}
        connection.sendall(frame(Row(case=case, facts=facts, **known, **rate)))
        BEHAVIOUR
        connection.sendall(frame({}))
"""


class Seen:
    """An observer that keeps what it sees."""

    def __init__(self):
        self.log, self.left, self.folder = [], [], None

    def suite_started(self, folder, turns, left_s):
        self.folder = folder
        self._note(("suite", turns), left_s)

    def group_started(self, name, left_s):
        self._note(("start", name), left_s)

    def row_measured(self, row, left_s):
        self._note(("row", row.case.bench), left_s)

    def group_ended(self, name, left_s):
        self._note(("end", name), left_s)

    def _note(self, what, left_s):
        self.log.append(what)
        self.left.append(left_s)


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Replace the process of a group by one that measures nothing and then does what it is told."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(process, "MODULE", "a_stub_of_a_child")

    def behave(code="pass", text=CHILD):
        (tmp_path / "a_stub_of_a_child.py").write_text(text.replace("BEHAVIOUR", code))

    behave()
    return behave


def run(tmp_path, *only, level="quick", observer=None, threads=None):
    options = {"out": tmp_path / "results", "only": only, "threads": threads}
    folder = run_suite(level=level, device="cpu", observer=observer or Seen(), **options)
    bench, _, env = read_bench(folder)
    return bench.to_dict("records"), env


@pytest.mark.usefixtures("child")
@pytest.mark.parametrize(("threads", "asked"), [(None, usable_cores()), (1, 1)])
def test_the_processes_hear_how_many_threads_are_wanted_and_say_how_many_there_are(threads, asked, tmp_path):
    rows, env = run(tmp_path, "copy", threads=threads)
    assert facts(rows)[0]["asked"] == asked
    assert env["threads"] == 2, "as the process said"


@pytest.mark.parametrize("threads", [0, -1, usable_cores() + 1])
def test_threads_that_there_are_not_are_refused_before_anything_is_written(threads, tmp_path):
    with pytest.raises(InputError, match=f"--threads {threads}: this machine has {usable_cores()} usable cores"):
        run(tmp_path, "copy", threads=threads)
    assert not (tmp_path / "results").exists()


def facts(rows):
    return [json.loads(row["facts"]) for row in rows]


@pytest.mark.usefixtures("child")
def test_a_run_leaves_its_files_and_tells_of_its_progress(tmp_path):
    seen = Seen()
    rows, env = run(tmp_path, "launch", "matmul", observer=seen)
    assert [row["bench"] for row in rows] == ["matmul", "launch"]
    assert rows[0]["pct_spec_peak"] == 200.0
    assert rows[0]["pct_measured_peak"] == 100.0
    assert "impossible: 200 %" in rows[0]["note"]
    assert (env["state"], env["level"], env["device"], env["device_name"]) == ("complete", "quick", "cpu", "stub")
    assert env["seconds"] > 0
    assert facts(rows)[0]["idle_w"] == 60.0
    assert not Path(env["environment"]["argv"][0]).is_absolute()
    assert env["peaks"]["measured"]["tflops"] == {"fp32": 2.0}
    assert "diff" not in (env["environment"]["git"] or {})
    assert {path.name for path in seen.folder.iterdir()} == {"bench.parquet", "bench.csv", "blocks.parquet", "env.json"}
    assert "-bench-" in seen.folder.name
    expected = [("suite", 4)]
    for number in (1, 2):
        for name in ("matmul", "launch"):
            label = f"{name}, round {number} of 2"
            expected += [("start", label), ("row", name), ("end", label)]
    assert seen.log == expected
    assert seen.left == sorted(seen.left, reverse=True)


@pytest.mark.usefixtures("child")
def test_the_shares_of_all_groups_stay_within_the_level(tmp_path):
    rows, _ = run(tmp_path)
    asked = {row["bench"]: fact["seconds"] for row, fact in zip(rows, facts(rows), strict=True)}
    assert set(asked) == set(groups)
    # What the stub did not use went to later groups; the first share is the plan's, in one of two rounds.
    total = sum(catalog.weight(name) for name in groups)
    assert 0.5 < 2 * asked["matmul"] / (LEVEL_S["quick"] * catalog.weight("matmul") / total) <= 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("if name == 'matmul': os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("if name == 'matmul': print('last words', file=sys.stderr); sys.exit(3)", "exit code 3: last words"),
        ("if name == 'matmul': raise ValueError('broken')", "ValueError: broken"),
    ],
)
def test_a_group_that_dies_costs_its_own_row_and_keeps_what_it_measured(tmp_path, child, code, words):
    child(code)
    rows, env = run(tmp_path, "matmul", "threads", "copy")
    assert [(row["bench"], row["status"]) for row in rows] == [
        ("matmul", "ok"),
        ("matmul", "failed"),
        ("threads", "ok"),
        ("copy", "ok"),
    ]
    assert words in rows[1]["note"]
    assert env["state"] == "complete"


def test_a_group_killed_for_memory_is_out_of_memory(tmp_path, child, monkeypatch):
    child("os.kill(os.getpid(), signal.SIGKILL)")
    kills = iter(range(10))
    monkeypatch.setattr("harness.hardware.child.oom_kills", lambda: next(kills))
    rows, _ = run(tmp_path, "matmul")
    assert rows[1]["status"] == "oom"
    assert "killed by the kernel: out of memory" in rows[1]["note"]


def test_a_group_that_hangs_is_killed(tmp_path, child, monkeypatch):
    monkeypatch.setattr(suite, "GRACE", {"quick": (0.0, 0.5)})
    child("if name == 'matmul': time.sleep(600)")
    rows, _ = run(tmp_path, "matmul", "launch")
    assert [(row["bench"], row["status"]) for row in rows][:2] == [("matmul", "ok"), ("matmul", "failed")]
    assert "killed" in rows[1]["note"]
    assert rows[2]["bench"] == "launch"


def test_a_process_that_cannot_start_fails_every_group(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "MODULE", "nowhere")
    rows, env = run(tmp_path, "matmul", "copy")
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert "nowhere" in rows[0]["note"]
    assert env["machine"] is None


def test_an_interpreter_that_is_not_there_is_a_matter_of_the_hardware(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(HardwareError, match="cannot be started"):
        run(tmp_path, "matmul")


class Interrupting(Seen):
    def __init__(self, at):
        super().__init__()
        self.at = at

    def _note(self, what, left_s):
        super()._note(what, left_s)
        if what == self.at:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("child")
def test_an_interruption_keeps_what_was_measured(tmp_path):
    observer = Interrupting(("row", "copy"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "matmul", "copy", "launch", observer=observer)
    bench, _, env = read_bench(observer.folder)
    assert list(bench["bench"]) == ["matmul", "copy"]
    assert env["state"] == "interrupted"


@pytest.mark.usefixtures("child")
def test_an_interruption_before_anything_leaves_no_folder(tmp_path):
    observer = Interrupting(("start", "matmul, round 1 of 2"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "matmul", observer=observer)
    assert not observer.folder.exists()


@pytest.mark.usefixtures("child")
def test_groups_for_which_no_time_is_left_are_skipped_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "LEAST_S", 0.0)
    monkeypatch.setattr(schedule, "LEVEL_S", {"quick": 0.0})
    rows, _ = run(tmp_path, "matmul")
    assert [(row["status"], row["note"][:16]) for row in rows] == [("skipped", "no time was left")]


def test_an_unknown_name_gets_a_suggestion(tmp_path):
    with pytest.raises(InputError, match="unknown benchmark 'matmull'; did you mean 'matmul'"):
        run(tmp_path, "matmull")
    assert not (tmp_path / "results").exists()


def test_an_unknown_level_or_device_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="standard"):
        run(tmp_path, level="standart")
    with pytest.raises(InputError, match="unknown device"):
        run_suite(level="quick", device="tpu", out=tmp_path / "results", observer=Seen())
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("child")
def test_a_place_that_cannot_be_written_to_shows_at_once(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StorageError, match="results"):
        run(tmp_path, "matmul")


def test_groups_run_in_a_fixed_order_each_once():
    load_groups()
    assert in_order(["fetch", "matmul", "fetch", "copy"]) == ["matmul", "copy", "fetch"]
    assert set(in_order(list(groups))) == set(groups)
    assert set(catalog.CATALOG) == set(groups)


@pytest.mark.usefixtures("child")
def test_where_nothing_can_be_forked_every_request_starts_a_process(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "FORKS", False)
    monkeypatch.setattr(fork_server, "FORKS", False)
    monkeypatch.setitem(catalog.ROUNDS, "quick", 1)
    pids = [each["pid"] for each in facts(run(tmp_path, "matmul", "lstm_cell", "copy")[0])]
    assert len(set(pids)) == 3


@pytest.mark.usefixtures("child")
def test_a_row_is_put_together_from_the_blocks_of_all_rounds(tmp_path):
    seen = Seen()
    folder = run_suite(level="quick", device="cpu", out=tmp_path / "results", only=["copy"], observer=seen)
    bench, blocks, env = read_bench(folder)
    assert (len(bench), bench["n_blocks"][0], env["rounds"]) == (1, 10, 2)
    assert blocks["round"].tolist() == [0] * 5 + [1] * 5


def test_what_tells_no_times_has_one_turn():
    load_groups()
    names = in_order(list(groups))
    listed = catalog.turns(names, catalog.ROUNDS["standard"])
    assert listed.count((0, "largest_batch")) == 1
    assert sum(name == "largest_batch" for _, name in listed) == 1
    assert [name for number, name in listed if number == 4] == [name for name in names if name != "largest_batch"]


def test_a_group_that_can_measure_nothing_here_has_one_turn(tmp_path, child):
    child(text=CHILD.replace("**known, **rate", 'status="skipped", note="not here"'))
    seen = Seen()
    rows, _ = run(tmp_path, "launch", observer=seen)
    assert [row["status"] for row in rows] == ["skipped"]
    assert [what for what in seen.log if what[0] == "start"] == [("start", "launch, round 1 of 2")]


def test_a_crash_that_leaves_half_an_answer_is_a_death_like_others(tmp_path, child):
    child("connection.sendall(struct.pack('<Q', 1000) + b'half'); print('torn', file=sys.stderr); sys.exit(3)")
    rows, _ = run(tmp_path, "matmul")
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert rows[1]["note"].endswith("exit code 3: torn)")


def test_what_an_earlier_group_said_is_not_quoted(tmp_path, child):
    child("print('of matmul', file=sys.stderr) if name == 'matmul' else os._exit(3)")
    rows, _ = run(tmp_path, "matmul", "copy")
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["note"].endswith("(exit code 3)")


# What there is time for.


@pytest.fixture
def plan(monkeypatch):
    """Return the schedule of all groups at level quick; ``plan.now`` is the time of day."""
    load_groups()
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def make(turn_s, names=tuple(groups)):
        found = Schedule(in_order(names), "quick", turn_s=turn_s)
        found.clock = clock
        return found

    return make


def test_where_turns_cost_much_there_are_fewer_rounds(plan):
    assert plan(0.3).rounds == 2
    costly = plan(4.0)
    assert costly.rounds == 1
    assert {number for number, _ in costly.left} == {0}
    assert set(costly.missed) == set(groups) - catalog.ONCE


def test_what_turns_cost_is_learned(plan):
    found, rounds = plan(0.3), []
    while found.left:
        rounds.append(found.rounds)
        given_s = found.share_s(found.left[0][1])
        found.clock.now += given_s + 2.0
        found.took(given_s, given_s + 2.0)
        found.end_turn()
    assert rounds == [2] * 4 + [1] * (len(groups) - 4)
    assert found.clock.now <= found.total_s + 1.0


def test_one_turn_that_took_long_costs_no_round(plan):
    found = plan(0.3)
    found.clock.now += 12.0
    found.took(2.0, 12.0)
    found.end_turn()
    assert found.rounds == 2


def test_a_row_says_that_it_missed_a_round(tmp_path, child, monkeypatch):
    child()
    monkeypatch.setattr(suite, "TURN_S", 4.0)
    rows, env = run(tmp_path, "matmul", "copy")
    assert env["rounds"] == 1
    assert [row["note"] for row in rows if row["bench"] == "copy"] == ["no time was left for 1 of 2 rounds"]


# The real process.

REAL = """
import atexit, os, signal
from harness.bench import child
from harness.bench.rows import Case, Row
from harness.bench.workload import groups

def say(name):
    def group(setting):
        atexit.register(os.abort)  # a library that crashes when it is unloaded
        yield Row(case=Case(bench=name, variant="x"), facts={"pid": os.getpid(), "parent": os.getppid()})
    return group

def die(setting):
    yield from say("fetch")(setting)
    os.kill(os.getpid(), signal.SIGKILL)

child.load_groups()
saying = {name: say(name) for name in ("matmul", "lstm_cell", "copy")}
child.groups = {**saying, "launch": groups["launch"], "fetch": die}
main = child.main
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Rows by group, and environment, of a run of the real process in which most groups only say who they are."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "a_real_child.py").write_text(REAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(process, "MODULE", "a_real_child")
        patch.setattr(schedule, "LEAST_S", 60.0)  # a busy machine may take long to start the process
        patch.setitem(catalog.CATALOG, "launch", catalog.Entry("", 0.04))
        patch.setitem(catalog.ROUNDS, "quick", 1)
        rows, env = run(folder, "matmul", "lstm_cell", "copy", "launch", "fetch")
    return rows, env


def test_the_real_process_measures(real):
    launch = [row for row in real[0] if row["bench"] == "launch"]
    assert [row["status"] for row in launch] == ["skipped", "ok"]
    assert launch[1]["n_blocks"] >= 1
    assert 1e4 < launch[1]["samples_s"] < 1e9


def test_the_real_process_describes_this_machine_without_its_names(real):
    machine = real[1]["machine"]
    assert machine["torch"]["version"]
    assert "host_name" not in json.dumps(machine)
    assert Path.home().name not in json.dumps(machine)


@pytest.mark.skipif(not fork_server.FORKS, reason="processes are forked on Linux only")
def test_every_group_has_a_process_of_its_own_and_its_death_is_told(real):
    matmul, lstm_cell, copy, fetch = (each for each in facts(real[0]) if each)
    assert len({each["pid"] for each in (matmul, lstm_cell, copy, fetch)}) == 4
    assert matmul["parent"] == lstm_cell["parent"] == copy["parent"] == fetch["parent"]
    (died,) = [row for row in real[0] if row["status"] == "failed"]
    assert died["bench"] == "fetch"
    assert "SIGKILL" in died["note"]
