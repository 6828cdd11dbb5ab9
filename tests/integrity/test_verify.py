"""A run is what it was: what was changed is found by the manifest, and without it by what no longer agrees."""

import json
import os
import shutil
import sqlite3
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from harness.cli import main
from harness.errors import InputError
from harness.store import read_json, write_json
from harness.store.run import MANIFEST

OLDER = Path(__file__).parents[1] / "same" / "run.tar.xz"


def tree(run):
    """Return every file of a run with its bytes and when it was written."""
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in run.rglob("*") if file.is_file()}


def edit_json(run, name, *path, value):
    """Put a value at a path of keys into a JSON file; a function gets the old one."""
    held = place = read_json(run / name)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value(place[path[-1]]) if callable(value) else value
    write_json(run / name, held)


def edit_table(run, name, column, value, row=0):
    frame = pd.read_parquet(run / name)
    old = frame[column].iloc[row]
    frame.loc[row, column] = value(old) if callable(value) else value
    frame.to_parquet(run / name, index=False)


def told(run):
    """Return the findings of a run as texts."""
    return [str(finding) for finding in harness.verify(run).findings]


def test_a_run_as_it_was_left_is_intact_and_nothing_is_written(run):
    before = tree(run)
    found = harness.verify(run)
    assert (found.state, found.kind, found.findings, found.unchecked) == ("intact", "search", (), ())
    assert found.files == len(read_json(run / MANIFEST)["files"])
    assert tree(run) == before


def test_a_file_that_was_changed_removed_or_added_is_named_with_both_digests(run):
    sealed = read_json(run / MANIFEST)["files"]
    weights = run / "best" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    (run / "report.md").unlink()
    (run / "mine.txt").write_text("a note")
    changed, added, gone = sorted(told(run))
    assert changed.startswith("best/model.safetensors: was changed since the run was sealed: expected sha256 ")
    assert sealed["best/model.safetensors"] in changed
    assert added.startswith("mine.txt: was added since the run was sealed: expected no file, found sha256 ")
    assert gone == f"report.md: is missing: expected sha256 {sealed['report.md']}, found no file"


def test_a_manifest_that_names_nothing_seals_nothing(run):
    sealed = read_json(run / MANIFEST)["files"]
    edit_json(run, "manifest.json", "files", value={})
    found = harness.verify(run).findings
    assert {finding.file for finding in found} == set(sealed)


