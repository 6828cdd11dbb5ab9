"""What the trials add up to: rank, Pareto front, importances, and how sure a score is.

A trial that was told the result of an earlier one is no evidence of its own, and counts nowhere here. Nothing is random
beyond a fixed seed, so the same frames give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.problems import LOSS, problems
from harness.records import NAN, Outcome
from harness.report.load import PARAMETER, decoded, parameter_columns
from harness.spec import COST
from harness.study.pareto import Flags, Floats, pareto_front

LEAST_TRIALS = 8
"""Complete trials below which importances would be noise."""

_FOREST_TREES = 100
_PERMUTATIONS = 5
_ROWS_AT_ONCE = 100_000
_MOST_SHUFFLED = 2_000
"""Trials that are shuffled: of more, so many drawn at random. What they say differs little from what all would."""


@dataclass(frozen=True)
class Importances:
    """How much each searched parameter matters to the first objective.

    ``table`` has the columns parameter, importance (drop in R2 when the parameter is shuffled), spread (standard
    deviation over the shuffles) and reason (why importance is NaN), the most important first.
    """

    table: pd.DataFrame
    explained: float
    """Out-of-bag R2 of the forest: how far the importances can be trusted; NaN when there is none."""
    reason: str
    """Why there are none at all; empty when there are."""

    def __repr__(self) -> str:
        if self.reason:
            return f"<{type(self).__name__}: none, {self.reason}>"
        known = self.table[self.table["importance"].notna()].head(5)
        parts = [f"{name} {value:.3g}" for name, value in zip(known["parameter"], known["importance"], strict=True)]
        return f"<{type(self).__name__}: {', '.join(parts)}; out-of-bag R² {self.explained:.2f}>"

    def _repr_html_(self) -> str:
        html: str = self.table.to_html(index=False)
        return html


def ended(trials: pd.DataFrame, *outcomes: Outcome) -> Flags:
    """Return which trials ended in one of these ways."""
    return np.asarray(trials["outcome"].isin(list(outcomes)), dtype=np.bool_)


def trained(trials: pd.DataFrame) -> Flags:
    """Return which trials were trained, rather than told the result of an earlier trial of the same candidate."""
    return np.asarray(trials["same_as"].isna(), dtype=np.bool_)


def objective_values(trials: pd.DataFrame, objectives: int) -> Floats:
    """Return the objectives of every trial, shape (trials, objectives), NaN unless it is complete."""
    table = np.full((len(trials), objectives), NAN)
    for row, values in enumerate(decoded(trials["values"])):
        if len(values) == objectives:
            table[row] = [NAN if value is None else value for value in values]
    return table


def ranked(trials: pd.DataFrame, objective: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the complete trials that were trained, best first: by the first objective, ties by trial number.

    With several objectives the Pareto front comes before the rest. The column ``front`` says who is in it.
    """
    maximize = [item["direction"] == "maximize" for item in objective]
    values = objective_values(trials, len(objective))
    scored = ended(trials, Outcome.COMPLETE) & trained(trials) & ~np.isnan(values).any(axis=1)
    chosen, values = trials[scored], values[scored]
    front = pareto_front(values, maximize)
    first = -values[:, 0] if maximize[0] else values[:, 0]
    behind = ~front if len(objective) > 1 else np.zeros(len(chosen), dtype=np.bool_)
    order = np.lexsort((chosen["trial"].to_numpy(), first, behind))
    return chosen.assign(front=front).iloc[order].reset_index(drop=True)


def chosen_word(objective: Sequence[Mapping[str, Any]]) -> str:
    """Return what the trial is called that becomes the final model: of several objectives none is the best of all."""
    return "winner" if len(objective) == 1 else "selected"


