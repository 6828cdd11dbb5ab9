"""What gates predicted, against what was measured, and what the limits of a space rejected.

All of it is decided by numbers: predictions and figures of the trials, and the limits. A trial that was told the result
of an earlier one is no evidence of its own, and counts nowhere here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.records import MEMORY_METERS, NAN, Outcome, memory_mib
from harness.report.load import RunFiles
from harness.report.statistics import ended, trained
from harness.study.pareto import Flags, Floats

TOLERANCE = 0.25
"""Error of a prediction, as a share of what was measured, up to which it is called close."""

STAGES = ("counted", "probed", "measured")
"""Where a trial can break a limit: gate 0, which only counts; gate 1, which probes; or in its own training."""

_PLAUSIBLE = (1e-12, 1e12)
"""Milliseconds, MiB, seconds and joules beyond which no meter reads."""


@dataclass(frozen=True)
class Gates:
    """The predictions of a run, and what came of them."""

    pairs: pd.DataFrame
    """One row a trial and prediction that was put to the test: ``name``, ``trial``, ``predicted``, ``measured``."""
    calibration: pd.DataFrame
    """One row a prediction: see :func:`calibrated`."""
    rejections: pd.DataFrame
    """One row a limit: see :func:`rejections`."""
    predicted: int
    """Trials of which anything was predicted."""
    unexplained: int
    """Infeasible trials that break no limit by any number that was recorded of them."""


def judge_gates(run: RunFiles) -> Gates:
    """Return what the gates of a run predicted and rejected."""
    own = run.trials[trained(run.trials)]
    limits = {name: float(limit) for name, limit in run.limits.model_dump().items() if limit is not None}
    tested = pairs(own)
    infeasible = own[ended(own, Outcome.INFEASIBLE)]
    broken = broken_limits(infeasible, run.epochs, limits)
    predictions = [name for name in own.columns if name.startswith("predicted_")]
    return Gates(
        pairs=tested,
        calibration=calibrated(tested),
        rejections=rejections(broken, limits),
        predicted=int(own[predictions].notna().any(axis=1).sum()),
        unexplained=len(infeasible) - broken["trial"].nunique(),
    )


def pairs(trials: pd.DataFrame) -> pd.DataFrame:
    """Return every prediction that was put to the test, with the columns of ``Gates.pairs``.

    Both numbers are plausible ones, above zero, so that their ratio says something. Seconds of all epochs have no meter
    of their own, and are left out.
    """
    memory = _memory(trials)
    measured = {
        "latency_ms": _floats(trials, "latency_p50_ms"),
        "memory_mb": memory,
        "static_memory_mb": memory,
        "epoch_s": _floats(trials, "epoch_s"),
        "energy_j_per_sample": _floats(trials, "energy_j_per_sample"),
    }
    found = [
        pd.DataFrame(
            {
                "name": name,
                "trial": trials["trial"],
                "predicted": _floats(trials, f"predicted_{name}"),
                "measured": came,
            }
        )
        for name, came in measured.items()
    ]
    together: pd.DataFrame = pd.concat(found, ignore_index=True)
    low, high = _PLAUSIBLE
    sound = together["predicted"].between(low, high) & together["measured"].between(low, high)
    return together.loc[sound].reset_index(drop=True)


def calibrated(tested: pd.DataFrame) -> pd.DataFrame:
    """Return how well each prediction of ``tested``, the columns of ``Gates.pairs``, was met.

    One row a name: ``trials``; ``ratio``, the median of measured over predicted (above 1: too low a prediction);
    ``error``, the median of the absolute error as a share of what was measured; ``close``, the share of trials whose
    error is at most TOLERANCE.
    """
    ratio = tested["measured"] / tested["predicted"]
    error = (tested["predicted"] / tested["measured"] - 1).abs()
    judged = tested.assign(ratio=ratio, error=error, close=error <= TOLERANCE).groupby("name", sort=False)
    return judged.agg(
        trials=("trial", "size"), ratio=("ratio", "median"), error=("error", "median"), close=("close", "mean")
    ).reset_index()


def broken_limits(infeasible: pd.DataFrame, epochs: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Return which limits the trials break, and at which of STAGES first: ``trial``, ``limit``, ``stage``.

    ``epochs`` are those of all trials, ``limits`` has values by the names in :class:`harness.spec.Limits`. A trial may
    break several of them.
    """
    numbers = _staged(infeasible, epochs)
    rows: list[tuple[int, str, str]] = []
    for name, limit in limits.items():
        over: Flags = np.column_stack(numbers[name]) > limit
        rows += [
            (int(trial), name, STAGES[int(flags.argmax())])
            for trial, flags in zip(infeasible["trial"], over, strict=True)
            if flags.any()
        ]
    return pd.DataFrame(rows, columns=["trial", "limit", "stage"])


def rejections(broken: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """Return one row a limit: ``limit``, ``at_most``, ``trials`` that broke it, and how many of them at each stage."""
    rows = []
    for name, limit in limits.items():
        stages = broken["stage"][broken["limit"] == name]
        counts = {stage: int((stages == stage).sum()) for stage in STAGES}
        rows.append({"limit": name, "at_most": limit, "trials": len(stages), **counts})
    return pd.DataFrame(rows, columns=["limit", "at_most", "trials", *STAGES])


def _staged(trials: pd.DataFrame, epochs: pd.DataFrame) -> Mapping[str, tuple[Floats, Floats, Floats]]:
    """Return for each limit the number that each of STAGES holds against it, NaN where it has none."""
    nothing = np.full(len(trials), NAN)
    foretold = {
        name: _floats(trials, f"predicted_{name}")
        for name in ("latency_ms", "memory_mb", "static_memory_mb", "train_seconds", "energy_j_per_sample")
    }
    spent_s = (epochs["train_s"] + epochs["validation_s"].fillna(0.0)).groupby(epochs["trial"]).sum()
    # A training is stopped by what its epochs came to, and judged in the end by the median of them.
    summed_s = trials["trial"].map(spent_s).to_numpy(np.float64)
    trained_s = np.fmax(summed_s, _floats(trials, "epochs") * _floats(trials, "epoch_s"))
    return {
        "parameters": (_floats(trials, "parameters"), nothing, nothing),
        "flops": (_floats(trials, "flops"), nothing, nothing),
        "latency_ms": (nothing, foretold["latency_ms"], _floats(trials, "latency_p50_ms")),
        "memory_mb": (foretold["static_memory_mb"], foretold["memory_mb"], _memory(trials)),
        "energy_j_per_sample": (nothing, foretold["energy_j_per_sample"], _floats(trials, "energy_j_per_sample")),
        "train_seconds": (nothing, foretold["train_seconds"], trained_s),
    }


def _memory(trials: pd.DataFrame) -> Floats:
    meters = trials[list(MEMORY_METERS)].to_numpy(np.float64)
    return np.array([memory_mib(dict(zip(MEMORY_METERS, row, strict=True))) for row in meters], dtype=np.float64)


def _floats(trials: pd.DataFrame, column: str) -> Floats:
    return trials[column].to_numpy(np.float64)
