"""The chapter on the average of the best trials, where one was made."""

from __future__ import annotations

from typing import Literal

from harness.report.blocks import Section, Table
from harness.report.findings import Findings
from harness.report.stats import AverageStats
from harness.report.wording import number, plural, score, whole

_NAMES: dict[Literal["ensemble", "best", "trial"], str] = {
    "ensemble": "average of trials (ensemble/)",
    "best": "final model (best/)",
    "trial": "the best trial alone",
}

_COSTS = ("latency_p50_ms", "weights_mib")


def average_section(findings: Findings) -> Section:
    """Return the chapter; it is empty of a run whose trials were not averaged."""
    average, title = findings.run.average, "Average of the best trials"
    if average is None:
        return Section(anchor="average", title=title)
    return Section(
        anchor="average",
        title=title,
        text=(_selected(average), _validated(average), _tested(findings, average), *average["notes"]),
        blocks=(average_table(average, findings.metrics[0]),),
    )


def average_table(average: AverageStats, metric: str) -> Table:
    """Return both models with their test scores and what using them takes."""
    metrics, test = tuple(dict.fromkeys((metric, "loss"))), average["test"]
    rows = []
    for name, title in _NAMES.items():
        scores, figures, found = test["metrics"][name], average["models"][name], test["differences"].get(name)
        difference = (number(found["mean"]), number(found["standard_error"])) if found else ("", "")
        costs = (whole(figures.get("parameters")), *(number(figures.get(each)) for each in _COSTS))
        rows.append((title, *(score(scores.get(each)) for each in metrics), *difference, *costs))
    measured = (*(f"test {each}" for each in metrics), "loss of the average less this", "standard error")
    columns = ("model", *measured, "parameters", "latency (ms)", "weights (MiB)")
    return Table(
        caption="The average beside the final model, in one opening of the test set",
        columns=columns,
        rows=tuple(rows),
        numeric=frozenset(columns[1:]),
    )


def _selected(average: AverageStats) -> str:
    members = ", ".join(f"trial {each['trial']} ({100 * each['weight']:.0f} %)" for each in average["members"])
    return (
        f"Greedy selection with replacement (Caruana et al. 2004) from {plural(average['trials'], 'trial')}, by "
        f"{average['metric']} on validation: {members}."
    )


def _validated(average: AverageStats) -> str:
    found = average["validation"]
    return (
        f"Loss on validation: {score(found['ensemble'])}, which is optimistic since it was selected there; "
        f"{score(found['halves'])} where one half of the samples selects for the other. "
        f"Trial {found['single_trial']} alone has {score(found['single'])}."
    )


def _tested(findings: Findings, average: AverageStats) -> str:
    test, final = average["test"], findings.stats["test"]
    decided = " The scores are by the most probable class, not by the threshold of best/."
    return (
        f"Scored on {plural(test['samples'], 'test sample')}; the test set had been opened "
        f"{plural(test['opened'] - 1, 'time')} before.{decided if final and final.get('threshold') else ''}"
    )
