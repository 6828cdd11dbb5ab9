"""The report in words and tables, from which Markdown and HTML are both written."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.records import Outcome
from harness.report.average_section import average_section
from harness.report.baseline_section import baseline_section
from harness.report.blocks import Alert, Block, Card, Code, Content, Points, Section, facts
from harness.report.check_section import check_section
from harness.report.doubts import result_warnings
from harness.report.final_section import final_section
from harness.report.findings import Findings
from harness.report.front_section import front_card, front_section
from harness.report.gate_section import gate_section
from harness.report.mistake_section import mistake_section
from harness.report.parts_section import parts_table
from harness.report.plan_section import plan_section
from harness.report.provenance import command, versions
from harness.report.remarks import noticed, unmeasured_table
from harness.report.sheet import trials_section
from harness.report.statistics import ended
from harness.report.tables import (
    candidate_table,
    chosen_table,
    importance_table,
    ledger_table,
    machine_table,
    package_table,
    per_class_table,
    plan_table,
    score_table,
    search_table,
    settings_table,
    task_table,
)
from harness.report.verdict import verdict
from harness.report.wording import duration, number, percent, plural, score, whole
from harness.store.ledger import Ledger, share

_CHOICES = {
    "by rule": "chosen by rule: nothing measured decides, except what breaks a limit or runs out of time",
    "measured": "chosen by measuring, which may come out otherwise next time; add --plan-from with the folder of this "
    "run to replay its choices",
}
"""What must match of the choices of a run, by how they were made."""


def write_content(findings: Findings) -> Content:
    """Return everything that a report of these findings says."""
    task = findings.stats["task"]
    goals = ", ".join(f"{item['direction']} {item['metric']}" for item in findings.stats["objective"])
    return Content(
        title=task["name"],
        subtitle=f"{str(task['kind']).capitalize()} · {goals} · {plural(len(findings.run.trials), 'trial')}",
        verdict=tuple(line for line in verdict(findings) if line),
        alerts=tuple(Alert(warning.code, warning.text) for warning in result_warnings(findings.run)),
        cards=tuple(_cards(findings)),
        sections=tuple(section for section in _sections(findings) if section.text or section.blocks),
    )


def _cards(findings: Findings) -> Iterator[Card]:
    stats, book, first = findings.stats, findings.book, findings.metrics[0]
    if findings.several and len(findings.best):
        yield front_card(findings)
    elif stats["best"] is not None:
        yield Card(f"validation {first}", score(findings.winner_values[first]), f"trial {stats['best']['trial']}")
    if stats["test"] is not None:
        metrics, sure = stats["test"]["metrics"], findings.interval
        metric = first if first in metrics else sure.metric if sure else first
        detail = f"{sure.metric} {score(sure.low)} to {score(sure.high)} (95 %)" if sure else "no interval"
        yield Card(f"test {metric}", score(metrics.get(metric)), detail)
    complete = int(ended(findings.run.trials, Outcome.COMPLETE).sum())
    yield Card("complete trials", f"{complete:,} of {len(findings.run.trials):,}", f"in {duration(stats['elapsed_s'])}")
    useful = percent(share(book.complete_s, book.device_s))
    yield Card("device time", duration(book.device_s), f"{useful} of it for complete trials")
    row = findings.winner
    if row is not None:
        yield Card("parameters", whole(row["parameters"]), f"latency {number(row['latency_p50_ms'])} ms")
        yield Card("device", str(row["device"]), f"{row['precision']}, {row['layout'].replace('_', ' ')}")


def _sections(findings: Findings) -> Iterator[Section]:
    """Yield every section in reading order; those that stay empty are dropped by the caller."""
    run = findings.run
    told = run.stats["search"]
    ended = [f"The search ended early: {told['ended_by']}"] if "ended_by" in told else []
    remarks = _points((*told.get("notes", ()), *ended), "Remarks on the space")
    yield front_section(findings)
    yield check_section(run.stats["task"])
    yield Section(anchor="search", title="Search", blocks=(search_table(run), *remarks))
    yield from _candidates(findings)
    yield trials_section(findings)
    yield baseline_section(findings)
    yield Section(
        anchor="importances",
        title="Hyperparameter importance",
        text=tuple(_importance_text(findings)),
        blocks=_importance_blocks(findings),
    )
    yield final_section(findings)
    yield _test_section(findings)
    yield average_section(findings)
    yield mistake_section(findings)
    yield Section(
        anchor="outcomes",
        title="Trial outcomes",
        text=_ledger_text(findings.book),
        blocks=(ledger_table(findings.book),),
    )
    yield plan_section(run)
    yield gate_section(findings)
    yield Section(anchor="noticed", title="Notes on training", blocks=_points(noticed(run.trials)))
    unmeasured = unmeasured_table(run.trials)
    yield Section(anchor="unmeasured", title="Not measured", blocks=(unmeasured,) if unmeasured.rows else ())
    task_blocks = (task_table(run), *_points(tuple(run.stats["task"]["notes"]), "Remarks on the data"))
    yield Section(anchor="task", title="Task and split", blocks=task_blocks)
    parts = parts_table(run)
    yield Section(anchor="machine", title="Machine", blocks=(*([parts] if parts else []), machine_table(run)))
    yield Section(anchor="space", title="Space", blocks=(Code("yaml", run.space),))
    yield _reproduction(findings)


def _points(items: tuple[str, ...], caption: str = "") -> tuple[Block, ...]:
    return (Points(items, caption),) if items else ()


def _candidates(findings: Findings) -> Iterator[Section]:
    if len(findings.best):
        title = "Candidates" if findings.several else "Best candidates"
        yield Section(anchor="candidates", title=title, blocks=(candidate_table(findings),))
    best, winner = findings.stats["best"], findings.winner
    if best is not None and winner is not None:
        text = "It was selected by its validation score, so that score is optimistic; the test score is not."
        tables = (score_table(findings), chosen_table(best), plan_table(winner), settings_table(best))
        title = "The selected trial" if findings.several else "The winner"
        yield Section(anchor="winner", title=title, text=(text,), blocks=tables)


def _importance_blocks(findings: Findings) -> tuple[Block, ...]:
    known = not findings.importances.reason or findings.ped_anova.shares
    return (importance_table(findings.importances, findings.ped_anova.shares),) if known else ()


def _importance_text(findings: Findings) -> Iterator[str]:
    found, sets_apart = findings.importances, findings.ped_anova
    if found.reason:
        yield f"No permutation importances: {found.reason}."
    else:
        trust = (
            "so treat them with caution: the parameters hardly predict the objective"
            if math.isnan(found.explained) or found.explained < 0.2
            else "which is how reliable the importances are"
        )
        yield (
            f"Permutation importance: drop in R² of a random forest that predicts {findings.metrics[0]} from the "
            "parameters of the complete trials, when one parameter is shuffled (Breiman 2001). Out of bag the forest "
            f"reaches R² = {number(found.explained)}, {trust}. A parameter that exists only with one choice counts its "
            "absence as a value, so it shares the credit of that choice."
        )
    if sets_apart.shares:
        yield (
            f"PED-ANOVA: how far the distribution of a parameter among the best {sets_apart.best} complete trials is "
            "from that among all of them (Watanabe et al. 2023), as a share of the sum over all parameters. It says "
            "what the best have in common, and of noise it finds a share too: trust what both measures agree on."
        )
    else:
        yield f"No PED-ANOVA: {sets_apart.reason}."


def _ledger_text(book: Ledger) -> tuple[str, ...]:
    uncounted = ""
    if book.unrecorded:
        uncounted = f" Not counted because no time was recorded: {plural(book.unrecorded, 'trial')}."
    if not book.device_s > 0:
        return (f"No device time was recorded.{uncounted}",)
    useful = percent(share(book.complete_s, book.device_s))
    return (
        f"{number(book.complete_s)} of {number(book.device_s)} device-seconds ({useful}) led to a complete trial."
        f"{uncounted}",
    )


def _test_section(findings: Findings) -> Section:
    test, sure = findings.stats["test"], findings.interval
    if test is None:
        return Section(anchor="test", title="Test set")
    table = per_class_table(findings)
    predicted = findings.run.predictions is not None
    why = "none is computed for this kind of problem" if predicted else "the run has no predictions"
    text = [f"No interval: {why}."]
    if sure is not None:
        text = [f"95 % interval of {sure.metric}: {score(sure.low)} to {score(sure.high)} ({sure.method})."]
    if findings.stats["task"]["classes"] and table is None:
        text.append("No scores of each class were recorded.")
    return Section(anchor="test", title="Test set", text=tuple(text), blocks=(table,) if table else ())


def _reproduction(findings: Findings) -> Section:
    environment, stats = findings.run.environment, findings.stats
    asked = command(environment)
    pairs = [
        ("seed", str(stats["search"]["seed"])),
        ("data fingerprint", stats["task"]["fingerprint"]),
        *versions(environment),
        ("machine", "the same kind of CPU and GPU: another one rounds differently"),
        ("layout, precision, batch size, threads", _CHOICES[stats["search"].get("choices", "measured")]),
    ]
    return Section(
        anchor="reproduce",
        title="How to reproduce",
        text=() if asked else ("The command was not recorded.",),
        blocks=(
            *((asked,) if asked else ()),
            facts("Versions and seeds", pairs),
            package_table(findings.run),
        ),
    )
