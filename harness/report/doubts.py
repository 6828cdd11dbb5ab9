"""What a reader must know before trusting a result: each warning has a code, its evidence in numbers, and a remedy."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from harness.problems import Problem, known_metrics, problems
from harness.records import NAN
from harness.report.edges import edges
from harness.report.load import RunFiles
from harness.report.stats import BaselineStats, Scores, Stats, TestStats
from harness.report.wording import plural, score

FAR = 1.25
"""Test loss over validation loss from which the two are far apart, if by more than two standard errors as well."""
FLATTERING = ("copies", "near-copies", "shared-groups", "target-leak")
"""Codes of what checks of the data notice that makes test scores too good."""
SOME = 0.05
"""Share of samples from which that matters."""
FEW = 50
"""Validation samples below which a choice among trials is largely luck."""


@dataclass(frozen=True)
class ResultWarning:
    """One reason to doubt a result; docs/results.md has the codes.

    >>> ResultWarning("tiny-validation", "40 samples chose among the trials", "Use folds").text
    '40 samples chose among the trials. Use folds.'
    """

    code: str
    evidence: str
    """In numbers."""
    remedy: str

    @property
    def text(self) -> str:
        """Evidence and remedy as sentences."""
        return f"{self.evidence[0].upper()}{self.evidence[1:]}. {self.remedy}."


@dataclass(frozen=True)
class _Result:
    """The winner's scores as the rules look at them."""

    stats: Stats
    validation: Scores
    test: Scores
    candidate: dict[str, object]
    sample_error: float
    """Standard deviation of one test sample's loss, in units of its mean; NaN where it is not known."""

    @property
    def problem(self) -> Problem:
        """The kind of problem."""
        return problems[self.stats["task"]["kind"]]

    @property
    def comparable(self) -> tuple[str, ...]:
        """The metrics in which baselines and winner mean the same: a Huber loss is no squared error."""
        names = dict.fromkeys([self.stats["objective"][0]["metric"], "loss"])
        return tuple(name for name in names if name != "loss" or self.candidate.get("loss") != "huber")

    def standard_error(self, metric: str, samples: float) -> float:
        """Return the standard error of a test score over so many samples; NaN where it is not known."""
        if self.problem.metric(metric).share:
            right = value(self.test, self.problem.step)
            return math.sqrt(right * (1 - right) / samples) if math.isfinite(right) else NAN
        return self.sample_error * value(self.test, "loss") / math.sqrt(samples) if metric == "loss" else NAN


def value(scores: Scores | None, metric: str) -> float:
    """Return a score, NaN where there is none."""
    found = (scores or {}).get(metric)
    return NAN if found is None else found


def undecided(test: TestStats) -> Scores:
    """Return the test scores of the most probable class: what baselines and guesses have, whatever the threshold is."""
    return {**test["metrics"], **(test["threshold"]["most_probable"] if "threshold" in test else {})}


def best_baseline(stats: Stats, metric: str) -> BaselineStats | None:
    """Return the baseline with the best test score; None where none was scored."""
    sign = -1.0 if maximized(stats, metric) else 1.0
    scored = [row for row in stats.get("baselines", []) if math.isfinite(value(row["test"], metric))]
    return min(scored, key=lambda row: sign * value(row["test"], metric), default=None)


def maximized(stats: Stats, metric: str) -> bool:
    """Tell whether more of a quality is better: as the search was told, else as its name says."""
    told = {item["metric"]: item["direction"] for item in stats["objective"]}
    return told[metric] == "maximize" if metric in told else known_metrics()[metric].maximize


def result_warnings(run: RunFiles) -> tuple[ResultWarning, ...]:
    """Return what is doubtful about the winner of a run, the gravest first; nothing of a run without test scores."""
    best, test = run.stats["best"], run.stats["test"]
    if best is None or test is None:
        return ()
    spread = _relative_spread(run.predictions, problems[run.stats["task"]["kind"]])
    result = _Result(run.stats, best["validation"], undecided(test), best["candidate"], spread)
    rules = (
        _worse_than_guessing,
        _worse_than_baseline,
        _flattered,
        _far_from_validation,
        _few_test_samples,
        _tiny_validation,
    )
    return (*(warning for rule in rules for warning in rule(result)), *_at_an_edge(run))


def _worse_than_guessing(result: _Result) -> Iterator[ResultWarning]:
    rows = result.stats.get("baselines", [])
    name = result.problem.baselines.naive if result.problem.baselines else result.problem.naive
    naive = next((row["test"] for row in rows if row["name"] == name), None)
    evidence = [
        f"test {doubt.title} {score(doubt.score)}: {doubt.compared}"
        + (f" {score(doubt.bound)}" if math.isfinite(doubt.bound) else "")
        for doubt in result.problem.doubts(_known(result.test), _known(naive), result.stats)
    ]
    if evidence:
        remedy = "Look for wrong targets or inputs first; then train longer or search other learning rates"
        yield ResultWarning("worse-than-guessing", "; ".join(evidence), remedy)


