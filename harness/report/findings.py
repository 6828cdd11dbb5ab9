"""Everything that is computed from a run, once, for every form of its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.problems import Interval, Problem, problems
from harness.report.gates import Gates, judge_gates
from harness.report.hypervolume import Hypervolume, hypervolume
from harness.report.load import RunFiles
from harness.report.notebook import run_html, run_line
from harness.report.ped_anova import PedAnova, ped_anova
from harness.report.statistics import (
    Importances,
    chosen_word,
    importances,
    objective_values,
    ranked,
)
from harness.report.stats import Stats
from harness.store.ledger import Ledger, ledger


@dataclass(frozen=True)
class Findings:
    """A run with what its trials add up to."""

    run: RunFiles
    best: pd.DataFrame
    """Complete trials that were trained, best first."""
    book: Ledger
    """Where the device-seconds went."""
    gates: Gates
    """What was predicted, and what came of it."""
    importances: Importances
    ped_anova: PedAnova
    interval: Interval | None
    winner: Mapping[Any, Any] | None
    """The row of ``trials.parquet`` of the trial that became the final model."""

    @property
    def stats(self) -> Stats:
        """The contents of ``stats.json``."""
        return self.run.stats

    @property
    def problem(self) -> Problem:
        """The kind of problem."""
        return problems[self.stats["task"]["kind"]]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the objectives, the first first."""
        return tuple(item["metric"] for item in self.stats["objective"])

    @property
    def several(self) -> bool:
        """Whether there are several objectives, so that a Pareto front takes the place of a best trial."""
        return len(self.metrics) > 1

    @property
    def chosen_word(self) -> str:
        """What the trial is called that became the final model."""
        return chosen_word(self.stats["objective"])

    @property
    def maximize(self) -> tuple[bool, ...]:
        """Whether each objective is to grow."""
        return tuple(item["direction"] == "maximize" for item in self.stats["objective"])

    @property
    def hypervolume(self) -> Hypervolume:
        """The hypervolume of the Pareto front, of a search by several objectives."""
        return hypervolume(objective_values(self.best[self.best["front"]], len(self.metrics)), self.maximize)

    @property
    def winner_values(self) -> dict[str, float | None]:
        """The winner's objectives by metric; empty when there is no winner."""
        return {} if self.winner is None else dict(zip(self.metrics, json.loads(self.winner["values"]), strict=True))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {run_line(self.run.trials, self.stats)}>"

    def _repr_html_(self) -> str:
        return run_html(self.run.trials, self.stats)


def analyse(run: RunFiles) -> Findings:
    """Compute everything that a report of ``run`` says beyond its files."""
    best = run.stats["best"]
    winner = None
    if best is not None:
        winner = run.trials[run.trials["trial"] == best["trial"]].to_dict("records")[0]
    return Findings(
        run=run,
        best=ranked(run.trials, run.stats["objective"]),
        book=ledger(run.trials),
        gates=judge_gates(run),
        importances=importances(run.trials),
        ped_anova=ped_anova(
            run.trials, maximize=run.stats["objective"][0]["direction"] == "maximize", log_sampled=run.log_sampled
        ),
        interval=_interval(run),
        winner=winner,
    )


def _interval(run: RunFiles) -> Interval | None:
    """Return how sure the test score is: from the predictions, else as the run itself recorded it."""
    test = run.stats["test"]
    if test is None:
        return None
    if run.predictions is not None and len(run.predictions) and "target" in run.predictions:
        targets, predicted = (run.predictions[name].to_numpy() for name in ("target", "predicted"))
        return problems[run.stats["task"]["kind"]].interval(targets, predicted)
    for metric, (recorded_low, recorded_high) in sorted((test.get("interval") or {}).items()):
        if recorded_low is not None and recorded_high is not None:
            return Interval(metric, recorded_low, recorded_high, "as recorded")
    return None
