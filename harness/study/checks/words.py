"""Words that say too much: one that is in all texts of a class, and in no others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.data.suspicion import Suspicion
from harness.study.checks.columns import ALONE, LEAST, OTHERS
from harness.study.checks.sample import Sample

_FEWEST = 10
"""Samples of a class, and of all others together."""
_SHOWN = 5


def giveaways(sample: Sample) -> Iterator[Suspicion]:
    """Yield the tokens that alone tell a class from all others where no other token comes near.

    The skill of a token is the share of the errors that it removes of whoever never says the class, or always does
    where it is the commoner half: an error is a text of the class without the token, or another one with it.
    """
    if not (sample.counted and sample.classes) or len(sample) < LEAST:
        return
    codes = sample.targets.astype(np.int64)
    of_class_C = np.bincount(codes, minlength=len(sample.classes))
    at_stake_C = np.minimum(of_class_C, len(sample) - of_class_C)
    present_NV = sample.inputs[:, : len(sample.names)] > 0
    both_VC = present_NV.T @ np.eye(len(sample.classes))[codes]
    with_it_V = both_VC.sum(axis=1)
    errors_VC = of_class_C + with_it_V[:, None] - 2 * both_VC
    skill_VC = np.where(at_stake_C >= _FEWEST, 1.0 - errors_VC / np.maximum(1, at_stake_C), 0.0)
    skill_V = np.where([bool(name) for name in sample.names], skill_VC.max(axis=1), 0.0)
    strong = np.flatnonzero(skill_V >= ALONE)
    if not len(strong) or np.delete(skill_V, strong).max(initial=0.0) >= OTHERS:
        return
    strong = strong[np.argsort(-skill_V[strong], kind="stable")]
    told = []
    for place in strong[:_SHOWN].tolist():
        code = int(skill_VC[place].argmax())
        inside, others = int(both_VC[place, code]), int(with_it_V[place] - both_VC[place, code])
        told.append(
            f"{sample.names[place]!r} is in {inside:,} of {of_class_C[code]:,} texts of class {sample.classes[code]!r} "
            f"and in {others:,} of {len(sample) - of_class_C[code]:,} others"
        )
    yield Suspicion(
        "target-leak",
        f"a token alone tells a class: {told[0]}",
        "if it stands for the label, such as a signature or the name of a file, take it out of the texts",
        subject=str(sample.names[strong[0]]),
        examples=tuple(told[1:]),
    )
