"""Checks of the data: each finds the fault that was planted, and none finds any in clean data."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import harness
from harness.data import given, load
from harness.spec import load_spec
from harness.study.checks import drift as drifting
from harness.study.checks.examine import Examined, examine, examine_test
from harness.study.checks.sample import Sample
from harness.study.checks.samples import outliers, stand_in

ROWS, COLUMNS = 400, 6


def checked(data, *, target=None, task=None, **sections):
    """Return a data set and what was noticed of it, by code, as a search would."""
    source = given(data, target) if not isinstance(data, str) else None
    told = {"builtin": data} if source is None else source.task
    spec = load_spec(
        {"task": {**told, **(task or {})}, "space": {"architecture": {"mlp": {"width": [8, 16]}}}, **sections}
    )
    dataset = load(spec.task, seed=spec.task.split.seed, given=source)
    examined = examine(SimpleNamespace(spec=spec, dataset=dataset.training_data()), dataset)
    return dataset, {each.code: each for each in (*dataset.suspected, *examined.suspicions)}, examined


def clean(seed=0, *, rows=ROWS, kind="apart", values=False):
    """Return a made table: normal, skewed and whole numbers, of which some tell the target."""
    rng, kept = np.random.default_rng(seed), rows
    rows = 3 * rows if kind == "apart" else rows
    frame = pd.DataFrame(
        {
            **{f"x{k}": rng.normal(size=rows) for k in range(COLUMNS - 2)},
            "price": np.exp(rng.normal(3, 1, rows)),
            "rooms": rng.integers(0, 6, rows),
        }
    )
    score = frame["x0"] + frame["x1"] - 0.5 * frame["x2"] + 0.3 * np.log(frame["price"])
    if values:
        return frame.assign(y=10 * score + rng.normal(0, 5, rows))[:kept]
    noise = {"apart": 0.0, "touching": 0.1, "overlapping": 1.5}[kind]
    middle = score - np.median(score)
    frame = frame.assign(y=np.where(middle + rng.normal(0, noise, rows) > 0, "yes", "no"))
    return frame[np.abs(middle) > 1][:kept].reset_index(drop=True) if kind == "apart" else frame


def sample_of(column):
    """Return a column of numbers as a sample of its own, with two classes."""
    rows, one = len(column), np.ones(1)
    return Sample(column[:, None], np.arange(rows) % 2, np.arange(rows), ("x",), 0 * one, one, ("a", "b"))


def mislabelled(frame, share=0.08, seed=1):
    """Return a table with some labels turned round where the class is not in doubt."""
    rows = np.random.default_rng(seed).choice(len(frame), round(share * len(frame)), replace=False)
    labels = frame["y"].to_numpy(dtype=object).copy()
    labels[rows] = np.where(labels[rows] == "yes", "no", "yes")
    return frame.assign(y=labels), set(rows.tolist())


def with_far(frame, column, value, rows=(17, 203)):
    frame = frame.copy()
    frame[column] = frame[column].astype(float)
    frame.loc[list(rows), column] = value
    return frame


def rare(frame):
    return frame[(frame["y"] == "yes") | (np.arange(len(frame)) % 20 == 0)]


def jittered(frame):
    """Return a table with the first quarter of its rows once more, but for a little noise."""
    copies = frame.iloc[: len(frame) // 4].copy()
    noise = np.random.default_rng(2).normal(0, 1e-5, (len(copies), COLUMNS - 1))
    copies.iloc[:, : COLUMNS - 1] += noise
    return pd.concat([frame, copies], ignore_index=True).sample(frac=1, random_state=0, ignore_index=True)


def leaking(frame):
    """Return a table with a column that tells nearly every class."""
    told = (frame["y"] == "yes").astype(float)
    return frame.assign(paid=np.where(np.arange(len(frame)) % 150 == 0, 1 - told, told))


PLANTED = {
    "copies": lambda frame: pd.concat([frame, frame.iloc[::4]], ignore_index=True),
    "near-copies": jittered,
    "target-leak": leaking,
    "row-order": lambda frame: frame.assign(number=1000 + 3 * np.arange(len(frame))),
    "label-noise": lambda frame: mislabelled(frame)[0],
    "imbalance": rare,
    "outliers": lambda frame: with_far(frame, "x3", -9999.0),
    "stand-ins": lambda frame: with_far(frame, "x3", -999.0, rows=range(0, ROWS, 20)),
}


@pytest.mark.parametrize("code", PLANTED)
def test_a_planted_fault_is_found_and_nothing_else(code):
    _, found, _ = checked(PLANTED[code](clean()), target="y")
    assert set(found) == {code}
    assert any(char.isdigit() for char in found[code].evidence)
    assert found[code].remedy


@pytest.mark.parametrize("name", ["wine", "breast-cancer", "diabetes", "digits"])
def test_nothing_is_noticed_of_data_that_are_known_to_be_sound(name):
    _, found, examined = checked(name)
    assert (found, examined.unchecked) == ({}, "")


@pytest.mark.parametrize("kind", [{}, {"kind": "touching"}, {"kind": "overlapping"}, {"values": True}], ids=str)
def test_nothing_is_noticed_of_made_tables_without_faults(kind):
    assert [code for seed in range(3) for code in checked(clean(seed, **kind), target="y")[1]] == []


@pytest.mark.slow
@pytest.mark.parametrize("code", PLANTED)
def test_few_faults_are_missed(code):
    """Of ten tables with the fault at most one is."""
    missed = [seed for seed in range(10) if code not in checked(PLANTED[code](clean(seed)), target="y")[1]]
    assert len(missed) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["apart", "touching", "overlapping"])
def test_few_alarms_are_false(kind):
    """Of twenty tables without faults none is suspected."""
    assert [
        (seed, found) for seed in range(100, 120) if (found := checked(clean(seed, kind=kind), target="y")[1])
    ] == []


def test_wrong_labels_are_named():
    frame, wrong = mislabelled(clean(rows=600))
    _, found, _ = checked(frame, target="y")
    named = [int(text.split(":")[0].removeprefix("sample ")) for text in found["label-noise"].examples]
    assert len(named) == 5
    assert len(set(named) & wrong) >= 4


def test_outliers_are_named_with_their_values_and_targets_have_some_too():
    _, found, _ = checked(with_far(clean(values=True), "x1", 1e6, rows=(40,)), target="y")
    assert found["outliers"].subject == "x1"
    assert found["outliers"].examples in {("sample 40: 1e+06",), ()}
    _, found, _ = checked(with_far(clean(values=True), "y", 1e5, rows=(40, 41, 42)), target="y")
    assert "the target has" in found["outliers"].evidence


def test_a_value_that_stands_for_another_is_counted_and_what_is_told_to_do_ends_it():
    frame = with_far(clean(values=True), "x1", -999.0, rows=range(0, ROWS, 20))
    frame.loc[[1, 2, 3], "x1"] = 9999.0
    frame.loc[[5], "x1"] = 500.0
    sample = sample_of(frame["x1"].to_numpy())
    high, low, far = outliers(sample)
    assert (high.code, low.code, far.code) == ("stand-ins", "stand-ins", "outliers")
    assert high.evidence.startswith("column 'x' is 9999 in 3 of 400 samples, and from -999 to 500 in the others")
    assert "is -999 in 20 of 397 samples" in low.evidence
    assert far.examples == ("sample 5: 500",)
    _, found, _ = checked(frame, target="y", task={"missing": ["-999", "9999", "500"]})
    assert found == {}
    frame.loc[::25, "y"] = -1e6
    assert "the target is -1e+06 in" in checked(frame, target="y")[1]["stand-ins"].evidence


@settings(max_examples=50)
@drawn(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(("normal", "lognormal", "poisson", "geometric", "uniform")),
    rows=st.integers(50, 2000),
)
def test_what_is_merely_frequent_stands_for_nothing(seed, kind, rows):
    rng = np.random.default_rng(seed)
    values = np.round(getattr(rng, kind)(*{"poisson": (3,), "geometric": (0.1,)}.get(kind, (0, 1)), size=rows), 1)
    values[rng.random(rows) < 0.3] = 0.0
    assert stand_in(values) is None
    assert stand_in(np.minimum(values, np.quantile(values, 0.9))) is None
    far = values.max() + 2 * max(np.ptp(values), 1.0)
    marked = np.where(np.arange(rows) % 10 == 0, far, values)
    assert stand_in(marked) == (far if len(np.unique(marked)) > 10 else None)


@settings(max_examples=50)
@drawn(seed=st.integers(0, 10_000), sigma=st.floats(0.1, 3.0), rows=st.integers(60, 3000))
def test_a_long_tail_is_no_outlier(seed, sigma, rows):
    incomes = np.exp(np.random.default_rng(seed).normal(8, sigma, rows))
    assert list(outliers(sample_of(incomes))) == []
    incomes[7] = np.median(incomes) * np.exp(25 * sigma)
    (found,) = outliers(sample_of(incomes))
    assert [text.split(":")[0] for text in found.examples] == ["sample 7"]


def test_a_column_that_the_reader_found_out_is_not_told_twice():
    frame = clean().assign(paid=lambda table: (table["y"] == "yes").astype(int))
    dataset, found, examined = checked(frame, target="y")
    assert found["target-leak"].subject == "paid"
    assert len(dataset.suspected) == 1
    assert examined.suspicions == ()


def test_an_easy_task_has_no_leak():
    label = np.arange(300) % 2
    noise = np.random.default_rng(0).normal(0, 0.7, (300, 3))
    frame = pd.DataFrame(3 * label[:, None] + noise, columns=list("abc")).assign(y=label)
    assert "target-leak" not in checked(frame, target="y")[1]


def test_time_is_no_fault_where_the_rows_are_split_by_it():
    frame = clean().assign(day=np.arange(ROWS))
    assert "row-order" in checked(frame, target="y")[1]
    found = checked(frame, target="y", task={"split": {"order": "day"}})[1]
    assert "row-order" not in found
    assert found["validation-drift"].examples[0].startswith("'day': ")
    alike = checked(frame, target="y", task={"split": {"order": "day"}, "drop": ["day"]})[1]
    assert alike == {}


def in_files(folder, frame, later):
    """Return a task whose test part is a file of its own."""
    frame.to_csv(folder / "now.csv", index=False)
    later.to_csv(folder / "later.csv", index=False)
    return {"csv": str(folder / "now.csv"), "target": "y", "test": {"csv": str(folder / "later.csv")}}


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_test_samples_are_compared_once_they_are_open(tmp_path, shift):
    task = in_files(tmp_path, clean(), clean(7).assign(x1=lambda table: table["x1"] + shift))
    spec = load_spec({"task": task, "space": {"architecture": "mlp"}})
    dataset = load(spec.task, seed=0)
    job = SimpleNamespace(spec=spec, dataset=dataset.training_data())
    assert examine(job, dataset).suspicions == ()
    assert dataset.test_opened == 0
    found = examine_test(job, dataset, dataset.open_test())
    assert [each.code for each in found] == (["test-drift"] if shift else [])
    assert all(each.examples[0].startswith("'x1': ") for each in found)


@pytest.mark.slow
def test_what_was_noticed_is_in_the_run_and_its_report(tmp_path):
    notes = []

    class Listener(harness.Observer):
        def run_started(self, *told):
            notes.extend(told[1])

    frame = leaking(clean())
    space = {
        "task": in_files(tmp_path, frame, leaking(clean(7)).assign(x1=5.0)),
        "budget": {"epochs": 1},
        "search": {"baselines": False},
        "training": {"final": "keep"},
        "space": {"architecture": {"mlp": {"width": [8, 16]}}},
    }
    result = harness.search(space, trials=1, workers=0, out=tmp_path / "out", observer=Listener())
    assert any(note.startswith("now: column 'paid' alone explains") for note in notes)
    codes = [each["code"] for each in result.stats["task"]["suspicions"]]
    assert codes == ["target-leak", "test-drift"]
    assert "target-leak" in [warning.code for warning in result.warnings]
    report = (result.run / "report.md").read_text()
    assert "## Data checks" in report
    assert "| test-drift | test samples can be told" in report
    assert result.stats["test"]["opened"] == 1
    again = harness.search(resume=result.run, trials=1, workers=0)
    assert again.stats["task"] == result.stats["task"]
    assert again.stats["test"]["opened"] == 1


def test_the_area_under_the_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    positive = rng.integers(0, 2, 200)
    scores = np.round(positive + rng.normal(size=200), 1)
    area = drifting.area_under_curve(scores, positive)
    assert area == pytest.approx(roc_auc_score(positive, scores))
    low, high = drifting.interval(area, 100, 100)
    draws = [np.mean(rng.normal(1, 1, (100, 1)) > rng.normal(0, 1, 100)) for _ in range(400)]
    low, high = drifting.interval(float(np.mean(draws)), 100, 100)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx([low, high], abs=0.02)


def test_the_same_seed_says_the_same():
    frame = mislabelled(clean())[0]
    first, second = (checked(frame, target="y")[2] for _ in range(2))
    assert first == second


def test_what_is_not_checked_is_said():
    frame = mislabelled(clean())[0]
    _, found, examined = checked(frame, target="y", search={"checks": False})
    assert (found, examined) == ({}, Examined())
    _, found, examined = checked(frame, target="y", budget={"time": "5s"})
    assert found == {}
    assert "budget.time is 5 s" in examined.unchecked
