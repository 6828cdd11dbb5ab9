"""Labels that may be wrong: a classifier that was made without a sample is sure that it is of another class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.data.suspicion import Suspicion
from harness.study.checks.classifier import opinion
from harness.study.checks.sample import Sample

LEAST, ROWS = 100, 2_000
"""Fewest and most samples that are looked at."""
CLASSES = 50
"""Most classes."""
SKILL = 0.7
"""Least share of the commonest class's errors that the classifier must remove: where classes overlap more, samples that
are merely unlucky look the same as mislabelled ones."""
SHARE = 0.3
"""Of all that the classifier gets wrong; where labels are right most of its errors are narrow ones."""
_FEWEST = 3
_SHOWN = 5


def mislabelled(sample: Sample, seed: int) -> Iterator[Suspicion]:
    """Yield samples whose label a classifier, made without them, confidently disagrees with.

    Confident learning (Northcutt et al., 2021, arXiv:1911.00068) with out-of-sample probabilities: a sample is a
    candidate where another class has the highest probability, and no less than that class has among its own samples on
    average.
    """
    if not sample.classes or len(sample) < LEAST or len(sample.classes) > CLASSES:
        return
    _, labels = np.unique(sample.targets, return_inverse=True)
    names = [sample.classes[code] for code in np.unique(sample.targets)]
    chances, _, whose = opinion(sample.inputs, labels, seed)
    own = np.array([chances[labels == k, k].mean() for k in range(len(names))])
    likeliest = chances.argmax(axis=1)
    sure = chances[np.arange(len(sample)), likeliest]
    wrong = likeliest != labels
    found = np.flatnonzero(wrong & (sure >= own[likeliest]))
    skill = 1.0 - wrong.sum() / max(1, len(labels) - np.bincount(labels).max())
    if skill < SKILL or len(found) < max(_FEWEST, SHARE * wrong.sum()):
        return
    found = found[np.argsort(-sure[found], kind="stable")]
    yield Suspicion(
        "label-noise",
        f"{len(found):,} of {len(sample):,} samples ({100 * len(found) / len(sample):.1f} %) have another label than a "
        f"{whose} that was made without them is sure of, of {wrong.sum():,} that it gets wrong at all",
        "look at them, and correct or remove what is mislabelled",
        share=len(found) / len(sample),
        examples=tuple(
            f"sample {sample.index[row]}: {names[labels[row]]!r}, {100 * sure[row]:.0f} % {names[likeliest[row]]!r}"
            for row in found[:_SHOWN]
        ),
    )
