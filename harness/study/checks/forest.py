"""A forest that tells what it thinks of samples that it was grown without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.study.checks.sample import Floats, Indices

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

TREES = 32


def grown(inputs: Floats, classes: Indices, seed: int) -> RandomForestClassifier:
    """Return a random forest (Breiman, 2001) with out-of-bag probabilities; classes are numbered from 0."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, oob_score=True, n_jobs=1, random_state=seed % 2**32).fit(inputs, classes)