def _known(scores: Scores | None) -> Mapping[str, float]:
    """Return scores in which what is not known is NaN."""
    known = ((name, found) for name, found in (scores or {}).items() if found is not None)
    return defaultdict(lambda: NAN, known)


def _worse_than_baseline(result: _Result) -> Iterator[ResultWarning]:
    evidence = []
    names: dict[str, None] = {}
    for metric in result.comparable:
        rival = best_baseline(result.stats, metric)
        if rival is None:
            continue
        own, other = value(result.test, metric), value(rival["test"], metric)
        behind = other - own if maximized(result.stats, metric) else own - other
        if behind > 0:
            names[rival["name"]] = None
            difference = f"worse by {score(behind)}{_chance(result, metric, behind)}"
            evidence.append(f"test {metric} {score(own)} against {score(other)} of {rival['name']}, {difference}")
    if evidence:
        remedy = f"Use {' or '.join(names)}, or search more trials, epochs or a wider space"
        yield ResultWarning("worse-than-baseline", "; ".join(evidence), remedy)


def _chance(result: _Result, metric: str, behind: float) -> str:
    samples = result.stats["task"]["test"]
    error = result.standard_error(metric, samples) if samples else NAN
    return f" (within two standard errors on {plural(samples, 'sample')})" if behind <= 2 * error else ""


def _flattered(result: _Result) -> Iterator[ResultWarning]:
    """Yield what checks of the data noticed that makes the test score itself too good."""
    for each in result.stats["task"].get("suspicions", []):
        share = each["share"]
        if each["code"] in FLATTERING and (share is None or share >= SOME):
            yield ResultWarning(each["code"], each["evidence"], each["remedy"][0].upper() + each["remedy"][1:])


def _few_test_samples(result: _Result) -> Iterator[ResultWarning]:
    """Yield where the winner is ahead of the best baseline by less than its own score is sure to."""
    metric, samples = result.stats["objective"][0]["metric"], result.stats["task"]["test"]
    rival = best_baseline(result.stats, metric)
    if rival is None or metric not in result.comparable:
        return
    own, other = value(result.test, metric), value(rival["test"], metric)
    ahead = own - other if maximized(result.stats, metric) else other - own
    error = result.standard_error(metric, samples) if samples else NAN
    if 0 < ahead < error:
        yield ResultWarning(
            "few-test-samples",
            f"test {metric} {score(own)} is ahead of {score(other)} of {rival['name']} by {score(ahead)}, less than "
            f"its own standard error on {plural(samples, 'sample')}, {score(error)}",
            "Claim no lead: take the simpler model, raise split.test, or run harness compare over several seeds",
        )


def _at_an_edge(run: RunFiles) -> Iterator[ResultWarning]:
    for edge in edges(run):
        yield ResultWarning("edge-of-space", edge.evidence, edge.remedy)


def _far_from_validation(result: _Result) -> Iterator[ResultWarning]:
    validation, test = value(result.validation, "loss"), value(result.test, "loss")
    task, how = result.stats["task"], result.stats["test"]["final"] if result.stats["test"] else ""
    # Validation and test are both samples: their difference has the error of both.
    samples = 1 / (1 / max(1, task["test"]) + 1 / max(1, task["validation"]))
    error = result.standard_error("loss", samples)
    if not (validation > 0 and test > FAR * validation) or test - validation <= 2 * error:
        return
    errors = f", {(test - validation) / error:.1f} standard errors" if error > 0 else ""
    evidence = (
        f"test loss {score(test)} against {score(validation)} on validation "
        f"({100 * (test / validation - 1):+.0f} %{errors})"
    )
    if how == "refit":
        remedy = "Compare with training.final: keep, which keeps the weights that were chosen"
        yield ResultWarning("refit-far-from-validation", evidence, remedy)
    else:
        remedy = "Trust the test score; choose on more validation samples, or among fewer trials"
        yield ResultWarning("test-far-from-validation", evidence, remedy)


def _tiny_validation(result: _Result) -> Iterator[ResultWarning]:
    samples = result.stats["task"]["validation"]
    if 0 < samples < FEW:
        chosen = plural(result.stats["outcomes"].get("complete", 0), "complete trial")
        unit = result.problem.step
        step = f", each of them {score(1 / samples)} of {unit}" if unit else ""
        evidence = f"{plural(samples, 'validation sample')} chose among {chosen}{step}"
        remedy = "The ranking of the trials is unreliable; use a larger split.validation or several seeds"
        yield ResultWarning("tiny-validation", evidence, remedy)


def _relative_spread(predictions: pd.DataFrame | None, problem: Problem) -> float:
    """Return the standard deviation of a test sample's loss over its mean; NaN where predictions do not tell it."""
    losses = None if predictions is None or len(predictions) < 2 else problem.test_losses(predictions)
    mean = NAN if losses is None else float(losses.mean())
    return float(losses.std(ddof=1)) / mean if losses is not None and mean > 0 else NAN
