"""The baseline of texts: a linear model of their tokens and pairs of tokens, weighted by how rare these are (TF-IDF).

It sees the tokens that the networks see, cut at the same length.
"""

from __future__ import annotations

from harness.data.token_counts import PER_TOKEN, token_counts
from harness.problems import Baselines, Estimator
from harness.records import Input

CONFIDENCE = 10.0
"""Of a logistic regression, where scikit-learn has 1: texts have the norm 1, beside which that keeps weights small."""


def tfidf(models: Baselines, tokens: Input, rows: int, outputs: int) -> Estimator:
    """Return the linear model of a kind of problem, for codes of tokens."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    found = models.linear(rows, PER_TOKEN * tokens.sizes[0], outputs)
    named = found._replace(name=f"TF-IDF + {found.name}")
    if found.model is None:
        return named
    if "C" in found.model.get_params():
        found.model.set_params(C=CONFIDENCE)
    counts = FunctionTransformer(token_counts, kw_args={"codes": tokens.cardinalities[0]})
    return named._replace(model=make_pipeline(counts, TfidfTransformer(sublinear_tf=True), found.model))
