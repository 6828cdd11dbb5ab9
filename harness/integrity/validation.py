"""What a run keeps of the validation samples against its trials, its splits and the threshold chosen by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.errors import StorageError
from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differing, same
from harness.integrity.frames import frame_differences
from harness.measure.threshold import threshold_of
from harness.problems import Undefined
from harness.problems.quantile_scores import pinballs
from harness.store import trials_frame
from harness.store.loose import at
from harness.study.final.decision import KEPT
from harness.study.final.residuals import FILE, QuantileErrors, Residuals, read_residuals
from harness.study.final.saved import BEST, VALIDATION, read_saved
from harness.study.keeping import predictions_file, read_predictions

ROUNDED = 1e-4
"""Relative tolerance of sums that a device made in float32."""


def check_validation(contents: Contents) -> None:
    """Note where what was said of the validation samples is not what the rest of the run rests on."""
    contents.note(_kept_findings(contents))
    contents.note(_table_findings(contents))
    contents.note(_residual_findings(contents))


def _kept_findings(contents: Contents) -> Iterator[Finding]:
    """Yield where predictions that were kept of trials are damaged, or are of another record."""
    try:
        kept = read_predictions(contents.run)
    except StorageError as error:
        name, _, what = str(error).removeprefix(f"{contents.run}/").partition(": ")
        yield Finding(name, what)
        return
    trials = contents.trials
    for each in kept:
        number = each.record.trial
        name = predictions_file(number)
        if trials is None or number not in trials.index:
            yield Finding(name, "its trial is not in trials.parquet")
            continue
        row = trials.loc[[number]].reset_index(drop=True)
        yield from frame_differences(name, "trials.parquet", row, trials_frame([each.record], ()), ["trial"])


def _table_findings(contents: Contents) -> Iterator[Finding]:
    """Yield where the validation samples are others, or the threshold is not the one that they choose."""
    frame = contents.table(VALIDATION)
    if frame is None:
        return
    parts = _parts(contents)
    if parts and sorted(frame["index"].tolist()) not in parts:
        yield Finding(VALIDATION, "its samples are not the validation part of splits.parquet")
    saved = contents.read(f"{BEST}/candidate.json", read_saved)
    threshold = saved.threshold if saved else None
    if threshold is None or threshold.by == "value":
        return
    try:
        chosen = threshold_of(threshold.rule, frame["probability_1"].to_numpy(), frame["target"].to_numpy()).value
    except Undefined:
        chosen = None
    what = f"threshold is not the one that {VALIDATION} chooses by {threshold.by}"
    yield from differing(f"{BEST}/candidate.json", what, chosen, threshold.value)


def _residual_findings(contents: Contents) -> Iterator[Finding]:
    """Yield where the errors of values are not those of as many samples, or not those that the winner was judged by."""
    name = f"{BEST}/{FILE}"
    told = contents.object(name)
    values, levels = at(told, "absolute"), at(told, "levels")
    if not isinstance(values, list) and not isinstance(levels, list):
        return
    kept = contents.read(name, lambda path: read_residuals(path.parent, len(values or ()), levels or ()))
    if kept is None:
        return
    errors = kept.absolute if isinstance(kept, Residuals) else kept.errors
    counts = {len(part) for part in _parts(contents)}
    if len(errors) < min(counts, default=0):
        yield Finding(name, "has fewer errors than there are validation samples", str(min(counts)), str(len(errors)))
    if not kept.of.startswith(KEPT) or len(_parts(contents)) != 1:
        return
    if isinstance(kept, QuantileErrors):
        metric, found = "pinball", float(pinballs(np.zeros(len(errors)), -errors, kept.levels).mean())
    elif errors.shape[1] == 1:
        metric, found = "rmse", float(np.sqrt(np.mean(errors**2)))
    else:
        return
    measured = at(contents.stats, "best", "validation", metric)
    if measured is not None and not same(measured, found, rel=ROUNDED):
        yield Finding(name, f"its errors are not those of the winner's {metric}", f"{measured:.6g}", f"{found:.6g}")


def _parts(contents: Contents) -> list[list[int]]:
    """Return the samples of validation, of several splits those of each."""
    splits = contents.table("splits.parquet")
    if splits is None:
        return []
    rows = splits[splits["part"] == "validation"]
    by = [name for name in ("fold", "seed") if name in rows] or ["part"]
    return [sorted(group["index"].tolist()) for _, group in rows.groupby(by)]