PLANTED = {
    "a metric in trials.csv": (
        lambda run: (run / "trials.csv").write_text((run / "trials.csv").read_text().replace(",128,", ",129,")),
        "trials.csv",
        "is not that of trials.parquet",
    ),
    "a hyperparameter in trials.parquet": (
        lambda run: edit_table(run, "trials.parquet", "param.architecture.mlp.width", lambda old: old + 1),
        "trials.parquet",
        "param.architecture.mlp.width of trial 0 is not that of its params",
    ),
    "params in trials.parquet": (
        lambda run: edit_table(run, "trials.parquet", "params", '{"architecture.mlp.width": 9}'),
        "trials.parquet",
        "params of trial 0 is not that of study.db",
    ),
    "a value in trials.parquet": (
        lambda run: edit_table(run, "trials.parquet", "validation_accuracy", 0.5),
        "trials.parquet",
        "validation_accuracy of trial 0 is not that of study.db",
    ),
    "an epoch": (
        lambda run: edit_table(run, "epochs.parquet", "train_loss", lambda old: old * 0.99),
        "epochs.parquet",
        "train_loss of trial 0 fold 1 epoch 1 is not that of study.db",
    ),
    "a test metric": (
        lambda run: edit_json(run, "stats.json", "test", "metrics", "accuracy", value=0.999),
        "stats.json",
        "test.metrics.accuracy does not follow from the predictions",
    ),
    "the test loss": (
        lambda run: edit_json(run, "stats.json", "test", "metrics", "loss", value=lambda old: old * 0.99),
        "stats.json",
        "test.metrics.loss does not follow from the predictions",
    ),
    "a validation metric": (
        lambda run: edit_json(run, "stats.json", "best", "validation", "f1_macro", value=0.999),
        "stats.json",
        "best.validation.f1_macro is not that of trials.parquet",
    ),
    "a count of outcomes": (
        lambda run: edit_json(run, "stats.json", "outcomes", "complete", value=4),
        "stats.json",
        "outcomes.complete is not that of trials.parquet",
    ),
    "device-seconds": (
        lambda run: edit_json(run, "stats.json", "seconds_by_outcome", "complete", value=lambda old: old / 2),
        "stats.json",
        "seconds_by_outcome.complete is not that of trials.parquet",
    ),
    "the front": (
        lambda run: edit_json(run, "stats.json", "best", "pareto", value=[]),
        "stats.json",
        "best.pareto is not that of trials.parquet",
    ),
    "a predicted class": (
        lambda run: edit_table(run, "predictions.parquet", "predicted", lambda old: (old + 1) % 3),
        "predictions.parquet",
        "predicted of row 0 is not the class that its probabilities say",
    ),
    "a true class": (
        lambda run: edit_table(run, "predictions.parquet", "target", lambda old: (old + 1) % 3),
        "stats.json",
        "test.confusion.",
    ),
    "a test sample": (
        lambda run: edit_table(run, "predictions.parquet", "index", 10_000),
        "predictions.parquet",
        "its samples are not the test part of splits.parquet",
    ),
    "a parameter of the model": (
        lambda run: edit_json(run, "best/candidate.json", "candidate", "optimizer", "adamw", "lr", value=0.123),
        "best/candidate.json",
        "candidate.optimizer.adamw.lr is not that of trial",
    ),
    "the model's trial": (
        lambda run: edit_json(run, "best/candidate.json", "trial", value=lambda old: (old + 1) % 3),
        "best/candidate.json",
        "trial is not the best of stats.json",
    ),
    "the space": (
        lambda run: (run / "space.yaml").write_text((run / "space.yaml").read_text().replace("seed: 0", "seed: 1")),
        "space.yaml",
        "not the space that this run was made with",
    ),
    "the fingerprint": (
        lambda run: edit_json(run, "status.json", "fingerprint", value="0" * 16),
        "status.json",
        "fingerprint is not that of stats.json",
    ),
    "the environment": (
        lambda run: edit_json(run, "environment.json", "packages", "torch", value="9.9"),
        "manifest.json",
        "environment.packages.torch is not that of environment.json",
    ),
    "the machine": (
        lambda run: edit_json(run, "hardware.json", "cpu", "model", value="Another"),
        "parts/0001.json",
        "hardware.cpu.model is not that of hardware.json and environment.json",
    ),
}


FIRST = (
    "a metric in trials.csv",
    "a hyperparameter in trials.parquet",
    "a test metric",
    "a predicted class",
    "a parameter of the model",
)
"""Planted in every run of the tests; the others in the long one."""


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[] if what in FIRST else pytest.mark.slow) for what in PLANTED]
)
def test_a_change_is_found_although_the_manifest_was_made_anew(what, run, reseal):
    plant, file, words = PLANTED[what]
    before = tree(run)
    plant(run)
    assert tree(run) != before, "nothing was planted"
    reseal(run)
    assert any(line.startswith(f"{file}: ") and words in line for line in told(run)), told(run)


@pytest.mark.slow
def test_another_winner_is_found_whatever_else_was_made_to_fit(run, reseal):
    stats, frame = read_json(run / "stats.json"), pd.read_parquet(run / "trials.parquet")
    worst = frame.sort_values("value").iloc[0]
    stats["best"] |= {"trial": int(worst["trial"]), "values": json.loads(worst["values"])}
    stats["best"] |= {name: json.loads(worst[name]) for name in ("candidate", "params")}
    stats["best"]["validation"] = {name: worst[f"validation_{name}"] for name in stats["best"]["validation"]}
    write_json(run / "stats.json", stats)
    reseal(run)
    assert any("best.trial is not the winner of trials.parquet" in line for line in told(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE trial_values SET value = value / 2 WHERE trial_id = 1", "the values of trial 0 are not those"),
        ("UPDATE trials SET state = 'PRUNED' WHERE trial_id = 1", "the state of trial 0 is not that of its record"),
        ("UPDATE trial_params SET param_value = 33 WHERE param_id = 1", "trial 0"),
        ("DELETE FROM trials WHERE trial_id = 2", "their numbers have gaps"),
        ("CREATE VIEW spy AS SELECT 1", "views or triggers"),
    ],
)
def test_a_study_that_was_changed_is_found(change, words, run, reseal):
    connection = sqlite3.connect(run / "study.db")
    with connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute(change)
    connection.close()
    reseal(run)
    assert any(line.startswith("study.db: ") and words in line for line in told(run)), told(run)


