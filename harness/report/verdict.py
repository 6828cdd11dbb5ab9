"""The sentences on top of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.records import Outcome
from harness.report.final_section import final_words
from harness.report.findings import Findings
from harness.report.front_section import front_line, limits_line, selected_line
from harness.report.statistics import ended, trained
from harness.report.stats import BestStats, TestStats
from harness.report.wording import clipped, goal, plural, score, whole


def verdict(findings: Findings) -> Iterator[str]:
    """Yield the sentences that a reader must have read: what was found, how it does on the test set, and the limits."""
    if findings.several and findings.winner is not None:
        yield front_line(findings)
        yield selected_line(findings)
    else:
        yield _winner_line(findings)
    yield _test_line(findings)
    yield limits_line(findings)


def _winner_line(findings: Findings) -> str:
    best, winner = findings.stats["best"], findings.winner
    if best is None or winner is None:
        return f"No winner: none of the {plural(len(findings.run.trials), 'trial')} completed."
    scores = [f"{metric} {goal(metric, value)}" for metric, value in findings.winner_values.items()]
    error = best.get("standard_error")
    if error is not None:
        scores[0] += f" (standard error {goal(findings.metrics[0], error)}{_spread(findings, winner)})"
    return (
        f"Winner: trial {best['trial']}, {winner['architecture']} {_made(winner['optimizer'])}: "
        f"validation {', '.join(scores)}, {_why_it_won(findings, best, winner)}."
    )


def _made(optimizer: str) -> str:
    return f"trained with {optimizer}" if optimizer else "fitted by scikit-learn"


def _spread(findings: Findings, winner: Mapping[Any, Any]) -> str:
    """Say how much the folds, or the repeats, of the winner differ."""
    ways = findings.stats.get("evaluation", {}).items()
    deviation = goal(findings.metrics[0], winner["value_sd"])
    return "".join(f", standard deviation over {count} {what} {deviation}" for what, count in ways)


def _why_it_won(findings: Findings, best: BestStats, winner: Mapping[Any, Any]) -> str:
    """Say what the winner is the best or the cheapest of."""
    complete = ended(findings.run.trials, Outcome.COMPLETE)
    repeats = int((complete & ~trained(findings.run.trials)).sum())
    repeated = f" ({repeats:,} of them repeated)" if repeats else ""
    tied = len(best.get("tied", ()))
    is_best = f"the best of {plural(int(complete.sum()), 'complete trial')}{repeated}"
    if tied < 2 or findings.best.empty:
        return is_best
    leader = findings.best.iloc[0]
    cheapest = f"the cheapest ({whole(winner['parameters'])} parameters) of {plural(tied, 'trial')}"
    if leader["trial"] == best["trial"]:
        return f"{is_best} and {cheapest} within one standard error of it"
    value = goal(findings.metrics[0], leader["value"])
    return (
        f"{cheapest} within one standard error of the best "
        f"(trial {leader['trial']}, {value}, {whole(leader['parameters'])} parameters)"
    )


def _test_line(findings: Findings) -> str:
    test = findings.stats["test"]
    if test is None:
        ends = findings.book.outcomes
        failed = ends[~ends["what"].isin([Outcome.COMPLETE, Outcome.PRUNED])]
        if findings.stats["best"] is not None or failed.empty:
            return "Test: not evaluated."
        first = failed.sort_values("trials", ascending=False, kind="stable").iloc[0]
        return f"Most ended as {first['what']} ({first['trials']}), most often: {clipped(first['reason'], 240)}"
    metrics = dict.fromkeys([*findings.metrics, *((findings.interval.metric,) if findings.interval else ())])
    parts = [
        f"{name} {score(test['metrics'][name])}{_within(findings, name)}" for name in metrics if name in test["metrics"]
    ]
    samples = plural(findings.stats["task"]["test"], "sample")
    only = f" (trial {findings.stats['best']['trial']} only)" if findings.several and findings.stats["best"] else ""
    return f"Test{only}: {', '.join(parts)} on {samples}, {final_words(test)}; {_opened(test)}."


def _within(findings: Findings, metric: str) -> str:
    sure = findings.interval
    return f" (95 % interval {score(sure.low)} to {score(sure.high)})" if sure and sure.metric == metric else ""


def _opened(test: TestStats) -> str:
    once = test["opened"] == 1
    return (
        "the test set was opened once"
        if once
        else f"the test set was opened {test['opened']} times, so this score is optimistic"
    )
