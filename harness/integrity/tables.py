"""The tables of a search against each other, and ``stats.json`` against them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differences, differing, same
from harness.records import NAN, Outcome, TrialRecord
from harness.spec import COST
from harness.store.loose import at, number
from harness.study.objectives import Objective, pareto, tied
from harness.text import plain

STATS, TRIALS, EPOCHS = "stats.json", "trials.parquet", "epochs.parquet"
PARAMETER = "param."
SUM = 1e-9
"""Relative tolerance of sums, whose order may differ."""
TIE = ("parameters", "flops", "value_se")
"""The figures that decide who wins."""
DECIDING = ("trial", "outcome", "values", "same_as", "reasons", *TIE)


def objectives_of(stats: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Return the objectives that ``stats.json`` names."""
    told = stats.get("objective")
    rows = told if isinstance(told, list) else []
    exact = at(stats, "search", "winner") == "best"
    return tuple(Objective(str(at(row, "metric")), at(row, "direction") == "maximize", exact) for row in rows)


def check_trials(contents: Contents) -> None:
    """Note where the columns of a trial do not tell the same, or not what its epochs do."""
    if (trials := contents.trials) is not None:
        contents.note(_parameters(trials))
        contents.note(_values(trials, objectives_of(contents.stats)))
        if (epochs := contents.table(EPOCHS)) is not None and {"trial", "epoch"} <= set(epochs.columns):
            contents.note(_of_epochs(trials, epochs))


def _parameters(trials: pd.DataFrame) -> Iterator[Finding]:
    names = [name for name in trials.columns if name.startswith(PARAMETER)]
    for row in trials[["trial", "params", *names]].to_dict("records"):
        params = json.loads(row["params"])
        for name in names:
            found, expected = row[name], params.get(name.removeprefix(PARAMETER))
            gone = bool(pd.isna(found))
            if gone != (expected is None) or not (gone or found == expected or str(found) == str(expected)):
                what = f"{name} of trial {row['trial']} is not that of its params"
                yield Finding(TRIALS, what, str(expected), str(found))


def _values(trials: pd.DataFrame, objectives: Sequence[Objective]) -> Iterator[Finding]:
    """Yield where the values of a trial are not the metrics that it was measured by."""
    measured = [name for name in trials.columns if name.startswith("validation_")]
    for row in trials[["trial", "value", "values", *measured]].to_dict("records"):
        values = json.loads(row["values"])
        first = values[0] if values else NAN
        yield from differing(
            TRIALS, f"value of trial {row['trial']} is not the first of its values", first, row["value"]
        )
        for objective, value in zip(objectives, values, strict=False):
            column = f"validation_{objective.metric}"
            if objective.metric not in COST and column in row:
                what = f"{column} of trial {row['trial']} is not that of its values"
                yield from differing(TRIALS, what, value, row[column])


def _of_epochs(trials: pd.DataFrame, epochs: pd.DataFrame) -> Iterator[Finding]:
    """Yield where a trial does not have as many epochs as it says, or not the metrics of its best one."""
    counts = epochs["trial"].value_counts()
    folds = epochs.get("fold", pd.Series(1, index=epochs.index))
    several = set(epochs["trial"][folds > 1])
    metrics = [name for name in epochs.columns if name.startswith("validation_") and name in trials.columns]
    metrics.remove("validation_s") if "validation_s" in metrics else None
    best = (
        epochs[folds == 1].drop_duplicates(["trial", "epoch"]).set_index(["trial", "epoch"])[metrics].to_dict("index")
    )
    repeats = trials.get("same_as", pd.Series(pd.NA, index=trials.index)).notna()
    for row in trials.loc[~repeats, ["trial", "epochs", "best_epoch", *metrics]].to_dict("records"):
        trial, place = row["trial"], (row["trial"], row["best_epoch"])
        what = f"trial {trial} has not the epochs that {TRIALS} counts"
        yield from differing(EPOCHS, what, row["epochs"], int(counts.get(trial, 0)))
        if trial in several or place not in best:
            continue
        for name in metrics:
            what = f"{name} of trial {trial} is not that of its best epoch, {row['best_epoch']}, in {EPOCHS}"
            yield from differing(TRIALS, what, best[place][name], row[name])


