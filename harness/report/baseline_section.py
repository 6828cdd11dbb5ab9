"""The chapter that compares the winner with scikit-learn's models."""

from __future__ import annotations

import math

from harness.report.blocks import Section, Table
from harness.report.classical import bought
from harness.report.doubts import maximized, undecided, value
from harness.report.findings import Findings
from harness.report.stats import Scores, Stats
from harness.report.wording import NOT_MEASURED, duration, score

_TEXT = (
    "scikit-learn's models with its defaults unless remarked, fitted on the training samples to be scored on "
    "validation, and on both to be scored on the same test samples as the final model, in the same opening of the test "
    "set. The time of the first row is that of its one trial, of a baseline that of both fits and their scoring."
)
_UNDECIDED = "All of them, the final model too, are compared by the most probable class here, not at its threshold."


def baseline_section(findings: Findings) -> Section:
    """Return the chapter; it is empty of a run without a winner, or with neither baselines nor classical candidates."""
    stats = findings.stats
    said = tuple(filter(None, [bought(findings.run.trials, stats)]))
    if stats["best"] is None or not stats.get("baselines"):
        return Section(anchor="baselines", title="Comparison with baselines", text=said)
    at_threshold = (_UNDECIDED,) if stats["test"] and "threshold" in stats["test"] else ()
    return Section(
        anchor="baselines",
        title="Comparison with baselines",
        text=(*said, _TEXT, *at_threshold),
        blocks=(baseline_table(findings),),
    )


def baseline_table(findings: Findings) -> Table:
    """Return the winner, marked, and each baseline with its scores on validation and test."""
    stats, best, row = findings.stats, findings.stats["best"], findings.winner
    assert best is not None
    assert row is not None
    first = findings.metrics[0]
    others = [] if first == "loss" else ["loss"]
    test = undecided(stats["test"]) if stats["test"] else None
    own = (best["validation"], test)
    name = f"{findings.chosen_word}: {row['architecture']}, trial {best['trial']}"
    rows = [(name, *_scores([first], *own), "", *_scores(others, *own), duration(row["seconds"]), "")]
    for baseline in stats.get("baselines", []):
        parts = (baseline["validation"], baseline["test"])
        compared = (*_scores([first], *parts), _ahead(stats, first, test, baseline["test"]), *_scores(others, *parts))
        rows.append((baseline["name"], *compared, duration(baseline["seconds"]), baseline["note"]))
    titles = [f"{part} {metric}" for metric in (first, *others) for part in ("validation", "test")]
    columns = (
        "model",
        *titles[:2],
        f"{'selected trial' if findings.several else 'winner'} better by",
        *titles[2:],
        "time",
        "remarks",
    )
    return Table(
        caption="The final model and the baselines",
        columns=columns,
        rows=tuple(rows),
        numeric=frozenset(columns[1:-1]),
        marked=1,
    )


def _scores(metrics: list[str], validation: Scores, test: Scores | None) -> tuple[str, ...]:
    return tuple(score(value(part, metric)) for metric in metrics for part in (validation, test))


def _ahead(stats: Stats, metric: str, own: Scores | None, other: Scores | None) -> str:
    """Return by how much the winner's test score is better, with its sign."""
    difference = value(own, metric) - value(other, metric)
    if math.isnan(difference):
        return NOT_MEASURED
    ahead = difference if maximized(stats, metric) else -difference
    return f"+{score(ahead)}" if ahead > 0 else score(ahead)
