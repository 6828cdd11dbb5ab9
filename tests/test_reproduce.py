"""A run is trained once more, and whatever was changed in it since is found."""

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness.cli import main
from harness.errors import InputError
from harness.records import Outcome
from harness.reproduction import Level
from harness.reproduction.recorded import read_recorded, read_trials
from harness.spec import parameters
from harness.store import encode, epochs_frame, to_csv, to_parquet, trials_frame
from harness.store.run import refresh_manifest
from harness.store.runs import DESIGN
from harness.study.keeping import pack_predictions, predictions_file, read_predictions

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"trials": 3, "epochs": 3},
    "search": {"baselines": False, "checks": False, "sampler": "random"},
    "space": {
        "architecture": {"mlp": {"depth": [1, 2], "width": {"int": [4, 16]}, "dropout": 0.2}},
        "optimizer": {"adamw": {"lr": {"float": [1e-3, 1e-1], "log": True}}},
        "batch_size": 32,
    },
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search whose winner was rehearsed and refitted."""
    return harness.search(SPACE, out=tmp_path_factory.mktemp("searched"), workers=0)


@pytest.fixture
def copy(searched, tmp_path):
    """A copy of that run to be changed."""
    return shutil.copytree(searched.run, tmp_path / "run")


def contents(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def first_difference(made):
    return next(check for check in [*made.checks, *(c for each in made.trials for c in each.checks)] if not check.equal)


def rewrite(run, number, change):
    """Change the record of a trial in the study and in the tables alike, as whoever forges a result would."""
    recorded = read_recorded(run)
    old = recorded.trials[number]
    record, epochs = change(old.record, list(old.epochs))
    with closing(sqlite3.connect(run / "study.db")) as database:
        where = "trial_id = (SELECT trial_id FROM trials WHERE number = ?)"
        database.execute(
            f"UPDATE trial_user_attributes SET value_json = ? WHERE key = 'harness:record' AND {where}",
            (json.dumps(encode(record, epochs)), number),
        )
        for name, value in record.params.items():
            if isinstance(value, float):
                sql = f"UPDATE trial_params SET param_value = ? WHERE param_name = ? AND {where}"
                database.execute(sql, (value, name, number))
        database.commit()
    trials = read_trials(run, ["maximize"])
    tables = {
        "trials.parquet": trials_frame([each.record for each in trials.values()], parameters(recorded.spec.group)),
        "epochs.parquet": epochs_frame([epoch for each in trials.values() for epoch in each.epochs]),
    }
    for name, frame in tables.items():
        (run / name).write_bytes(to_parquet(frame))
    (run / "trials.csv").write_text(to_csv(tables["trials.parquet"]))
    kept = predictions_file(number)
    outputs = next(each.outputs for each in read_predictions(run) if each.record.trial == number)
    (run / kept).write_bytes(pack_predictions(record, outputs))
    refresh_manifest(run, ["study.db", "trials.csv", kept, *tables])


def unseal(run):
    """Leave a run as a process that was killed at its end would."""
    (run / "manifest.json").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "pid": 2**30}))


def change_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_the_winner_and_its_final_model_come_out_the_same_and_the_run_is_left_as_it_is(searched, tmp_path):
    before = contents(searched.run)
    made = harness.reproduce(searched.run, out=tmp_path)
    assert (made.level, made.exit_code, made.trials[0].differs) == (Level.EXACT, 0, "")
    assert contents(searched.run) == before
    checked = {check.what: check for check in made.trials[0].checks}
    assert checked["test accuracy"].recorded == searched.test["accuracy"]
    weights = hashlib.sha256((searched.run / "best" / "model.safetensors").read_bytes()).hexdigest()
    assert checked["sha256 of best/model.safetensors"].found == weights
    assert checked["predictions.parquet: sha256"].equal
    (folder,) = made.runs
    assert (folder / "report.md").is_file()
    assert json.loads((folder / "openings.json").read_text())["openings"][0]["trials"] == [0]  # of its own trials
    assert json.loads((searched.run / "status.json").read_text())["test_opened"] == 1
    told = json.loads(json.dumps(made.as_dict()))
    assert (told["level"], told["trials"][0]["level"], told["environment"]) == ("exact", "exact", [])


def test_a_file_that_was_changed_since_is_named_before_anything_is_trained(copy, tmp_path):
    change_byte(copy / "best" / "model.safetensors")
    made = harness.reproduce(copy, out=tmp_path / "out")
    assert (made.level, first_difference(made).what) == (
        Level.MISMATCH,
        "best/model.safetensors: was changed since the run was sealed",
    )
    assert not (tmp_path / "out").exists()


def test_a_comparison_is_refused_with_the_runs_that_are_in_it(copy):
    (copy / DESIGN).write_text("{}")
    with pytest.raises(InputError, match=r"a comparison; name one of the runs in it, such as .*/winners"):
        harness.reproduce(copy)


def test_tables_that_say_otherwise_than_the_study_are_found_whatever_the_manifest_says(copy, tmp_path):
    frame = pd.read_parquet(copy / "epochs.parquet")
    frame.loc[frame["trial"] == 1, "validation_loss"] += 1e-9
    (copy / "epochs.parquet").write_bytes(to_parquet(frame))
    refresh_manifest(copy, ["epochs.parquet"])
    made = harness.reproduce(copy, trial=1, out=tmp_path / "out")
    assert made.level is Level.MISMATCH
    what = "epochs.parquet: validation_loss of trial 1 fold 1 epoch 1 is not that of study.db"
    assert what in [check.what for check in made.checks]
    assert made.runs == ()


def test_a_winner_that_is_told_better_than_the_study_has_it_is_found(copy, tmp_path):
    stats = json.loads((copy / "stats.json").read_text())
    stats["best"]["validation"]["accuracy"] += 0.01
    (copy / "stats.json").write_text(json.dumps(stats))
    refresh_manifest(copy, ["stats.json"])
    made = harness.reproduce(copy, out=tmp_path / "out")
    assert first_difference(made).what == "stats.json: best.validation.accuracy is not that of trials.parquet"


def test_training_finds_what_was_changed_everywhere_alike(copy, searched, tmp_path):
    best = searched.best["trial"]
    forged, dearer = (number for number in range(3) if number != best)

    def other_rate(record, epochs):
        rate = record.params["optimizer.adamw.lr"] * 0.99
        candidate = json.loads(json.dumps(record.candidate))
        candidate["optimizer"]["adamw"]["lr"] = rate
        return replace(record, params={**record.params, "optimizer.adamw.lr": rate}, candidate=candidate), epochs

    def better_epoch(record, epochs):
        place = 1 if record.best_epoch != 2 else 2  # that of the best one stands in other tables too
        validation = {**epochs[place].validation, "loss": epochs[place].validation["loss"] * (1 - 1e-6)}
        return record, [*epochs[:place], replace(epochs[place], validation=validation), *epochs[place + 1 :]]

    rewrite(copy, dearer, other_rate)
    rewrite(copy, forged, better_epoch)
    weights = copy / "checkpoints" / f"trial-{best:06d}.safetensors"
    change_byte(weights)
    stats = json.loads((copy / "stats.json").read_text())
    stats["test"]["temperature"] = 1.25
    (copy / "stats.json").write_text(json.dumps(stats))
    candidate = copy / "best" / "candidate.json"
    candidate.write_text(json.dumps({**json.loads(candidate.read_text()), "temperature": 1.25}))
    refresh_manifest(copy, [str(path.relative_to(copy)) for path in (weights, candidate)] + ["stats.json"])
    made = harness.reproduce(copy, every_trial=True, out=tmp_path / "out")
    assert {each.level for each in made.trials} == {Level.MISMATCH}
    apart = {each.trial: [check.what for check in each.checks if not check.equal] for each in made.trials}
    assert apart[dearer][0].startswith("epoch 1: ")
    assert [what.partition(": ")[2] for what in apart[forged]] == ["validation loss"]
    assert apart[best] == [f"sha256 of checkpoints/trial-{best:06d}.safetensors", "final model: temperature"]


def table(path, cell=0.5):
    rows = [f"{number % 7},{cell if number == 3 else number % 3},{number % 2}" for number in range(90)]
    path.write_text("\n".join(["x,z,y", *rows]))


@pytest.mark.slow
def test_one_other_cell_of_the_data_is_other_data_and_a_file_that_is_gone_is_told(tmp_path, monkeypatch, capsys):
    table(tmp_path / "data.csv")
    space = {
        **SPACE,
        "training": {"final": "keep"},
        "task": {"csv": str(tmp_path / "data.csv"), "target": "y"},
        "budget": {"trials": 1, "epochs": 1},
    }
    run = harness.search(space, out=tmp_path / "a", workers=0).run
    table(tmp_path / "data.csv", cell=0.25)
    monkeypatch.setattr(sys, "argv", ["harness", "reproduce", str(run), "--json", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, told["level"], told["exit_code"], told["runs"]) == (12, "mismatch", 12, [])
    assert [(check["what"], check["equal"]) for check in told["checks"]] == [("data, sha256", False)]
    (tmp_path / "data.csv").unlink()
    made = harness.reproduce(run, out=tmp_path / "out")
    assert (made.level, made.exit_code) == (Level.ENVIRONMENT, 13)
    assert "data.csv" in made.missing
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--device", "cuda:9"], 13, "no device 'cuda:9'"),
        (["--device", "gpu"], 2, "unknown device 'gpu'"),
        (["--trial", "9"], 2, "has no trial 9"),
        (["--trial", "0", "--all"], 2, "name one of them"),
        (["--seeds", "3"], 2, "expected 7 or more"),
        (["--tolerance", "-1"], 2, "expected a share from 0 on"),
        (["--timeout", "soon"], 2, "--timeout"),
    ],
)
def test_what_is_not_here_and_what_is_no_request_end_with_their_codes(
    searched, tmp_path, monkeypatch, capsys, options, code, said
):
    monkeypatch.setattr(
        sys, "argv", ["harness", "reproduce", str(searched.run), "--out", str(tmp_path / "out"), *options]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert ended.value.code == code
    assert said in captured.out + captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_one_that_is_asked_to_stop_is_unfinished(searched, tmp_path):
    class Stopping(harness.Observer):
        def epoch_ended(self, _):
            signal.raise_signal(signal.SIGINT)

    made = harness.reproduce(searched.run, out=tmp_path, display=lambda _spec, _seconds: nullcontext(Stopping()))
    assert (made.level, made.signal) == (Level.UNFINISHED, signal.SIGINT)
    assert json.loads((made.runs[0] / "status.json").read_text())["state"] == "interrupted"


@pytest.mark.slow
def test_one_without_time_is_unfinished(searched, tmp_path):
    made = harness.reproduce(searched.run, out=tmp_path, timeout_s=0.0)
    assert (made.level, made.exit_code) == (Level.UNFINISHED, 3)


def test_only_what_a_training_can_come_to_is_trained_again(copy, tmp_path):
    rewrite(copy, 1, lambda record, epochs: (replace(record, outcome=Outcome.CRASHED, values=()), epochs))
    with closing(sqlite3.connect(copy / "study.db")) as database:
        database.execute("UPDATE trials SET state = 'FAIL' WHERE number = 1")
        database.execute("DELETE FROM trial_values WHERE trial_id = (SELECT trial_id FROM trials WHERE number = 1)")
        database.commit()
    unseal(copy)
    with pytest.raises(InputError, match="trial 1 ended as crashed"):
        harness.reproduce(copy, trial=1, out=tmp_path / "out")


@pytest.mark.slow
def test_a_final_model_with_curves_is_the_same_at_whatever_threshold_was_set_since(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.measure.isotonic.SAMPLES", 80)
    monkeypatch.setattr("harness.measure.isotonic.SAMPLES_OF_CLASS", 20)
    training = {"final": "auto", "calibration": "isotonic", "threshold": "f1"}
    asked = {**SPACE, "task": "breast-cancer", "training": training}
    run = harness.search(asked, trials=2, out=tmp_path, workers=0).run
    cost = {"cost": {"false_positive": 1, "false_negative": 5}}
    for threshold in (None, cost):
        harness.set_threshold(run, threshold)
        made = harness.reproduce(run, out=tmp_path / "again")
        checked = {check.what for check in made.trials[0].checks}
        assert (made.level, made.trials[0].differs) == (Level.EXACT, ""), threshold
        assert {"final model: threshold", "final model: isotonic", "best/validation.parquet: sha256"} <= checked
    saved = json.loads((run / "best" / "candidate.json").read_text())
    curve = saved["isotonic"][0]
    curve["y"] = [*curve["y"][:-1], curve["y"][-1] * (1 - 1e-6)]
    (run / "best" / "candidate.json").write_text(json.dumps(saved))
    refresh_manifest(run, ["best/candidate.json"])
    made = harness.reproduce(run, out=tmp_path / "again")
    assert made.trials[0].differs.startswith("final model: isotonic: ")


@pytest.mark.slow
@pytest.mark.parametrize("final", ["refit", "keep", "auto"])
def test_a_final_model_that_was_never_tested_is_the_same(tmp_path, final):
    asked = {**SPACE, "task": {"builtin": "diabetes", "split": {"test": 0}}, "training": {"final": final}}
    del asked["objective"]
    run = harness.search(asked, trials=2, out=tmp_path, workers=0).run
    made = harness.reproduce(run, out=tmp_path / "again")
    checked = {check.what for check in made.trials[0].checks}
    assert (made.level, made.trials[0].differs) == (Level.EXACT, "")
    assert {"sha256 of best/model.safetensors", "sha256 of what best/residuals.json says"} <= checked
    told = json.loads((run / "best" / "residuals.json").read_text())
    told["absolute"][0][-1] *= 1.001
    (run / "best" / "residuals.json").write_text(json.dumps(told))
    unseal(run)
    made = harness.reproduce(run, out=tmp_path / "again")
    assert made.trials[0].differs.startswith("sha256 of what best/residuals.json says: ")


def harness_command(*arguments):
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_trials_of_two_workers_are_the_same_to_the_bit_in_another_process(tmp_path):
    """Convolutions, batch norm, dropout, augmentation, pruned trials, and a final model of two."""
    space = tmp_path / "space.yaml"
    space.write_text(
        """
