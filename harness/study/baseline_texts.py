"""The baseline of texts: a linear model of their tokens and pairs of tokens, weighted by how rare these are (TF-IDF).

It sees the tokens that the networks see, cut at the same length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.problems import Baselines, Estimator
from harness.records import Input

PAIRS = 2**16
"""Columns that pairs of tokens share, by a hash."""
PER_TOKEN = 2
"""Columns that are not zero, for each token of a text: its own and that of the pair which it begins."""
CONFIDENCE = 10.0
"""Of a logistic regression, where scikit-learn has 1: texts have the norm 1, beside which that keeps weights small."""
_PRIME = 1_000_003


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


def token_counts(codes_NT: NDArray[Any], *, codes: int) -> Any:
    """Return how often each token and each pair of neighbours occurs in each text, sparse; 0 is padding."""
    from scipy.sparse import csr_matrix

    tokens_NT = codes_NT.astype(np.int64)
    rows, places = np.nonzero(tokens_NT)
    first = tokens_NT[rows, places]
    following = np.pad(tokens_NT, ((0, 0), (0, 1)))[rows, places + 1]
    pair = following != 0
    hashed = codes + (first[pair] * _PRIME + following[pair]) % PAIRS
    columns, own = np.concatenate([first, hashed]), np.concatenate([rows, rows[pair]])
    return csr_matrix((np.ones(len(own)), (own, columns)), shape=(len(tokens_NT), codes + PAIRS))
