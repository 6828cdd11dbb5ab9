"""The chapter on the Pareto front of a search by several objectives, and what its verdict says."""

from __future__ import annotations

from harness.report.blocks import Card, Section, Table
from harness.report.findings import Findings
from harness.report.load import decoded
from harness.report.statistics import objective_values
from harness.report.tables import FIGURE_COLUMNS, settings_text
from harness.report.wording import NOT_MEASURED, clipped, goal, number, percent, plural, score, whole
from harness.spec import COST


def front_line(findings: Findings) -> str:
    """Return the first sentence of the verdict: how large the front is, and in which objectives."""
    goals = [f"{item['metric']} ({item['direction']})" for item in findings.stats["objective"]]
    size = int(findings.best["front"].sum())
    are = "is" if size == 1 else "are"
    return (
        f"Pareto front: {size:,} of {plural(len(findings.best), 'complete candidate')} {are} non-dominated in "
        f"{', '.join(goals[:-1])} and {goals[-1]}."
    )


def selected_line(findings: Findings) -> str:
    """Say which member of the front became the final model, and by what rule."""
    best, row = findings.stats["best"], findings.winner
    assert best is not None
    assert row is not None
    first, tied = findings.metrics[0], len(best.get("tied", ()))
    rule = f"with the best {first}"
    if tied > 1:
        rule = f"with the fewest parameters of the {tied} members within one standard error of the best {first}"
    name = f"trial {best['trial']}, {row['architecture']} trained with {row['optimizer']}"
    return f"Made into the final model: {name}, the member of the front {rule}."


def front_card(findings: Findings) -> Card:
    """Return the size of the front, with its hypervolume."""
    found = findings.hypervolume
    detail = found.reason or f"hypervolume {percent(found.share)} of its box"
    return Card("on the Pareto front", plural(int(findings.best["front"].sum()), "trial"), detail)


def front_section(findings: Findings) -> Section:
    """Return the chapter; it is empty of a run with one objective, or without a complete trial."""
    if not findings.several or findings.best.empty:
        return Section(anchor="front", title="Pareto front")
    return Section(
        anchor="front",
        title="Pareto front",
        text=(_hypervolume(findings), _scored(findings)),
        blocks=(front_table(findings),),
    )


def _hypervolume(findings: Findings) -> str:
    found = findings.hypervolume
    if found.reason:
        return f"No hypervolume: {found.reason}."
    point = ", ".join(
        f"{name} {goal(name, value)}" for name, value in zip(findings.metrics, found.reference, strict=True)
    )
    return (
        f"Hypervolume {number(found.volume)}, which is {percent(found.share)} of the box between the reference point "
        f"and the best value of each objective. Reference point: {point}, a tenth of the front's range beyond its "
        "worst value in each; searches can be compared only at the same reference point."
    )


def _scored(findings: Findings) -> str:
    test = findings.stats["test"]
    if test is None or findings.stats["best"] is None:
        return "No member was scored on the test samples."
    return (
        f"Only trial {findings.stats['best']['trial']} was scored on the test samples. The others have validation "
        "scores only, which are optimistic: the front was selected by them."
    )


def front_table(findings: Findings) -> Table:
    """Return every member of the front with its objectives, test scores where there are some, cost and settings."""
    members = findings.best[findings.best["front"]]
    values = objective_values(members, len(findings.metrics))
    rows: dict[str, list[str]] = {"trial": [str(trial) for trial in members["trial"]]}
    rows |= {name: [clipped(str(text), 32) for text in members[name]] for name in ("architecture", "optimizer")}
    for column, metric in enumerate(findings.metrics):
        title = f"validation {metric}" if metric not in COST else metric
        rows[title] = [goal(metric, value) for value in values[:, column]]
    for metric in findings.metrics:
        if metric not in COST:
            rows[f"test {metric}"] = [_test_score(findings, trial, metric) for trial in members["trial"]]
    judged = {COST[metric][1] for metric in findings.metrics if metric in COST}
    for name, title in FIGURE_COLUMNS.items():
        if members[name].notna().any() and name not in judged:
            rows[title] = [whole(v) if name == "parameters" else number(v) for v in members[name]]
    numeric = frozenset(rows) - {"architecture", "optimizer"}
    rows["settings"] = [settings_text(params) for params in decoded(members["params"])]
    return Table(
        caption=f"The {plural(len(members), 'member')} of the front",
        columns=tuple(rows),
        rows=tuple(zip(*rows.values(), strict=True)),
        numeric=numeric,
    )


def _test_score(findings: Findings, trial: int, metric: str) -> str:
    best, test = findings.stats["best"], findings.stats["test"]
    if best is None or test is None or trial != best["trial"]:
        return NOT_MEASURED
    return score(test["metrics"].get(metric))


def limits_line(findings: Findings) -> str:
    """Say of each limit how many candidates broke it; nothing of a run without limits."""
    parts = [
        f"{row['limit']} at most {number(row['at_most'])}: {_broken(int(row['trials']))}"
        for row in findings.gates.rejections.to_dict("records")
    ]
    return f"Limits: {'; '.join(parts)}." if parts else ""


def _broken(count: int) -> str:
    return f"broken by {plural(count, 'candidate')}" if count else "broken by none"