task: {builtin: digits, limit: 500}
objective: accuracy
budget: {trials: 6, epochs: 3}
search: {pruner: asha, baselines: false, checks: false, sampler: random}
training: {final: {ensemble: 2}, augment: {shift: 0.1, rotation: 10, mixup: 0.2}}
space:
  architecture:
    cnn: {stages: [1, 2], width: 8, norm: batch, dropout: 0.2}
    mlp: {depth: 1, width: 16, norm: batch, dropout: 0.2}
  optimizer: {adamw: {lr: {float: [1.0e-5, 1.0e-1], log: true}}}
  batch_size: [32, 64]
"""
    )
    done = harness_command("search", space, "--workers", 2, "--out", tmp_path / "a", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    again = harness_command("reproduce", run, "--all", "--out", tmp_path / "b", "--json")
    told = json.loads(again.stdout)
    apart = [check for each in told["trials"] for check in each["checks"] if not check["equal"]]
    assert (again.returncode, told["level"], apart) == (0, "exact", []), again.stderr
    outcomes = pd.read_parquet(f"{run}/trials.parquet")["outcome"]
    assert len(told["trials"]) == outcomes.isin(["complete", "pruned"]).sum()
    assert (outcomes == "pruned").any()


@pytest.mark.slow
@pytest.mark.parametrize("evaluation", [{"folds": 3}, {"repeats": 2}])
def test_trials_of_several_trainings_are_the_same(tmp_path, evaluation):
    run = harness.search({**SPACE, "evaluation": evaluation}, trials=2, out=tmp_path, workers=0).run
    assert harness.reproduce(run, every_trial=True, out=tmp_path / "again").level is Level.EXACT


@pytest.mark.slow
def test_trainings_under_seeds_are_the_same_on_their_own_splits(tmp_path):
    point = {"architecture.mlp.depth": 1, "architecture.mlp.width": 8, "optimizer.adamw.lr": 0.05}
    trained = harness.train_candidate(SPACE, params=point, seeds=2, test=True, out=tmp_path, workers=0)
    made = harness.reproduce(trained.run, every_trial=True, out=tmp_path / "again")
    assert (made.level, len(made.trials)) == (Level.EXACT, 2)


@pytest.mark.slow
def test_a_value_that_lies_too_far_off_is_compared_with_new_seeds(copy, searched, tmp_path):
    number = next(number for number in range(3) if number != searched.best["trial"])

    def other_losses(record, epochs):
        """Losses of another course, and the same value: as another processor might come to it."""
        other = [replace(epoch, train={**epoch.train, "loss": epoch.train["loss"] * 1.01}) for epoch in epochs]
        return record, other

    rewrite(copy, number, other_losses)
    for path in (copy / "checkpoints").glob(f"trial-{number:06d}.*"):
        path.unlink()
    shutil.rmtree(copy / "choices")
    unseal(copy)
    made = harness.reproduce(copy, trial=number, seeds=7, out=tmp_path / "out")
    value = made.trials[0].checks[-1]
    drawn = pd.read_parquet(made.runs[1] / "trials.parquet")["value"]
    assert drawn.count() == 7
    spread = (1 + 1 / 7) ** 0.5 * drawn.std() * 2.4469
    assert value.found == pytest.approx([drawn.mean() - spread, drawn.mean() + spread], abs=0.2)
    assert (made.level is Level.STATISTICAL) == (value.found[0] <= value.recorded <= value.found[1])
    assert "before it was sealed" in made.notes[0]


@pytest.mark.slow
def test_a_run_of_an_earlier_version_is_the_same_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.models.masks.BY_MKL", True)  # torch drew the masks of dropout then
    with tarfile.open(Path(__file__).parent / "same" / "run.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    made = harness.reproduce(tmp_path / "run", out=tmp_path / "out")
    elsewhere = {"CPU", "instruction sets of the CPU", "package torch"} & {row["what"] for row in made.environment}
    assert made.level in ((Level.TOLERANCE, Level.MISMATCH) if elsewhere else (Level.EXACT,))
    assert made.level is not Level.MISMATCH or made.trials[0].differs.startswith("epoch 1: ")
