from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from harness.data import load, tasks
from harness.data.sources import builtin
from harness.data.sources.docstrings import PACKAGES, read_docstrings
from harness.errors import DataError
from harness.records import TaskKind
from harness.spec.task import BuiltinTask, Split

SKLEARN = {
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "breast-cancer": datasets.load_breast_cancer,
    "diabetes": lambda: datasets.load_diabetes(scaled=False),
}


def test_tasks_are_listed_without_importing_torch_or_sklearn():
    code = (
        "import sys; from harness.data import tasks; assert 'digits' in list(tasks);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'pandas', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_listed_task_has_a_reader():
    assert set(tasks) == {*builtin._SKLEARN, "airline", "docstrings", "fashion-mnist"}
    assert all("\n" not in entry.summary + entry.needs and entry.name == name for name, entry in tasks.items())


@pytest.mark.slow
def test_docstrings_are_the_same_every_time_and_name_no_package():
    first, again = (read_docstrings("docstrings") for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert first.class_names == PACKAGES
    texts = first.inputs.values
    assert texts.is_unique
    assert not texts.str.contains(r"\b(?:numpy|np|pandas|scipy|sklearn)\b", case=False).any()
    assert np.bincount(first.targets).min() > 400


@pytest.mark.parametrize("name", SKLEARN)
def test_splits_cover_every_sample_of_scikit_learn_once(name):
    found = SKLEARN[name]()
    data = load(BuiltinTask(builtin=name), seed=3)
    index = data.split_index
    assert np.array_equal(np.sort(np.concatenate(list(index.values()))), np.arange(len(found.target)))
    assert data.shape.kind == tasks[name].kind
    parts = {"train": data.train, "validation": data.validation, "test": data.open_test()}
    centre = 0 if data.class_names else found.target[index["train"]].mean()
    for name, part in parts.items():
        assert np.array_equal(part.index, index[name])
        assert np.array_equal(data.true_targets(name), found.target[index[name]])
        assert np.array_equal(part.targets, (found.target[index[name]] - centre).astype(part.targets.dtype))
    assert len(data.validation) == pytest.approx(0.15 * len(found.target), abs=1)


def test_shapes_say_what_a_model_must_know():
    digits, wine, diabetes = (load(BuiltinTask(builtin=name), seed=0) for name in ("digits", "wine", "diabetes"))
    assert (digits.shape.inputs[0].sizes, digits.shape.outputs) == ((1, 8, 8), 10)
    assert ([each.kind for each in wine.shape.inputs], wine.shape.inputs[0].sizes, wine.shape.outputs) == (
        ["numeric"],
        (13,),
        3,
    )
    assert (diabetes.shape.kind, diabetes.shape.outputs) == (TaskKind.REGRESSION, 1)
    assert digits.train.inputs[0].dtype == np.uint8
    assert diabetes.train.targets.dtype == np.float32
    assert diabetes.class_names == ()
    assert load(BuiltinTask(builtin="breast-cancer"), seed=0).class_names == ("malignant", "benign")


def test_same_seed_gives_same_data_and_another_seed_another_split():
    first, again, other = (load(BuiltinTask(builtin="wine"), seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint == other.fingerprint
    assert first.preprocessing == again.preprocessing
    assert np.array_equal(first.train.inputs[0], again.train.inputs[0])
    assert not np.array_equal(first.train.index, other.train.index)


def test_limit_thins_training_and_validation_and_leaves_the_test_part():
    whole = load(BuiltinTask(builtin="digits"), seed=5)
    some = load(BuiltinTask(builtin="digits", limit=200), seed=5)
    assert len(some.train) + len(some.validation) == 200
    assert len(some.validation) == round(200 * 0.15 / 0.85)
    assert np.array_equal(whole.split_index["test"], some.split_index["test"])
    assert set(some.split_index["train"]) < set(whole.split_index["train"]) | set(whole.split_index["validation"])


def test_unknown_task_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        BuiltinTask(builtin="digit")


def test_directory_of_a_task_without_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="remove `directory`"):
        load(BuiltinTask(builtin="wine", directory=tmp_path), seed=0)


def test_refit_joins_train_and_validation_and_shares_the_count_of_openings():
    data = load(BuiltinTask(builtin="wine", split=Split(validation=0.2, test=0.2)), seed=0)
    refit = data.for_refit()
    assert len(refit.train) == len(data.train) + len(data.validation)
    assert len(refit.validation) == 0
    assert set(refit.train.index) == set(data.train.index) | set(data.validation.index)
    assert refit.preprocessing != data.preprocessing
    assert (data.test_size, data.test_opened) == (36, 0)
    assert np.array_equal(refit.open_test().index, data.open_test().index)
    assert (data.test_opened, refit.test_opened) == (2, 2)