def leading(best: pd.DataFrame, winner: Mapping[str, Any] | None, limit: int, *, word: str = "winner") -> pd.DataFrame:
    """Return the first ``limit`` of the :func:`ranked` trials, and the winner where it comes later.

    The column ``rank`` counts from 1; ``choice`` says by ``word`` which one is the winner, and which are tied with the
    best by ``best`` of ``stats.json``, which is ``winner``.
    """
    chosen = winner["trial"] if winner else -1
    tied = (winner or {}).get("tied", ())
    choice = [word if trial == chosen else "tied" if trial in tied else "" for trial in best["trial"]]
    shown = best.assign(rank=range(1, len(best) + 1), choice=choice)
    return shown[(shown["rank"] <= limit) | (shown["choice"] == word)].reset_index(drop=True)


def summary_table(trials: pd.DataFrame, stats: Mapping[str, Any], limit: int = 5) -> list[dict[str, Any]]:
    """Return the best trials as rows to print, the winner among them.

    A row has rank (only with one objective), choice (see :func:`leading`), trial, architecture, optimizer, each
    objective by its metric's name, parameters, latency_p50_ms and seconds; no objective comes twice, and NaN stands
    where nothing was measured.
    ``trials`` and ``stats`` are what ``trials.parquet`` and ``stats.json`` hold.
    """
    objective = stats["objective"]
    best = leading(ranked(trials, objective), stats.get("best"), limit, word=chosen_word(objective))
    values = objective_values(best, len(objective))
    judged = {COST[item["metric"]][1] for item in objective if item["metric"] in COST}
    figures = [name for name in ("parameters", "latency_p50_ms", "seconds") if name not in judged]
    rows: list[dict[str, Any]] = []
    for row, scores in zip(best.to_dict("records"), values, strict=True):
        named = {name: str(row[name]) for name in ("architecture", "optimizer")}
        goals = {item["metric"]: float(value) for item, value in zip(objective, scores, strict=True)}
        measured = {name: float(row[name]) for name in figures}
        place = {"rank": int(row["rank"]), "choice": str(row["choice"]), "trial": int(row["trial"])}
        if len(objective) > 1:
            del place["rank"]
        rows.append({**place, **named, **goals, **measured})
    return rows


def headline(stats: Mapping[str, Any]) -> dict[str, float]:
    """Return the test scores to print: the problem's usual ones, the objectives, and the user's own metrics."""
    problem, scores = problems[stats["task"]["kind"]], stats["test"]["metrics"]
    usual = {LOSS, *problem.headline, *(item["metric"] for item in stats["objective"])}
    others = {metric.name for metric in problem.metrics} - usual
    return {name: v for name, v in scores.items() if v is not None and math.isfinite(v) and name not in others}


def best_so_far(values: Floats, *, maximize: bool) -> Floats:
    """Return the running best of ``values`` in order; NaN before the first value."""
    return np.fmax.accumulate(values) if maximize else np.fmin.accumulate(values)


