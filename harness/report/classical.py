"""What deep learning bought: the best network beside the best of scikit-learn's models."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from harness.problems import problems
from harness.records import NAN, Outcome
from harness.report.doubts import best_baseline, maximized, undecided, value
from harness.report.stats import Stats
from harness.report.wording import duration, number, score
from harness.spec import COST

_Z = 1.959964
"""Standard errors on either side of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two that are compared."""

    name: str
    score: float
    error: float
    """The standard error of the score; NaN where it is not known."""
    seconds: float
    energy_j: float


def bought(trials: pd.DataFrame, stats: Stats) -> str:
    """Say what the best network is worth beside the best classical model, and took; "" where one of them is missing.

    Classical candidates of the search are compared on validation, as the search did. Where there were none, the final
    model, if it is a network, is compared with the best baseline on the test samples. What is within the error of both
    is ahead, and beats nothing.
    """
    metric = stats["objective"][0]["metric"]
    sides = next(_sides(trials, stats, metric), None) if metric not in COST else None
    if sides is None:
        return ""
    network, classical, part = sides
    ahead = network.score - classical.score if maximized(stats, metric) else classical.score - network.score
    half = _Z * math.hypot(network.error, classical.error)
    interval = (
        f" (95 % interval {score(abs(ahead) - half)} to {score(abs(ahead) + half)} if their errors are independent)"
    )
    what = f"{score(abs(ahead))} {metric} on {part}{interval if math.isfinite(half) else ''}"
    named = f"the best network ({network.name})", f"the best classical model ({classical.name})"
    if ahead == 0:
        said = f"{named[0]} and {named[1]} are level in {metric} on {part}"
    else:
        better, worse = named if ahead > 0 else named[::-1]
        said = f"{better} {'is ahead of' if half >= abs(ahead) else 'beats'} {worse} by {what}"
    costs = " and ".join(_costs(network, classical))
    return f"{said[0].upper()}{said[1:]}; " + (
        f"the network took {costs}." if costs else "their cost was not measured."
    )


def _sides(trials: pd.DataFrame, stats: Stats, metric: str) -> Iterator[tuple[_Side, _Side, str]]:
    """Yield the network, the classical model, and the part of the data that they are compared on, or nothing."""
    complete = trials[(trials["outcome"] == Outcome.COMPLETE) & trials["value"].notna() & trials["same_as"].isna()]
    ordered = complete.sort_values("value", ascending=not maximized(stats, metric), kind="stable")
    of_classical = ordered["optimizer"].fillna("") == ""  # scikit-learn fits them
    networks, classical = ordered[~of_classical], ordered[of_classical]
    if networks.empty:
        return
    if not classical.empty:
        yield _of_trial(networks.iloc[0]), _of_trial(classical.iloc[0]), "validation"
    yield from _beside_baseline(networks, stats, metric)


def _beside_baseline(networks: pd.DataFrame, stats: Stats, metric: str) -> Iterator[tuple[_Side, _Side, str]]:
    best, test, rival = stats["best"], stats["test"], best_baseline(stats, metric)
    if best is None or test is None or rival is None:
        return
    own = networks[networks["trial"] == best["trial"]]
    known = value(undecided(test), metric), value(rival["test"], metric)
    # A Huber loss is no squared error.
    if own.empty or not all(map(math.isfinite, known)) or (metric == "loss" and _loss(stats) == "huber"):
        return
    errors = [_error(stats, metric, each) for each in known]
    row = own.iloc[0]
    network = _Side(f"{row['architecture']}, trial {best['trial']}", known[0], errors[0], *_taken(row))
    seconds = NAN if rival["seconds"] is None else rival["seconds"]
    yield network, _Side(f"{rival['name']}, a baseline", known[1], errors[1], seconds, NAN), "test"


def _loss(stats: Stats) -> object:
    return stats["best"]["candidate"].get("loss") if stats["best"] else None


def _error(stats: Stats, metric: str, share: float) -> float:
    """Return the standard error of a share of the test samples; NaN of whatever is no share of them."""
    samples = stats["task"]["test"]
    known = problems[stats["task"]["kind"]].metric(metric) if metric != "loss" else None
    return math.sqrt(share * (1.0 - share) / samples) if known is not None and known.share and samples else NAN


def _of_trial(row: pd.Series) -> _Side:
    return _Side(f"{row['architecture']}, trial {row['trial']}", row["value"], float(row["value_se"]), *_taken(row))


def _taken(row: pd.Series) -> tuple[float, float]:
    return float(row["seconds"]), float(row["energy_j"])


def _costs(network: _Side, classical: _Side) -> Iterator[str]:
    """Yield how many times the seconds and the energy the network took, of those that are known."""
    if network.seconds > 0 and classical.seconds > 0:
        both = f"{duration(network.seconds)} against {duration(classical.seconds)}"
        yield f"{_share(network.seconds / classical.seconds)} the time ({both})"
    if network.energy_j > 0 and classical.energy_j > 0:
        both = f"{number(network.energy_j)} J against {number(classical.energy_j)} J"
        yield f"{_share(network.energy_j / classical.energy_j)} the energy ({both})"


def _share(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio >= 1.0 else f"{100 * ratio:.2g} % of"
