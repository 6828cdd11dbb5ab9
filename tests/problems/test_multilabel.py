"""Labels: the loss and the counts against torch and scikit-learn, and a whole search over them."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.cli import main
from harness.data import Batch, load
from harness.errors import DataError, InputError
from harness.problems import problems
from harness.problems.flag_scores import score
from harness.problems.flags import Counts, Flags
from harness.problems.problem import Undefined
from harness.spec.task import parse_task

CPU = torch.device("cpu")
SPACE = {
    "task": "wine",
    "budget": {"trials": 2, "epochs": 15},
    "space": {
        "architecture": {"mlp": {"depth": 1, "width": 32}},
        "optimizer": {"adamw": {"lr": {"float": [3e-3, 3e-2], "log": True}}},
        "batch_size": 32,
    },
}


def table(rows=240, seed=0):
    """Three labels that hang on the columns: one is rare, and two go together."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    frame = pd.DataFrame(x, columns=list("abcd"))
    frame["urgent"] = np.where(x[:, 0] > 0.3, "yes", "no")
    frame["billing"] = (x[:, 0] + x[:, 1] > 0).astype(int)
    frame["spam"] = x[:, 2] > 1.0
    return frame


LABELS = ["urgent", "billing", "spam"]


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**16))
def test_the_counts_are_scikit_learns(samples, labels, seed):
    rng = np.random.default_rng(seed)
    answers, targets = rng.random((samples, labels)), (rng.random((samples, labels)) < 0.4).astype(float)
    counts = Counts(labels, CPU)
    for rows in np.array_split(np.arange(samples), 3):
        counts.update(torch.from_numpy(answers[rows]), torch.from_numpy(targets[rows]))
    found = counts.metrics()
    assert found == pytest.approx({name: score(name, targets, answers) for name in found})
    assert set(found) == {metric.name for metric in problems["multilabel"].metrics if metric.summed}


def test_nothing_is_not_measured():
    assert all(np.isnan(value) for value in Counts(3, CPU).metrics().values())
    with pytest.raises(Undefined, match="label 1 "):
        score("roc_auc", np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.1, 0.2], [0.3, 0.4]]))


def test_the_loss_is_binary_cross_entropy_also_smoothed_and_mixed():
    random = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(8, 3, generator=random), (torch.rand(8, 3, generator=random) < 0.5).float()
    plain = Flags(smoothing=0.0)
    torch.testing.assert_close(plain.loss(logits, targets), F.binary_cross_entropy(logits.sigmoid(), targets))
    smooth = Flags(smoothing=0.2).training_loss(logits, Batch((), targets))
    torch.testing.assert_close(smooth, F.binary_cross_entropy_with_logits(logits, 0.8 * targets + 0.1))
    mix = torch.rand(8, generator=random)
    mixed = plain.training_loss(logits, Batch((), targets, targets.roll(1, 0), mix))
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    other = F.binary_cross_entropy_with_logits(logits, targets.roll(1, 0), reduction="none").mean(1)
    torch.testing.assert_close(mixed, (mix * each + (1 - mix) * other).mean())
    problem = problems["multilabel"]
    losses = problem.losses_of(logits.sigmoid().numpy(), targets.numpy(), loss="binary", scale=[1.0] * 3)
    assert losses == pytest.approx(each.numpy(), rel=1e-5)
    two = torch.stack([logits, logits.roll(1, 0)])
    torch.testing.assert_close(problem.averaged(two).sigmoid(), two.sigmoid().mean(0))


def read(tmp_path, frame, target=LABELS, kind="multilabel"):
    frame.to_csv(tmp_path / "mails.csv", index=False)
    return load(parse_task({"csv": str(tmp_path / "mails.csv"), "target": target, "kind": kind}), seed=0)