def encoded(column: pd.Series) -> Floats:
    """Return a parameter's values as ordered numbers for trees, where "absent" is a level of its own, below all."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        codes = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=NAN)
    else:
        present = column.dropna().map(str)
        levels = {level: code for code, level in enumerate(sorted(set(present)))}
        codes = column.map(lambda value: NAN if pd.isna(value) else float(levels[str(value)])).to_numpy(np.float64)
    known = codes[~np.isnan(codes)]
    below = known.min() - max(float(np.ptp(known)), 1.0) if len(known) else 0.0
    return np.where(np.isnan(codes), below, codes)


def importances(trials: pd.DataFrame, seed: int = 0) -> Importances:
    """Return the permutation importance of every searched parameter, conditional ones included.

    A random forest learns the first objective from the parameters of the complete trials; a parameter's importance is
    how much the forest's R2 on them drops when that parameter is shuffled (Breiman, 2001, Machine Learning 45:5). A
    forest that predicts no trial it has not seen (out-of-bag R2 not above 0) has nothing to say, and gives none. Each
    candidate counts once: a repeat in and out of bag would make the forest look better than it is. Of more than 2,000
    trials so many, drawn at random, are shuffled.
    Parameters that exist only with one choice share the credit of that choice.
    """
    columns = parameter_columns(trials)
    complete = trials[ended(trials, Outcome.COMPLETE) & trained(trials) & trials["value"].notna()]
    reason = _why_no_importances(complete, columns)
    if reason:
        return Importances(_sorted_importances(_without(columns, reason)), NAN, reason)
    features = np.column_stack([encoded(complete[name]) for name in columns])
    mean, spread, explained = _shuffled_forest(features, complete["value"].to_numpy(np.float64), seed)
    if not explained > 0:
        reason = (
            f"the parameters do not predict the objective of {len(complete)} complete trials (a random forest's "
            f"out-of-bag R² is {explained:.2f}; the mean alone has 0)"
        )
        return Importances(_sorted_importances(_without(columns, reason)), explained, reason)
    rows = []
    for position, name in enumerate(columns):
        varied = bool(np.ptp(features[:, position]) > 0)
        figures = (float(mean[position]), float(spread[position]), "") if varied else (NAN, NAN, "never varied")
        rows.append((name.removeprefix(PARAMETER), *figures))
    return Importances(_sorted_importances(rows), explained, "")


def _without(columns: Sequence[str], reason: str) -> list[tuple[str, float, float, str]]:
    return [(name.removeprefix(PARAMETER), NAN, NAN, reason) for name in columns]


def _why_no_importances(complete: pd.DataFrame, columns: list[str]) -> str:
    if not columns:
        return "the space has no parameter that varies"
    if len(complete) < LEAST_TRIALS:
        return f"too few complete trials: {len(complete)}, needed {LEAST_TRIALS}"
    if complete["value"].nunique() < 2:
        return "all complete trials have the same objective"
    return ""


def _shuffled_forest(features: Floats, values: Floats, seed: int) -> tuple[Floats, Floats, float]:
    """Return mean and spread of each column's permutation importance, and the forest's out-of-bag R2."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_FOREST_TREES, oob_score=True, n_jobs=1, random_state=seed)
    forest.fit(features, values)
    rng = np.random.default_rng(seed)
    if len(values) > _MOST_SHUFFLED:
        drawn = np.random.default_rng(seed).choice(len(values), _MOST_SHUFFLED, replace=False)
        features, values = features[drawn], values[drawn]
    (whole,) = _r2(forest.predict(features)[None], values)
    columns = np.arange(features.shape[1])
    # Many shuffles in one call: a forest takes as long to say something of a few rows as of a few hundred.
    together = max(1, _ROWS_AT_ONCE // (_PERMUTATIONS * len(features)))
    parts = (columns[start : start + together] for start in range(0, len(columns), together))
    shuffled = (np.concatenate([_shuffled(features, column, rng) for column in part]) for part in parts)
    scores = np.concatenate([_r2(forest.predict(rows).reshape(-1, len(values)), values) for rows in shuffled])
    drops = whole - scores.reshape(len(columns), _PERMUTATIONS)
    return drops.mean(axis=1), drops.std(axis=1), float(forest.oob_score_)


def _shuffled(features: Floats, column: int, rng: np.random.Generator) -> Floats:
    """Return the rows once for each shuffle of a column."""
    rows: Floats = np.tile(features, (_PERMUTATIONS, 1))
    rows[:, column] = np.concatenate([rng.permutation(features[:, column]) for _ in range(_PERMUTATIONS)])
    return rows


def _r2(predicted: Floats, values: Floats) -> Floats:
    """Return the R2 of each row of predictions."""
    left: Floats = np.square(predicted - values).sum(axis=1)
    found: Floats = 1.0 - left / np.square(values - values.mean()).sum()
    return found


def _sorted_importances(rows: list[tuple[str, float, float, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["parameter", "importance", "spread", "reason"])
    return table.sort_values(["importance", "parameter"], ascending=[False, True], ignore_index=True)
