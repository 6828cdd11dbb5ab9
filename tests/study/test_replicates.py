"""Runs of a fixed list: splits drawn by seeds, weights of every training, one score on the test samples."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data import Dataset, Learning, load
from harness.data.splits import split_samples
from harness.errors import InputError, StorageError
from harness.spec import parse_spec
from harness.store import RunFolder, read_status
from harness.study import Observer, Stop
from harness.study.decide.fixed import Replicate
from harness.study.execute.execution import Execution
from harness.study.final.kept import score_trial
from harness.study.final.openings import note_opening, read_opening
from harness.study.keeping import weights_file
from harness.study.replicates import read_replicates, with_recorded
from harness.study.search import Request, open_search, run_search

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = """
task: wine
objective: accuracy
budget: {trials: 4, epochs: 2}
search: {pruner: none, baselines: false, checks: false}
training: {precision: fp32, batch_size: 64}
space: {architecture: {mlp: {depth: 1, width: [8, 16]}}, optimizer: {adamw: {lr: 0.03}}}
"""
SPEC = parse_spec(SPACE, origin="x")
WIDTH = "architecture.mlp.width"
LISTED = tuple(Replicate({WIDTH: width}, 100 * split + width, split) for split in (1, 2) for width in (8, 16))


@pytest.fixture(scope="module")
def wine():
    return load(SPEC.task, seed=0)


def test_a_split_follows_from_its_seed_and_leaves_the_test_samples_alone(wine):
    learning = Learning(wine, SPEC.task.split, (1, 2))
    first, same, other = (learning.under(seed) for seed in (1, 1, 2))
    assert np.array_equal(first.train.index, same.train.index)
    assert not np.array_equal(first.train.index, other.train.index)
    index = wine.split_index
    for data in (first, other):
        known = np.concatenate([data.train.index, data.validation.index])
        assert sorted(known) == sorted([*index["train"], *index["validation"]])
        assert len(data.validation) == len(index["validation"])
        for part in (data.train, data.validation):  # stratified: every class has about its share
            assert np.bincount(part.targets, minlength=3).min() > len(part) // 5


def test_what_is_sent_to_workers_holds_no_test_sample(wine):
    learning = pickle.loads(pickle.dumps(Learning(wine, SPEC.task.split, [1])))
    data = learning.under(1)
    assert not set(wine.split_index["test"]) & set(np.concatenate([data.train.index, data.validation.index]))
    assert len(learning._source) == len(data.train) + len(data.validation)


def test_samples_in_an_order_keep_it(tmp_path):
    rows = "\n".join(f"{day},{day % 7},{day % 2}" for day in range(100))
    (tmp_path / "days.csv").write_text(f"day,x,y\n{rows}\n")
    spec = parse_spec(
        SPACE.replace("task: wine", f"task: {{csv: {tmp_path}/days.csv, target: y, split: {{order: day}}}}"), origin="x"
    )
    learning = Learning(load(spec.task, seed=0), spec.task.split, (1, 2))
    first, second = learning.under(1), learning.under(2)
    assert np.array_equal(first.validation.index, second.validation.index)
    assert first.train.index.max() < first.validation.index.min()


def train(path: Path, listed):
    """Train a list in this process, resumed if the run is there."""
    spec = SPEC.model_copy(update={"budget": SPEC.budget.model_copy(update={"trials": len(listed)})})
    request = Request(spec, folder=path, replicates=tuple(listed), final=False, execution=Execution(0))
    request = replace(request, resume=path if path.exists() else None)
    opened = open_search(request)
    return opened, run_search(request, opened, Stop(), Observer())


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "listed"
    return path, *train(path, LISTED)


def test_every_training_has_its_weights_and_its_seed(listed):
    path, _, finished = listed
    assert finished.run == path
    assert [record.seed for record in finished.records.values()] == [each.seed for each in LISTED]
    assert all((path / weights_file(trial)).is_file() for trial in range(4))
    assert finished.stats["test"] is None


@pytest.mark.slow
def test_a_longer_list_goes_on_where_the_shorter_one_ended(listed, tmp_path):
    path, _, whole = listed
    shorter = tmp_path / "shorter"
    _, begun = train(shorter, LISTED[:2])
    _, longer = train(shorter, LISTED)
    for trial, record in whole.records.items():
        assert longer.records[trial].values == record.values
        assert (shorter / weights_file(trial)).read_bytes() == (path / weights_file(trial)).read_bytes()
    assert all(longer.records[trial].started_unix_s == begun.records[trial].started_unix_s for trial in (0, 1))


def test_a_training_is_scored_once_on_the_test_samples(listed):
    path, opened, finished = listed
    folder = RunFolder.open(path)
    try:
        scores = [score_trial(opened.job, opened.dataset, folder, record) for record in finished.records.values()]
        before = opened.dataset.test_opened
        again = score_trial(opened.job, opened.dataset, folder, finished.records[1])
    finally:
        folder.close()
    assert before == 4
    assert opened.dataset.test_opened == before
    assert again == pytest.approx(scores[1], nan_ok=True, rel=0)
    told = json.loads((path / "test" / "trial-000001.json").read_text())
    assert told["metrics"]["accuracy"] == scores[1]["accuracy"]


def test_the_score_is_that_of_the_predictions(listed):
    path, opened, finished = listed
    folder = RunFolder.open(path)
    try:
        scores = score_trial(opened.job, opened.dataset, folder, finished.records[0])
    finally:
        folder.close()
    rows = pd.read_parquet(path / "test" / "trial-000000.parquet")
    assert list(rows["index"]) == list(opened.dataset.split_index["test"])
    assert np.mean(rows["target"] == rows["predicted"]) == pytest.approx(scores["accuracy"])


def test_the_list_is_recorded_and_a_resumed_run_needs_no_other(listed, tmp_path):
    path = listed[0]
    assert read_replicates(path) == LISTED
    assert with_recorded(path, ()) == with_recorded(path, LISTED[:2]) == LISTED
    longer = (*LISTED, Replicate({WIDTH: 8}, 9, 3))
    assert with_recorded(path, longer) == longer
    with pytest.raises(InputError, match="trial 0 of the run is not that of the list; start a new run"):
        with_recorded(path, LISTED[1:])
    with pytest.raises(InputError, match="seed 5 is to split the samples in two ways"):
        with_recorded(None, [Replicate({WIDTH: 8}, 5, 1), Replicate({WIDTH: 16}, 5, 2)])
    (tmp_path / "replicates.json").write_text('{"schema_version": 1, "trials": [{"params": {}, "seed": -1}]}')
    with pytest.raises(StorageError, match=r"trials\.0\.seed: .*the file is damaged"):
        read_replicates(tmp_path)


def test_a_source_with_validation_samples_of_its_own_keeps_them(wine):
    parts = np.zeros(178, np.int8)
    parts[::3], parts[1::3] = 1, 2
    source = replace(wine._source, parts=parts)
    data = Dataset(source, split_samples(source, SPEC.task.split, None, 0))
    learning = Learning(data, SPEC.task.split, (1, 2))
    assert all(np.array_equal(learning.under(seed).validation.index, np.arange(0, 178, 3)) for seed in (1, 2))
    assert "it comes with validation samples of its own" in learning.notes[0]


def test_an_opening_grows_with_the_trials_that_are_scored_and_stays_one(listed, tmp_path):
    records = list(listed[2].records.values())
    folder = RunFolder.create(tmp_path, "wine")
    try:
        assert read_opening(folder.path) is None
        folder.set_state("running")
        assert [note_opening(folder, records[:count]) for count in (2, 1)] == [1, 1]
        first = read_opening(folder.path)
        assert first["trials"] == [0, 1]
        note_opening(folder, records)
        more = read_opening(folder.path)
        assert (more["when"], more["trials"]) == (first["when"], [0, 1, 2, 3])
        assert more["seeds"] == [record.seed for record in records]
        assert read_status(folder.path)["test_opened"] == 1
        folder.write_json("openings.json", {"schema_version": 1, "openings": [{"when": 3}]})
        with pytest.raises(StorageError, match=r"openings\.0\.when: .*; the file is damaged"):
            read_opening(folder.path)
    finally:
        folder.close()
