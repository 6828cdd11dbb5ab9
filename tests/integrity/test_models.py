"""What stands in the model folders of a run, and what it keeps of validation, is held against the rest of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from harness.store import read_json, write_json
from harness.study.keeping import pack_predictions, read_predictions

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_charts")]


def space(task, loss=("auto",), **training):
    """Small models of few epochs, none of which is as good as their average."""
    return {
        "task": task,
        "objective": "loss",
        "budget": {"epochs": 4},
        "search": {"baselines": False, "checks": False, "sampler": "grid", "pruner": "none", "seed": 1},
        "training": training,
        "space": {
            "architecture": {"mlp": {"width": [4, 8, 12], "depth": 1}},
            "loss": list(loss),
            "optimizer": {"adamw": {"lr": 0.05}},
        },
    }


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of two classes with curves, a threshold, an average and a refit on all samples."""
    asked = space("breast-cancer", ["cross_entropy", "binary"], threshold="f1", calibration="isotonic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.measure.isotonic.SAMPLES", 80)
        patch.setattr("harness.measure.isotonic.SAMPLES_OF_CLASS", 20)
        run = harness.search(asked, trials=6, workers=0, device="cpu", out=tmp_path_factory.mktemp("models")).run
    assert read_json(run / "best" / "candidate.json")["isotonic"]
    assert harness.ensemble(run)["test"] is not None
    harness.refit(run, device="cpu")
    return run


@pytest.fixture
def two(searched, tmp_path):
    return Path(shutil.copytree(searched, tmp_path / "two"))


@pytest.fixture(scope="module")
def valued(tmp_path_factory):
    return harness.search(space("diabetes", final="keep"), trials=3, workers=0, out=tmp_path_factory.mktemp("v")).run


def told(run):
    return [str(finding) for finding in harness.verify(run).findings]


def edit(name, *path, value):
    def change(run):
        held = place = read_json(run / name)
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value(place[path[-1]])
        write_json(run / name, held)

    return change


def other_validation(run):
    frame = pd.read_parquet(run / "best" / "validation.parquet")
    frame["target"] = 1 - frame["target"]
    frame.to_parquet(run / "best" / "validation.parquet", index=False)


def other_samples(run):
    frame = pd.read_parquet(run / "best" / "validation.parquet")
    frame["index"] += 1
    frame.to_parquet(run / "best" / "validation.parquet", index=False)


