"""The baseline of texts against scikit-learn on the texts themselves."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline

from harness.data import load
from harness.data.token_counts import PAIRS, token_counts
from harness.problems.scoring import Scorer
from harness.spec.task import CsvTask
from harness.study.baseline_texts import CONFIDENCE
from harness.study.baselines import Scene, run_baselines
from harness.study.stop import Stop

WORDS = ["red", "green", "blue", "fast", "slow", "high", "low", "wide"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Texts whose class depends on words and on their order."""
    rng = np.random.default_rng(3)
    texts, kinds = [], []
    for _ in range(240):
        words = list(rng.choice(WORDS, rng.integers(3, 9)))
        texts.append(" ".join(words))
        kinds.append("yes" if ("red", "fast") in pairwise(words) or words.count("blue") > 1 else "no")
    path = tmp_path_factory.mktemp("texts") / "x.csv"
    pd.DataFrame({"text": texts, "kind": kinds}).to_csv(path, index=False)
    return path, np.array(texts), np.array(kinds)


def scores_of(dataset, metrics=("accuracy", "log_loss")):
    final = dataset.for_refit()
    scene = Scene(dataset.training_data(), final, final.open_test(), Scorer(dataset.shape.kind, metrics))
    return {row.name: row for row in run_baselines(scene, 0, Stop())}


def test_it_is_what_scikit_learn_makes_of_words_and_their_pairs(written):
    path, texts, kinds = written
    dataset = load(CsvTask(csv=path, target="kind", text="text", tokeniser="words"), seed=0)
    rows = scores_of(dataset)
    assert list(rows) == ["class prior", "TF-IDF + logistic regression", "gradient boosting"]
    assert rows["gradient boosting"].note == "skipped: texts have no columns of numbers"
    index = dataset.split_index
    for found, fit, judge in (
        (rows["TF-IDF + logistic regression"].validation, index["train"], index["validation"]),
        (
            rows["TF-IDF + logistic regression"].test,
            np.concatenate([index["train"], index["validation"]]),
            index["test"],
        ),
    ):
        length = dataset.shape.inputs[0].sizes[0]
        cut = np.array([" ".join(text.split()[:length]) for text in texts])
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(vectors, LogisticRegression(C=CONFIDENCE)).fit(cut[fit], kinds[fit])
        chances = model.predict_proba(cut[judge])
        assert found["accuracy"] == pytest.approx(accuracy_score(kinds[judge], model.predict(cut[judge])))
        assert found["log_loss"] == pytest.approx(log_loss(kinds[judge], chances, labels=model.classes_), rel=1e-2)


def test_tokens_and_pairs_are_counted_and_padding_is_not():
    codes = np.array([[2, 3, 2, 3, 0], [4, 0, 0, 0, 0]])
    counts = token_counts(codes.astype(np.float64), codes=5).toarray()
    assert counts.shape == (2, 5 + PAIRS)
    assert counts[:, :5].tolist() == [[0, 0, 2, 2, 0], [0, 0, 0, 0, 1]]
    assert sorted(counts[0, 5:][counts[0, 5:] > 0]) == [1, 2], "2 3 twice, 3 2 once"
    assert not counts[1, 5:].any()


def test_values_are_predicted_of_texts_by_ridge_regression(written, tmp_path):
    _, texts, _ = written
    lengths = [float(text.count("blue")) + 0.5 for text in texts]
    pd.DataFrame({"text": texts, "much": lengths}).to_csv(tmp_path / "x.csv", index=False)
    dataset = load(CsvTask(csv=tmp_path / "x.csv", target="much", text="text", tokeniser="words"), seed=0)
    rows = scores_of(dataset, ("r2",))
    assert rows["TF-IDF + ridge regression"].test["r2"] > 0.8, rows["TF-IDF + ridge regression"].note
