"""What differs between two trainings, and the level that it speaks for."""

from dataclasses import replace

import numpy as np
import pytest

from harness.data import load
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.reproduction import Level
from harness.reproduction.compare import compare_trial
from harness.reproduction.levels import Check, worst
from harness.reproduction.recorded import Trial
from harness.reproduction.seeds import compare_with_seeds
from harness.reproduction.tolerance import tolerance_of
from harness.spec import load_spec


@pytest.fixture(scope="module")
def dataset():
    return load(load_spec({"task": "wine", "space": {"architecture": "mlp"}}).task, seed=0)


def trial(losses, accuracies, **record):
    timed = {"train_s": 0.2, "validation_s": 0.1, "train_samples_s": 500.0}
    epochs = [
        EpochRecord(
            trial=0,
            epoch=number,
            train={"loss": loss},
            validation={"loss": loss, "accuracy": accuracy},
            learning_rate=0.1,
            gradient_norm=1.0,
            **timed,
        )
        for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]
    best = epochs[-1]
    fields = {
        "outcome": Outcome.COMPLETE,
        "values": (accuracies[-1],),
        "epochs": len(epochs),
        "best_epoch": len(epochs),
    }
    fields |= {"train": best.train, "validation": best.validation, "reason": "trained", **record}
    return Trial({}, TrialRecord(trial=0, candidate={}, params={}, **fields), epochs)


def level(old, new, dataset, folders, relative=1e-3):
    return compare_trial(old, new, folders, ["accuracy"], tolerance_of(relative, [dataset]))


RECORDED = trial([0.8, 0.5, 0.4], [0.5, 0.7, 0.75])
ONE = 1 / 27
"""One of the validation samples of wine."""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (trial([0.8, 0.5, 0.4], [0.5, 0.7, 0.75]), Level.EXACT),
        (trial([0.8, 0.5001, 0.4001], [0.5, 0.7, 0.75]), Level.TOLERANCE),
        (trial([0.8001, 0.5001, 0.4001], [0.5, 0.7 + ONE, 0.75]), Level.TOLERANCE),
        (trial([0.8001, 0.5001, 0.4001], [0.5, 0.7, 0.75 + 2 * ONE]), None),
        (trial([0.81, 0.51, 0.41], [0.5, 0.7, 0.75]), None),
        # What parted does not come together again: these are no roundings.
        (trial([0.8, 0.5001, 0.4], [0.5, 0.7, 0.75]), Level.MISMATCH),
        (trial([0.8, 0.5, 0.4], [0.5, 0.7 + ONE, 0.75]), Level.MISMATCH),
        (trial([0.8, 0.5], [0.5, 0.7]), None),
        (trial([0.8001, 0.5001, 0.4001], [0.5, 0.7, 0.75], outcome=Outcome.DIVERGED), None),
    ],
)
def test_metrics_speak_for_a_level(found, expected, dataset, tmp_path):
    assert len(dataset.validation) == 27
    assert level(RECORDED, found, dataset, (tmp_path, tmp_path))[0] is expected


def test_weights_part_where_metrics_do_and_only_there(dataset, tmp_path):
    folders = tmp_path / "old", tmp_path / "new"
    for folder in folders:
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "trial-000000.safetensors").write_bytes(b"weights")
    near = trial([0.8, 0.5001, 0.4001], [0.5, 0.7, 0.75])
    assert level(RECORDED, RECORDED, dataset, folders)[0] is Level.EXACT
    assert level(RECORDED, near, dataset, folders)[0] is Level.MISMATCH
    (folders[0] / "checkpoints" / "trial-000000.safetensors").write_bytes(b"weighty")
    assert level(RECORDED, RECORDED, dataset, folders)[0] is Level.MISMATCH
    found, checks = level(RECORDED, near, dataset, folders)
    assert found is Level.TOLERANCE
    assert next(check.what for check in checks if not check.equal) == "epoch 2: training loss"


def test_the_tolerance_is_what_the_metric_can_tell_apart(dataset):
    tolerance = tolerance_of(1e-3, [dataset], np.array([0] * 30 + [1] * 10 + [2] * 10))
    assert tolerance.of("test", "loss", 0.5) == 0.0005
    assert tolerance.of("test", "accuracy", 0.9) == 1 / 50
    assert tolerance.of("test", "recall_macro", 0.9) == 4 / 30
    assert tolerance.of("test", "roc_auc", 0.9) == 1e-3
    from sklearn.metrics import f1_score

    targets = np.repeat([0, 1, 2], [30, 10, 10])
    one_other = np.r_[1, targets[1:]]
    change = f1_score(targets, targets, average="macro") - f1_score(targets, one_other, average="macro")
    assert 0 < change < tolerance.of("test", "f1_macro", 1.0)


def test_a_value_is_one_of_those_of_new_seeds_or_is_not():
    record = trial([0.5], [0.5]).record
    drawn = [replace(record, values=(value,)) for value in (0.90, 0.91, 0.92, 0.90, 0.91, 0.92, 0.91)]
    assert compare_with_seeds("accuracy", 0.93, drawn, 0.0).equal
    assert not compare_with_seeds("accuracy", 0.94, drawn, 0.0).equal
    assert compare_with_seeds("accuracy", 0.94, drawn, 0.01).equal
    few = [*drawn[:6], replace(record, outcome=Outcome.CRASHED, values=())]
    assert not compare_with_seeds("accuracy", 0.91, few, 0.0).equal


def test_the_worst_level_decides():
    assert worst([Level.EXACT, Level.MISMATCH, Level.TOLERANCE]) is Level.MISMATCH
    assert [each.exit_code for each in Level] == [0, 10, 11, 3, 13, 12]


def test_what_is_missing_on_both_sides_is_equal_and_nothing_else_is():
    assert Check.of("metric", float("nan"), None).equal
    assert not Check.of("metric", 0.0, None).equal
    assert not Check("loss", float("nan"), 1.0, equal=False, tolerance=float("nan")).close