def byte_of_kept(run):
    path = next(run.glob("validation/trial-*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def record_of_kept(run):
    kept = read_predictions(run)[0]
    name = f"trial-{kept.record.trial:06d}.safetensors"
    (run / "validation" / name).write_bytes(pack_predictions(replace(kept.record, seed=1), kept.outputs))


def slightly(value):
    return value * (1 + 1e-6)


PLANTED = {
    "the threshold": (
        edit("best/candidate.json", "threshold", "value", value=slightly),
        "best/candidate.json: threshold.value is not that of stats.json",
    ),
    "the threshold in both": (
        lambda run: [
            edit("best/candidate.json", "threshold", "value", value=slightly)(run),
            edit("stats.json", "test", "threshold", "value", value=slightly)(run),
        ],
        "threshold is not the one that best/validation.parquet chooses by f1",
    ),
    "scores without it": (
        edit("stats.json", "test", "threshold", "most_probable", "accuracy", value=slightly),
        "stats.json: test.threshold.most_probable.accuracy is not that of the predictions",
    ),
    "scores of a class": (
        edit("stats.json", "test", "per_class", "recall", value=lambda old: [1.0 for _ in old]),
        "test.per_class.recall.0 is not that of the predictions",
    ),
    "the threshold of full/": (
        edit("full/candidate.json", "threshold", "value", value=slightly),
        "full/candidate.json: threshold.value is not that of best/candidate.json",
    ),
    "a curve of full/": (
        edit("full/candidate.json", "isotonic", 0, "x", 0, value=lambda old: old / 2),
        "full/candidate.json: isotonic.0",
    ),
    "the curves": (
        edit("best/candidate.json", "isotonic", value=lambda _: []),
        "whether it is isotonic is not that of stats.json",
    ),
    "classes of validation": (other_validation, "threshold is not the one that best/validation.parquet chooses by f1"),
    "samples of validation": (other_samples, "its samples are not the validation part of splits.parquet"),
    "a byte of kept predictions": (byte_of_kept, "its tensors are not those that were written"),
    "the record of kept predictions": (record_of_kept, "seed of trial"),
    "a member": (
        edit("ensemble/candidate.json", "members", 0, "candidate", "optimizer", "adamw", "lr", value=slightly),
        "ensemble/candidate.json: members.0.candidate.optimizer.adamw.lr is not that of trial",
    ),
    "how often a member counts": (
        edit("ensemble/candidate.json", "members", 0, "count", value=lambda old: old + 100),
        "ensemble/score.json: its members are not those of ensemble/candidate.json",
    ),
    "a score of the average": (
        edit("ensemble/score.json", "test", "metrics", "ensemble", "loss", value=lambda old: old / 2),
        "ensemble/score.json: test.differences.best.mean is not that of the losses",
    ),
    "whose seeds an average has": (
        edit("openings.json", "openings", -1, "seeds", value=lambda old: [1, *old[1:]]),
        "openings.json: its seeds are not those of its trials",
    ),
    "a score beside it": (
        edit("ensemble/score.json", "test", "metrics", "best", "accuracy", value=lambda old: old / 2),
        "ensemble/score.json: test.metrics.best.accuracy is not that of stats.json",
    ),
}


def test_a_run_with_every_model_is_intact_whatever_the_threshold_is_set_to(two):
    assert (two / "full" / "candidate.json").is_file()
    assert told(two) == []
    for threshold in (None, 0.2, {"cost": {"false_positive": 1, "false_negative": 5}}):
        harness.set_threshold(two, threshold)
        found = harness.verify(two)
        assert (found.findings, found.unchecked, found.state) == ((), (), "intact"), threshold
    copy = harness.unpack(harness.pack(two, two.with_suffix(".zip")).file, two.parent / "copy").run
    assert harness.verify(copy).state == "intact"


@pytest.mark.parametrize("what", PLANTED)
def test_a_change_of_a_model_is_found_although_the_manifest_was_made_anew(what, two, reseal):
    plant, words = PLANTED[what]
    plant(two)
    reseal(two)
    assert any(words in line for line in told(two)), told(two)


def test_errors_of_values_are_held_against_the_winners_score(valued, tmp_path, reseal):
    run = Path(shutil.copytree(valued, tmp_path / "run"))
    assert told(run) == []
    edit("best/residuals.json", "absolute", 0, value=lambda old: [error / 2 for error in old])(run)
    reseal(run)
    assert any("its errors are not those of the winner's rmse" in line for line in told(run)), told(run)
    edit("best/residuals.json", "absolute", 0, value=lambda old: sorted(np.multiply(old, 2.0))[:5])(run)
    reseal(run)
    assert any("has fewer errors than there are validation samples" in line for line in told(run))


def test_errors_of_quantiles_are_held_against_the_winners_score(tmp_path, reseal):
    asked = space("diabetes", final="keep")
    asked |= {"task": {"builtin": "diabetes", "quantiles": [0.1, 0.9]}, "objective": "pinball"}
    run = harness.search(asked, trials=1, workers=0, out=tmp_path).run
    assert told(run) == []
    edit("best/residuals.json", "errors", 1, value=lambda old: [error / 2 for error in old])(run)
    reseal(run)
    assert any("its errors are not those of the winner's pinball" in line for line in told(run)), told(run)
    edit("best/residuals.json", "levels", value=lambda _: ["x", None])(run)
    reseal(run)
    assert any("residuals.json" in line for line in told(run))