@pytest.mark.slow
def test_a_study_of_another_version_of_optuna_is_said(run, reseal):
    connection = sqlite3.connect(run / "study.db")
    with connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("UPDATE alembic_version SET version_num = 'v9.0.0'")
    connection.close()
    reseal(run)
    found = harness.verify(run)
    assert (found.state, found.findings) == ("intact", ())
    assert "another version of Optuna" in found.unchecked[0]


def test_a_study_whose_log_was_not_folded_in_is_read_with_it(run, tmp_path):
    """As a kill leaves it: the last change is in the log beside the file."""
    killed(run)
    connection = sqlite3.connect(run / "study.db")
    with connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE trial_values SET value = value / 2 WHERE trial_id = 1")
    copy = Path(shutil.copytree(run, tmp_path / "killed"))
    connection.close()
    assert (copy / "study.db-wal").stat().st_size
    before = tree(copy)
    assert any("the values of trial 0" in line for line in told(copy))
    assert tree(copy) == before


NOT_READ = ("report.", "logs/", "telemetry/", "trials.csv")
"""Read by people, or put together into another file; a change is found by the manifest alone. The CSV is compared."""


@pytest.mark.slow
def test_a_file_that_was_cut_off_is_named_without_the_manifest(run, reseal):
    names = [name for name in read_json(run / MANIFEST)["files"] if not name.startswith(NOT_READ)]
    assert len(names) > 10
    for name in names:
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole[: len(whole) // 2])
        reseal(run)
        assert any(line.startswith(f"{name}: ") for line in told(run)), name
        (run / name).write_bytes(whole)
    reseal(run)
    assert told(run) == []


def killed(run):
    """Leave a run as one whose process was killed at its end."""
    (run / MANIFEST).unlink()
    edit_json(run, "status.json", "state", value="running")
    edit_json(run, "status.json", "pid", value=2**30)


WEIRD = (None, 3, "x", [], {}, [None], {"a": 1}, 1e308, -1, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stats.json", "status.json", "best/candidate.json", "manifest.json", "hardware.json"])
def test_no_content_whatever_ends_in_anything_but_findings(name, run):
    whole, rng = read_json(run / name), np.random.default_rng(0)
    for key, value in whole.items():
        others = [weird for weird in WEIRD if weird != value]
        write_json(run / name, {**whole, key: others[rng.integers(len(others))]})
        found = harness.verify(run)
        assert found.state == "damaged", key
        assert all("\n" not in str(each) for each in found.findings)


def test_a_link_is_told_and_nothing_is_read(run):
    (run / "best" / "model.safetensors").unlink()
    (run / "best" / "model.safetensors").symlink_to("/etc/hostname")
    (finding,) = told(run)
    assert "best/model.safetensors: a link" in finding


def test_a_run_without_its_manifest_is_unsealed_and_checked_as_far_as_it_can_be(run):
    killed(run)
    found = harness.verify(run)
    assert (found.state, found.findings) == ("unsealed", ())
    assert "it was interrupted before it was sealed" in found.unchecked[0]
    (run / "study.db").write_bytes((run / "study.db").read_bytes()[:5000])
    assert harness.verify(run).state == "damaged"


def test_a_newer_schema_is_said_and_nothing_in_it_guessed(run, reseal):
    edit_json(run, "stats.json", "schema_version", value=3)
    reseal(run)
    found = harness.verify(run)
    assert found.state == "intact"
    assert found.unchecked == ("stats.json is of schema version 3, this harness reads up to 2: use a newer one",)


def test_a_run_of_an_earlier_version_is_intact(tmp_path):
    with tarfile.open(OLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    assert told(tmp_path / "run") == []


@pytest.mark.slow
def test_values_are_scored_again_in_their_units(tmp_path, reseal):
    space = {"task": "diabetes", "budget": {"epochs": 1}, "search": {"baselines": False, "checks": False}}
    space["space"] = {"architecture": {"mlp": {"width": 8, "depth": 1}}}
    run = harness.search(space, trials=1, workers=0, device="cpu", out=tmp_path, overrides=["training.final=keep"]).run
    assert told(run) == []
    edit_table(run, "predictions.parquet", "predicted", lambda old: old + 1.0)
    reseal(run)
    found = told(run)
    for metric in ("rmse", "mae", "loss"):
        assert any(f"test.metrics.{metric} does not follow" in line for line in found), metric


def test_a_folder_that_is_no_run_and_one_that_is_worked_on_are_refused(run, tmp_path):
    for path, words in ((tmp_path / "none", "no such run"), (tmp_path, "not a run folder")):
        with pytest.raises(InputError, match=words):
            harness.verify(path)
    (run / MANIFEST).unlink()
    edit_json(run, "status.json", "state", value="running")
    edit_json(run, "status.json", "pid", value=os.getpid())
    if sys.platform == "linux":
        with pytest.raises(InputError, match="a process is working on it"):
            harness.verify(run)


def test_a_benchmark_is_held_against_its_blocks(tmp_path, bench_runs):
    run = bench_runs.write_run(tmp_path / "bench", bench_runs.usual_rows(0))
    found = harness.verify(run)
    assert (found.state, found.kind, found.findings) == ("unsealed", "bench", ())
    edit_table(run, "bench.parquet", "t_median_s", lambda old: old / 2)
    lines = told(run)
    assert any(line.startswith("bench.csv: t_median_s of row 1 is not that of bench.parquet") for line in lines)


def cli(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


def test_the_command_says_what_it_found_and_ends_with_its_code(run, tmp_path, monkeypatch, capsys):
    code, out, err = cli(monkeypatch, capsys, "verify", run)
    assert (code, err) == (0, "")
    assert out.startswith("intact: ")
    (run / "report.md").write_text("# Better\x1b[31m")
    code, out, _ = cli(monkeypatch, capsys, "verify", run)
    assert code == 5
    finding, summary = out.splitlines()
    assert finding.startswith("report.md: was changed")
    assert summary.startswith("damaged: 1 finding in ")
    code, out, _ = cli(monkeypatch, capsys, "verify", run, "--json")
    assert code == 5
    assert json.loads(out)["findings"][0]["file"] == "report.md"
    code, out, err = cli(monkeypatch, capsys, "verify", tmp_path / "none")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    space = {
        "task": "wine",
        "objective": "accuracy",
        "budget": {"trials": 1, "epochs": 2},
        "search": {"pruner": "none", "baselines": False, "checks": False, "deterministic": True, "sampler": "random"},
        "training": {"precision": "fp32", "batch_size": 64, "final": "keep"},
        "space": {"architecture": {"mlp": {"depth": 1, "width": 8}}, "optimizer": {"adamw": {"lr": 0.03}}},
    }
    out = tmp_path_factory.mktemp("compared")
    return harness.compare(space, families={"first": "mlp", "second": "mlp"}, seeds=2, workers=0, out=out).folder


@pytest.mark.slow
def test_a_comparison_is_verified_with_the_runs_in_it(compared, tmp_path, reseal):
    run = Path(shutil.copytree(compared, tmp_path / "comparison"))
    assert (harness.verify(run).state, told(run)) == ("intact", [])
    edit_json(run, "comparison.json", "families", 1, "values", 0, value=0.123)
    edit_table(run / "searches" / "first", "trials.parquet", "seed", 7)
    reseal(run / "searches" / "first")
    reseal(run)
    found = told(run)
    assert any("families.second.values of seed" in line for line in found)
    assert any(
        line.startswith("searches/first/trials.parquet: seed of trial 0 is not that of study.db") for line in found
    )
    test = next((run / "winners" / "test").glob("*.json"))
    edit_json(run, test.relative_to(run).as_posix(), "metrics", "accuracy", value=0.321)
    assert any(f"winners/test/{test.name}: metrics.accuracy does not follow" in line for line in told(run))


@pytest.mark.slow
def test_a_training_is_held_against_its_list(run, tmp_path, reseal):
    trained = harness.train_candidate(run=run, seeds=2, test=True, workers=0, out=tmp_path / "trained").run
    found = harness.verify(trained)
    assert (found.state, found.kind, found.findings) == ("intact", "train", ())
    edit_json(trained, "replicates.json", "trials", 0, "seed", value=5)
    edit_json(trained, "openings.json", "openings", 0, "seeds", value=[1, 2])
    edit_json(trained, "stats.json", "replicates", "validation", "accuracy", "mean", value=0.99)
    reseal(trained)
    lines = told(trained)
    assert any(line.startswith("trials.parquet: trial 0.seed is not that of replicates.json") for line in lines)
    assert any(line.startswith("openings.json: its seeds are not those of its trials") for line in lines)
    assert any("replicates.validation.accuracy.mean is not that of trials.parquet" in line for line in lines)
