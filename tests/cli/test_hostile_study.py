"""Studies, checkpoints and weights from someone else, made to do harm or to break what reads them."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import signal
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import torch
from safetensors.torch import save

import harness
from harness.hardware import usable_cores
from harness.store import TIMED_COLUMNS
from harness.study import Observer
from harness.train.checkpoint import pack, unpack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_charts")]

SPACE = """
task: {builtin: digits, limit: 150}
objective: accuracy
budget: {trials: 3, epochs: 3, checkpoint_time: 0.000001}
search: {pruner: none, sampler: random, baselines: false, checks: false}
training: {final: keep, precision: fp32}
space:
  architecture: {mlp: {depth: 1, width: {int: [8, 32]}}}
  optimizer: {sgd: {lr: {float: [1e-2, 0.3]}}}
"""
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX links and pipes")


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return (Path.touch, (Path(self.trace),))


class StopIn(Observer):
    """Asks the run to stop after an epoch of a trial."""

    def __init__(self, trial, epoch):
        self.where = (trial, epoch)

    def epoch_ended(self, epoch):
        if (epoch.trial, epoch.epoch) == self.where:
            os.kill(os.getpid(), signal.SIGTERM)


def made_in(folder, *overrides, observer=None):
    """Return a run as it was left, by a search that may have been stopped."""
    (folder / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = {"out": folder / "runs", "device": "cpu", "workers": 0, "observer": observer}
        return harness.search("space.yaml", overrides=overrides, **options).run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three trials that is complete."""
    return made_in(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The same one, asked to stop after the second epoch of its second trial, which has a checkpoint."""
    run = made_in(tmp_path_factory.mktemp("cut"), observer=StopIn(1, 2))
    assert [path.name for path in (run / "checkpoints").glob("resume-*")] == ["resume-000001.safetensors"]
    return run


@pytest.fixture
def received(tmp_path):
    """Copy a run to tamper with."""
    return lambda made: Path(shutil.copytree(made, tmp_path / f"received-{made.name}"))


@pytest.fixture
def trace(tmp_path):
    """A file that is there only if an attack got its way."""
    return tmp_path / "trace"


def study(run):
    return closing(sqlite3.connect(run / "study.db", isolation_level=None))


def contents(run):
    """Everything that a run holds of its trials: its study, and its weights and checkpoints."""
    with study(run) as database:
        rows = list(database.iterdump())
    return rows, {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}


def put(run, number, key, text):
    """Write a user attribute of a trial."""
    with study(run) as database:
        query = "UPDATE trial_user_attributes SET value_json = ? WHERE key = ? AND trial_id = ?"
        assert database.execute(query, (text, f"harness:{key}", number + 1)).rowcount == 1


def record_of(run, number):
    with study(run) as database:
        query = "SELECT value_json FROM trial_user_attributes WHERE key = 'harness:record' AND trial_id = ?"
        return json.loads(json.loads(database.execute(query, (number + 1,)).fetchone()[0]))


def rows(run):
    """Return trials.csv without the columns that measure time or the machine, or tell what was noticed."""
    with (Path(run) / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in (*TIMED_COLUMNS, "notes")} for row in csv.DictReader(file)]


def refused(done, *words):
    """Check that a resumed search ended with exit code 5 and one line after its progress."""
    assert (done.code, done.out) == (5, ""), done.err
    *progress, last = done.err.splitlines()
    assert last.startswith("harness: error: ")
    assert all(line.startswith(("run folder: ", "trial ", "note: ", "keeping ")) for line in progress), done.err
    for word in words:
        assert word in last


# What Optuna would unpickle


def plant_pickles(run, data):
    """Put a pickle where Optuna's samplers keep their own: hexadecimal, in pieces, on every trial and on the study."""
    sampler = optuna.samplers.CmaEsSampler()
    pieces = sampler._split_optimizer_str(data.hex())
    notes = {**pieces, "cma:generation": 0, "NSGAIISampler:generation": 0, "NSGAIISampler:parent:0": [1, 2]}
    notes |= {key.replace("cma:", f"{kind}:"): piece for key, piece in pieces.items() for kind in ("sepcma", "cmawm")}
    with study(run) as database:
        (count,) = database.execute("SELECT count(*) FROM trials").fetchone()
        for key, value in notes.items():
            text = json.dumps(value)
            for trial_id in range(1, count + 1):
                database.execute("INSERT INTO trial_system_attributes VALUES (NULL, ?, ?, ?)", (trial_id, key, text))
            database.execute("INSERT INTO study_system_attributes VALUES (NULL, 1, ?, ?)", (key, text))


def ask_optuna(run):
    """Have Optuna itself propose the next trial of a study."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{run / 'study.db'}")
    sampler = optuna.samplers.CmaEsSampler(seed=0)
    trial = optuna.load_study(study_name="harness", storage=storage, sampler=sampler).ask()
    trial.suggest_int("architecture.mlp.width", 8, 32)
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("sampler", ["cmaes", "nsga2"])
def test_notes_of_a_sampler_in_a_received_study_are_not_unpickled(sampler, received, trace, tmp_path, harness):
    run = made_in(tmp_path, f"search.sampler={sampler}", "budget.epochs=1")
    data = pickle.dumps(Payload(trace)) + b"#" * 3000  # more than one piece of it
    plain, tampered, asked = shutil.copytree(run, tmp_path / "plain"), received(run), tmp_path / "asked"
    plant_pickles(tampered, data)
    shutil.copytree(tampered, asked)
    ask_optuna(asked)
    assert trace.exists(), "the payload works"
    trace.unlink()
    results = [harness("search", "--resume", each, "--trials", 8, "--json") for each in (plain, tampered)]
    assert [done.code for done in results] == [0, 0], results
    assert not trace.exists()
    assert len(rows(tampered)) == 8
    assert rows(tampered) == rows(plain), "nor do they decide anything"


# Records and parameters


def at(*where, value):
    """Return what sets one value of a record."""

    def change(record):
        inner = record
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = value

    return change


def renumbered(record):
    for part in (record["trial"], *record["epochs"]):
        part["trial"] = 0


ABSURD = {
    "NaN objective": at("trial", "values", value=[float("nan")]),
    "complete without an objective": at("trial", "values", value=[]),
    "other parameters": at("trial", "params", "architecture.mlp.width", value=9),
    "a candidate of one's own": at("trial", "candidate", "architecture", value={"evil": {"family": "evil:build"}}),
    "a candidate of another form": at("trial", "candidate", "schedule", value=None),
    "epochs beyond size": at("epochs", 2, "epoch", value=10**30),
    "more epochs than there are": at("trial", "epochs", value=10**9),
    "an epoch without its metric": at("epochs", 1, "validation", value={}),
    "threads beyond size": at("trial", "plan", "threads", value=10**30),
}
"""One of each kind; tests/study/test_soundness.py has them all."""


@pytest.mark.parametrize("case", ABSURD)
def test_an_absurd_record_is_refused_and_nothing_is_lost(case, whole, received, harness):
    run = received(whole)
    record = record_of(run, 0)
    ABSURD[case](record)
    put(run, 0, "record", json.dumps(json.dumps(record)))
    before = contents(run)
    refused(harness("search", "--resume", run, "--trials", 4), str(run), "trial 0", "damaged")
    assert contents(run) == before


TEXTS = {
    "deep": '{"trial": ' + '{"a":' * 100_000,
    "a number without end": '{"trial": {"trial": ' + "9" * 100_000 + "}}",
    "no JSON": "\x00\x1b[2J\n",
    "another's": None,
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_record_of_another_kind_is_refused_and_nothing_is_lost(case, whole, received, harness):
    run = received(whole)
    text = TEXTS[case]
    if text is None:
        record = record_of(run, 1)
        renumbered(record)
        text = json.dumps(record)
    put(run, 0, "record", json.dumps(text))
    before = contents(run)
    refused(harness("search", "--resume", run, "--trials", 4), str(run), "trial 0", "damaged")
    assert contents(run) == before


def test_a_study_that_was_refused_goes_on_once_it_is_mended(whole, received, harness):
    run = received(whole)
    record = record_of(run, 1)
    put(run, 1, "record", json.dumps(json.dumps({**record, "epochs": []})))
    refused(harness("search", "--resume", run, "--trials", 4), "trial 1")
    put(run, 1, "record", json.dumps(json.dumps(record)))
    done = harness("search", "--resume", run, "--trials", 4, "--json")
    assert done.code == 0, done.err
    assert rows(run)[:3] == rows(whole)


NAME = '"name": "IntDistribution", "attributes": {"log": false, "step": 1'
ELSEWHERE = {
    "outside of its range": f'SET param_value = 99, distribution_json = \'{{{NAME}, "low": 0, "high": 99}}}}\'',
    "of another name": "SET param_name = 'architecture.mlp.depth'",
    "not a number": "SET param_value = 'NaN'",
    "of another kind": """SET param_value = 0, distribution_json =
        '{"name": "CategoricalDistribution", "attributes": {"choices": ["evil:build"]}}'""",
}


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_parameters_that_are_not_of_the_space_are_refused(case, deterministic, cut, received, harness):
    run = received(cut)
    if deterministic:
        space = (run / "space.yaml").read_text()
        (run / "space.yaml").write_text(space.replace("deterministic: false", "deterministic: true"))
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps({k: v for k, v in status.items() if k != "spec_sha256"}))
    with study(run) as database:
        where = "WHERE trial_id = 2 AND param_name = 'architecture.mlp.width'"  # of the trial that is open
        assert database.execute(f"UPDATE trial_params {ELSEWHERE[case]} {where}").rowcount == 1
    before = contents(run)
    refused(harness("search", "--resume", run), "trial 1")
    assert contents(run) == before


NOTES = ["[]", '{"shown":' + "[" * 100_000]
NOTES += [f'{{"seed": {value}}}' for value in ("-1", f"{10**30}", "true", "0.5", "[1]")]


@pytest.mark.parametrize("text", NOTES, ids=range(len(NOTES)))
def test_a_note_that_was_never_written_is_refused(text, whole, received, harness):
    run = received(whole)
    put(run, 2, "note", text)
    before = contents(run)
    refused(harness("search", "--resume", run, "--trials", 4), "trial 2", "damaged")
    assert contents(run) == before


@POSIX
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_study_that_is_no_file_is_refused(kind, whole, received, tmp_path, harness):
    run, other = received(whole), shutil.copy(whole / "study.db", tmp_path / "other.db")
    before = Path(other).read_bytes()
    file = run / "study.db"
    file.unlink()
    {"link": lambda: file.symlink_to(other), "pipe": lambda: os.mkfifo(file), "folder": file.mkdir}[kind]()
    refused(harness("search", "--resume", run, "--trials", 4), str(file))
    assert Path(other).read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("other*")) == ["other.db"]


OTHER = {
    "empty": "",
    "of something else": "CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('So What')",
    "of Optuna's version alone": "CREATE TABLE alembic_version (version_num TEXT)",
    "with a trigger": "TRIGGER",
}


@pytest.mark.parametrize("case", OTHER)
def test_another_database_is_refused_and_not_written_to(case, whole, received, harness):
    run = received(whole)
    if OTHER[case] == "TRIGGER":
        statement = "CREATE TRIGGER evil AFTER INSERT ON trials BEGIN DELETE FROM trials; END"
    else:
        (run / "study.db").unlink()
        statement = f"VACUUM; {OTHER[case]}"
    with study(run) as database:
        database.executescript(statement)
    before = contents(run)
    refused(harness("search", "--resume", run, "--trials", 4), str(run / "study.db"))
    assert contents(run) == before


# Weights and checkpoints


def zipped(trace, path):
    torch.save(Payload(trace), path)
    return path.read_bytes()


def header(length, text=b"{}"):
    return struct.pack("<Q", length) + text


def claiming(shape, end):
    text = json.dumps({"layers.0.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return header(len(text), text)


CRAFTED = {
    "pickle": lambda trace, _: pickle.dumps(Payload(trace)),
    "zip": zipped,
    "nothing": lambda *_: b"",
    "another shape": lambda *_: save({"weight": torch.zeros(3, 2)}),
    "header without end": lambda *_: header(2**63 - 1),
    "header below zero": lambda *_: header(2**64 - 1),
    "header of nothing": lambda *_: header(0, b""),
    "header of nesting": lambda *_: header(100_000, b"[" * 100_000),
    "tensor beyond memory": lambda *_: claiming([2**40, 2**40], 2**62),
    "tensor beyond the file": lambda *_: claiming([2**30], 2**32),
}


@pytest.mark.parametrize("case", ["pickle", "zip", "nothing", "another shape", "header without end"])
def test_a_crafted_checkpoint_is_passed_over_and_its_trial_trained_anew(
    case, cut, whole, received, trace, tmp_path, harness
):
    run = received(cut)
    data = CRAFTED[case](trace, tmp_path / "saved")
    (run / "checkpoints" / "resume-000001.safetensors").write_bytes(data)
    done = harness("search", "--resume", run, "--json")
    assert done.code == 0, done.err
    assert not trace.exists()
    assert rows(run) == rows(whole)
    assert record_of(run, 1)["trial"]["notes"] if data else True


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_the_crafted_files_do_harm_where_they_are_unpickled(kind, trace, tmp_path):
    path = tmp_path / "saved"
    path.write_bytes(CRAFTED[kind](trace, path))
    if kind == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert trace.exists()


def best_of(facts):
    facts["best_epoch"] = 99


def course_of(facts):
    facts["course"]["epoch"] = 10**9


def caller(*where, value):
    return at("caller", *where, value=value)


FORGED = {
    "an epoch without its metric": caller("epochs", 0, "validation", value={}),
    "epochs left out": caller("epochs", value=[]),
    "a best epoch that never was": best_of,
    "a course beyond its end": course_of,
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_checkpoint_with_the_right_digests_breaks_nothing(case, cut, whole, received, harness):
    run = received(cut)
    path = run / "checkpoints" / "resume-000001.safetensors"
    tensors, facts = unpack(path.read_bytes())
    FORGED[case](facts)
    path.write_bytes(pack(tensors, facts))
    done = harness("search", "--resume", run, "--json")
    assert done.code == 0, done.err
    assert rows(run) == rows(whole)


def test_no_plan_from_elsewhere_starts_more_threads_than_there_are_cores(cut, received, harness):
    run = received(cut)
    path = run / "checkpoints" / "resume-000001.safetensors"
    tensors, facts = unpack(path.read_bytes())
    record = record_of(run, 0)
    record["trial"]["plan"]["threads"] = facts["caller"]["plan"]["threads"] = 2**20
    path.write_bytes(pack(tensors, facts))
    put(run, 0, "record", json.dumps(json.dumps(record)))
    done = harness("search", "--resume", run, "--json")
    assert done.code == 0, done.err
    assert [row["outcome"] for row in rows(run)] == ["complete"] * 3
    assert int(rows(run)[1]["threads"]) <= usable_cores()


@POSIX
@pytest.mark.parametrize("name", ["resume-000001", "trial-000000"])
def test_a_checkpoint_that_is_a_link_is_refused(name, cut, received, tmp_path, harness):
    run = received(cut)
    path = run / "checkpoints" / f"{name}.safetensors"
    target = path.rename(tmp_path / "target")
    path.symlink_to(target)
    refused(harness("search", "--resume", run), f"{path}: a link")
    assert target.exists()


@pytest.mark.parametrize("case", [*CRAFTED, "torn"])
def test_weights_of_the_winner_that_are_none_are_refused_by_their_name(case, whole, received, trace, tmp_path, harness):
    run = received(whole)
    winner = json.loads((run / "stats.json").read_text())["best"]["trial"]
    weights = run / "checkpoints" / f"trial-{winner:06d}.safetensors"
    data = weights.read_bytes()[:-1] if case == "torn" else CRAFTED[case](trace, tmp_path / "saved")
    weights.write_bytes(data)
    (run / "stats.json").unlink()  # so that the winner is scored again, from these weights
    refused(harness("search", "--resume", run), weights.name, "cannot be loaded")
    assert not trace.exists()
    assert weights.read_bytes() == data


def test_words_of_a_received_study_do_not_command_the_terminal(cut, received, harness):
    run = received(cut)
    with study(run) as database:
        copied = "SELECT NULL, trial_id, ?, param_value, distribution_json FROM trial_params WHERE param_id = 3"
        database.execute(f"INSERT INTO trial_params {copied}", ("evil\n\x1b[2J",))
        database.execute("DELETE FROM trial_user_attributes WHERE trial_id = 2 AND key = 'harness:record'")
    done = harness("search", "--resume", run)
    refused(done, "trial 1", "evil")
    assert "\x1b" not in done.err