def check_stats(contents: Contents, *, listed: bool) -> None:
    """Note where ``stats.json`` does not tell what the trials do; ``listed``: no search chose them."""
    if contents.stats and (trials := contents.trials) is not None:
        contents.note(_outcomes(contents.stats, trials))
        contents.note(_best(contents.stats, trials, listed=listed))


def _outcomes(stats: Mapping[str, Any], trials: pd.DataFrame) -> Iterator[Finding]:
    counted = trials["outcome"].value_counts().to_dict()
    yield from differences(STATS, TRIALS, counted, stats.get("outcomes"), "outcomes")
    told = stats.get("seconds_by_outcome")
    if not isinstance(told, dict) or "seconds" not in trials:
        return
    repeats = trials.get("same_as", pd.Series(pd.NA, index=trials.index)).notna()
    spent = trials["seconds"].where(~repeats, 0.0).groupby(trials["outcome"]).sum(min_count=1)
    for outcome, seconds in spent.items():
        if not same(float(seconds), told.get(str(outcome)), rel=SUM):
            what = f"seconds_by_outcome.{outcome} is not that of {TRIALS}"
            yield Finding(STATS, what, repr(float(seconds)), repr(told.get(str(outcome))))


def _best(stats: Mapping[str, Any], trials: pd.DataFrame, *, listed: bool) -> Iterator[Finding]:
    objectives, best = objectives_of(stats), stats.get("best")
    deciding = [name for name in trials.columns if name in DECIDING]
    records = [_record(row) for row in trials[deciding].to_dict("records")]
    complete = [record for record in records if record.outcome == Outcome.COMPLETE and record.same_as is None]
    if not isinstance(best, dict) or not objectives:
        yield from differing(STATS, f"best is not the winner of {TRIALS}", bool(complete), bool(best))
        return
    if best.get("trial") not in set(trials["trial"]):
        yield Finding(STATS, f"best.trial is not in {TRIALS}", "the number of a trial", repr(best.get("trial")))
        return
    row = trials.loc[best["trial"]].to_dict()
    for name in ("candidate", "params", "values"):
        yield from differences(STATS, TRIALS, plain(json.loads(row[name])), best.get(name), f"best.{name}")
    told = at(best, "validation")
    for metric, value in (told if isinstance(told, dict) else {}).items():
        expected = number(row.get(f"validation_{metric}"))
        yield from differing(STATS, f"best.validation.{metric} is not that of {TRIALS}", expected, value)
    values = {record.trial: record.values for record in complete}
    yield from differences(STATS, TRIALS, pareto(objectives, values), best.get("pareto"), "best.pareto")
    winners = [record.trial for record in tied(objectives, records)]
    if listed:
        sign = 1.0 if objectives[0].maximize else -1.0
        winners = [min(complete, key=lambda each: (-sign * each.values[0], each.trial)).trial] if complete else []
    if "tied" in best:  # the rule by which they are, an earlier version did not have
        yield from differing(STATS, f"best.trial is not the winner of {TRIALS}", winners[:1], [best["trial"]])
        yield from differences(STATS, TRIALS, sorted(winners), best["tied"], "best.tied")


def _record(row: Mapping[Any, Any]) -> TrialRecord:
    """Return as much of a trial's record as decides who wins."""
    reasons = json.loads(row["reasons"]) if isinstance(row.get("reasons"), str) else {}
    figures = {name: number(row.get(name)) for name in TIE}
    known = {name: value for name, value in figures.items() if not math.isnan(value) or name in reasons}
    same_as = row.get("same_as")
    return TrialRecord(
        trial=int(row["trial"]),
        outcome=Outcome(row["outcome"]),
        reason="read from a table",
        candidate={},
        params={},
        values=tuple(json.loads(row["values"])),
        figures=known,
        same_as=None if same_as is None or pd.isna(same_as) else int(same_as),
    )