def test_labels_are_read_as_people_write_them(tmp_path):
    frame = table()
    data = read(tmp_path, frame)
    assert data.shape.kind == "multilabel"
    assert data.shape.target.names == tuple(LABELS)
    assert data.preprocessing["columns"] == list("abcd")
    truth = np.column_stack([frame["urgent"] == "yes", frame["billing"] == 1, frame["spam"]]).astype(np.float32)
    assert np.array_equal(data.train.targets, truth[data.train.index])
    assert data.preprocessing["target"]["mean"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "target", "kind", "said"),
    [
        ({"urgent": "maybe"}, LABELS, "multilabel", "label 'urgent' holds 'maybe'; a label is 0 or 1"),
        ({"billing": 1}, LABELS, "multilabel", "label 'billing' is 1 in every row; leave it out"),
        ({}, ["urgent", "hurry"], "multilabel", "target 'hurry' is not a column"),
        ({}, "urgent", "multilabel", "takes several; name them all"),
        ({}, LABELS, "classification", "of which one can be classes; say `kind: multilabel`"),
        ({}, LABELS, "auto", "not a number"),
    ],
)
def test_what_are_no_labels_is_refused(change, target, kind, said, tmp_path):
    with pytest.raises(DataError, match=said):
        read(tmp_path, table().assign(**change), target, kind)


def test_a_target_that_is_named_twice_is_refused():
    with pytest.raises(ValueError, match="names a column twice"):
        parse_task({"csv": "mails.csv", "target": ["spam", "spam"]})


def test_several_columns_are_several_values(tmp_path):
    data = read(tmp_path, table(), ["c", "d"], "auto")
    assert (data.shape.kind, data.shape.outputs, data.shape.target.names) == ("regression", 2, ("c", "d"))
    assert data.train.targets.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-6)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    frame = table()
    inputs, labels = frame[list("abcd")], frame[LABELS]
    space = {**SPACE, "task": {"frame": "data", "target": LABELS, "kind": "multilabel"}}
    out = tmp_path_factory.mktemp("labels")
    return harness.search(space, data=(inputs, labels), out=out, device="cpu", workers=0)


def test_a_search_is_scored_and_beats_the_shares_of_the_labels(result):
    test = result.stats["test"]["metrics"]
    naive, *others = result.stats["baselines"]
    assert naive["name"] == "label shares"
    assert test["f1_macro"] > 0.8 > naive["test"]["f1_macro"]
    assert test["loss"] < naive["test"]["loss"]
    assert all(each["test"]["f1_macro"] > 0.8 for each in others), others
    assert result.stats["objective"][0]["metric"] == "f1_macro"
    assert harness.verify(result.run).findings == ()


def test_the_winner_says_labels_and_probabilities(result):
    model = harness.load(result.run)
    frame = table(seed=1)
    said, probabilities = model.predict(frame[list("abcd")]), model.predict_proba(frame[list("abcd")])
    assert said.dtype == np.int64
    assert np.array_equal(said, probabilities >= 0.5)
    truth = np.column_stack([frame["urgent"] == "yes", frame["billing"] == 1, frame["spam"]])
    assert (said == truth).mean() > 0.85
    with pytest.raises(InputError, match="predicts labels, of which there are no intervals"):
        model.predict_interval(frame[list("abcd")])


def test_the_command_predicts_labels_of_a_file_that_may_hold_them(result, tmp_path, monkeypatch, capsys):
    table(seed=1).to_csv(tmp_path / "new.csv", index=False)
    words = ["harness", "predict", result.run, tmp_path / "new.csv", "--proba", "--out", tmp_path / "said.csv"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert not ended.value.code, said
    assert "ignored" not in said
    found = pd.read_csv(tmp_path / "said.csv")
    assert list(found.columns) == ["index", *(f"{what}_{x}" for what in ("prediction", "probability") for x in LABELS)]
    assert np.array_equal(found["prediction_spam"], found["probability_spam"] >= 0.5)


def test_class_weights_are_refused(tmp_path):
    space = {**SPACE, "task": {"frame": "data", "target": LABELS, "kind": "multilabel"}}
    space = json.loads(json.dumps({**space, "training": {"class_weights": "balanced"}}))
    with pytest.raises(InputError, match="class_weights: is for one class a sample"):
        harness.search(space, data=table(), target=LABELS, out=tmp_path, device="cpu", workers=0)
