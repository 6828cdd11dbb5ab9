"""The tables of a report: findings in, text cells out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from harness.problems import LOSS
from harness.records import NAN
from harness.report.blocks import Table, facts
from harness.report.findings import Findings
from harness.report.load import RunFiles, decoded, measured_metrics
from harness.report.remarks import batch_text, remarks
from harness.report.statistics import Importances, leading, objective_values
from harness.report.stats import BestStats
from harness.report.wording import (
    NOT_MEASURED,
    clipped,
    duration,
    flattened,
    goal,
    number,
    percent,
    plural,
    score,
    setting,
    short_names,
    whole,
)
from harness.spec import COST
from harness.spec.names import FITTED, OF_FITTED
from harness.spec.training import OF_THE_WINNER
from harness.store.ledger import Ledger

_CANDIDATES = 10
_OPEN_CLASSES = 20
FIGURE_COLUMNS = {
    "parameters": "parameters",
    "latency_p50_ms": "latency p50 (ms)",
    "train_samples_s": "training (samples/s)",
    "memory_rss_peak_mib": "host memory (MiB)",
    "memory_device_peak_mib": "device memory (MiB)",
    "energy_j": "energy (J)",
}
"""Figures of a trial that tables of candidates show where any was measured, with their titles."""


def task_table(run: RunFiles) -> Table:
    """Return what was learned and how it was split."""
    task = run.stats["task"]
    pairs = [("task", task["name"]), ("kind", str(task["kind"]))]
    if task["classes"]:
        names = ", ".join(clipped(name, 40) for name in task["classes"][:20])
        more = f" and {len(task['classes']) - 20} more" if len(task["classes"]) > 20 else ""
        pairs.append(("classes", f"{len(task['classes'])}: {names}{more}"))
    split = ", ".join(f"{task[part]:,} {part}" for part in ("train", "validation", "test"))
    return facts("The task and its split", [*pairs, ("samples", split)])


def search_table(run: RunFiles) -> Table:
    """Return how the space was searched."""
    search, started = run.stats["search"], run.trials["started_unix_s"].min()
    goals = ", ".join(f"{item['direction']} {item['metric']}" for item in run.stats["objective"])
    size = "infinite: a parameter is continuous" if search["size"] is None else number(search["size"])
    when = NOT_MEASURED if pd.isna(started) else f"{datetime.fromtimestamp(float(started), UTC):%Y-%m-%d %H:%M} UTC"
    return facts(
        "The search",
        [
            ("objective", goals),
            ("sampler, pruner", f"{search['sampler']}, {search['pruner']}"),
            ("seed", str(search["seed"])),
            *(("trained for each trial", f"{count} {what}") for what, count in run.stats.get("evaluation", {}).items()),
            ("trials", f"{len(run.trials):,} of {search['trials']:,}"),
            ("candidates in the space", size),
            ("started", when),
            ("elapsed", duration(run.stats["elapsed_s"])),
        ],
    )


def candidate_table(findings: Findings) -> Table:
    """Return the first of the ranked trials and the chosen one, with the figures that were measured on any of them."""
    best = leading(findings.best, findings.stats["best"], _CANDIDATES, word=findings.chosen_word)
    # Of several objectives none ranks the trials: they come in order, the front first.
    rows: dict[str, list[str]] = {} if findings.several else {"rank": [str(place) for place in best["rank"]]}
    if (best["choice"] == "tied").any():
        rows["choice"] = list(best["choice"])
    rows["trial"] = [str(trial) for trial in best["trial"]]
    if len(findings.metrics) > 1:
        rows["front"] = ["yes" if front else "" for front in best["front"]]
    rows |= {name: [clipped(str(text), 32) for text in best[name]] for name in ("architecture", "optimizer")}
    values = objective_values(best, len(findings.metrics))
    for column, metric in enumerate(findings.metrics):
        rows[metric] = [goal(metric, value) for value in values[:, column]]
    judged = {COST[metric][1] for metric in findings.metrics if metric in COST}
    for name, title in FIGURE_COLUMNS.items():
        if best[name].notna().any() and name not in judged:
            rows[title] = [whole(v) if name == "parameters" else number(v) for v in best[name]]
    rows["time"] = [duration(seconds) for seconds in best["seconds"]]
    course = [[*remarks(row), *_repeats(findings.run.trials, row["trial"])] for row in best.to_dict("records")]
    if any(course):
        rows["remarks"] = ["; ".join(texts) for texts in course]
    rows["settings"] = [settings_text(params) for params in decoded(best["params"])]
    texts = {"choice", "front", "architecture", "optimizer", "settings", "remarks"}
    return Table(
        caption=f"{'The front first, then by ' + findings.metrics[0] if findings.several else 'Best'}: "
        f"{plural(len(best), 'candidate')}",
        columns=tuple(rows),
        rows=tuple(zip(*rows.values(), strict=True)),
        numeric=frozenset(rows) - texts,
    )


def _repeats(trials: pd.DataFrame, trial: int) -> Iterator[str]:
    """Yield which trials were told the result of this one."""
    told = trials["trial"][trials["same_as"] == trial]
    if len(told):
        yield f"repeated as {'trial' if len(told) == 1 else 'trials'} {', '.join(map(str, told))}"


def settings_text(params: Mapping[str, Any]) -> str:
    """Return the sampled parameters on one line, without the choices that have columns of their own."""
    chosen = {path: value for path, value in params.items() if path not in ("architecture", "optimizer")}
    names = {path: path.split(".")[-1] for path in chosen}
    if len(set(names.values())) < len(names):
        names = short_names(list(chosen))
    return ", ".join(
        f"{clipped(names[path], 32)}={clipped(setting(value, digits=3), 32)}" for path, value in chosen.items()
    )


def chosen_table(best: BestStats) -> Table:
    """Return the searched parameters of the chosen trial."""
    return facts("Searched parameters", list(flattened(best["params"])))


def settings_table(best: BestStats) -> Table:
    """Return every setting of the chosen trial that had a part in it, those too that never varied."""
    architecture, params = next(iter(best["candidate"].get("architecture", {}).items()), ("", {}))
    fitted = architecture in FITTED and "family" not in params
    named = {
        key: value for key, value in best["candidate"].items() if not fitted or key in (*OF_FITTED, *OF_THE_WINNER)
    }
    return facts("All settings", list(flattened(named)), folded=True)


def plan_table(row: Mapping[str, Any]) -> Table:
    """Return how a trial was trained on this machine, and why so."""
    ratio = row["precision_ratio"]
    faster = "" if pd.isna(ratio) else f", {ratio:.2f} times the speed of fp32"
    threads = f"{NOT_MEASURED} threads" if pd.isna(row["threads"]) else plural(int(row["threads"]), "thread")
    return facts(
        "How it was trained",
        [
            ("device", f"{row['device']}, {threads}"),
            *((("why so many threads", str(row["threads_reason"])),) if row["threads_reason"] else ()),
            ("precision", f"{row['precision']}{faster}"),
            ("reason for the precision", str(row["precision_reason"])),
            ("data", str(row["data_path"])),
            ("reason for the data path", str(row["data_reason"])),
            ("batch, layout", f"{batch_text(row)}, {row['layout']}"),
            ("reason for the layout", str(row["layout_reason"])),
            ("epochs", f"{row['epochs']}, best epoch {row['best_epoch']}"),
        ],
    )


def score_table(findings: Findings) -> Table:
    """Return the chosen trial's metrics on each part of the data."""
    test = findings.stats["test"]
    scores, reasons = (test["metrics"], test.get("reasons", {})) if test else ({}, {})
    row: Mapping[str, Any] = findings.winner or {}
    known = [LOSS, *(metric.name for metric in findings.problem.metrics)]
    names = dict.fromkeys([*known, *measured_metrics(findings.run.trials), *scores])
    parts = [
        (name, score(row.get(f"train_{name}")), score(row.get(f"validation_{name}")), score(scores.get(name)))
        for name in names
    ]
    rows = [part for part in parts if set(part[1:]) != {NOT_MEASURED} or part[0] in reasons]
    columns = ("metric", "training", "validation", "test")
    if not reasons:
        return Table(caption="Scores", columns=columns, rows=tuple(rows), numeric=frozenset(columns[1:]))
    remarked = tuple((*part, reasons.get(part[0], "")) for part in rows)
    return Table(caption="Scores", columns=(*columns, "remark"), rows=remarked, numeric=frozenset(columns[1:]))


def per_class_table(findings: Findings) -> Table | None:
    """Return the test scores of each class, or None where there are none."""
    test = findings.stats["test"]
    if test is None or test["per_class"] is None:
        return None
    scores = test["per_class"]
    columns = ("class", "precision", "recall", "F1", "samples")
    names = [clipped(name, 60) for name in scores["class"]]
    cells = (map(score, column) for column in (scores["precision"], scores["recall"], scores["f1"]))
    rows = tuple(zip(names, *cells, map(whole, scores["support"]), strict=True))
    return Table(
        caption="Test scores of each class",
        columns=columns,
        rows=rows,
        numeric=frozenset(columns[1:]),
        folded=len(rows) > _OPEN_CLASSES,
    )


def importance_table(found: Importances, shares: Mapping[str, float]) -> Table:
    """Return every searched parameter with both its importances, or the reason for having none."""
    rows = tuple(
        (
            str(row["parameter"]),
            number(row["importance"]),
            number(row["spread"]),
            percent(shares.get(row["parameter"], NAN)),
            str(row["reason"]),
        )
        for row in found.table.to_dict("records")
    )
    columns = ("parameter", "importance", "spread", "PED-ANOVA", "remark")
    return Table(
        caption="Importance of each searched parameter",
        columns=columns,
        rows=rows,
        numeric=frozenset(columns[1:4]),
        folded=True,
    )


def ledger_table(book: Ledger) -> Table:
    """Return how the trials ended, what that cost, and the most frequent reason of each kind of end."""
    rows = tuple(
        (
            str(row["what"]),
            whole(row["trials"]),
            duration(row["device_s"]),
            percent(row["share"]),
            clipped(str(row["reason"]), 160),
        )
        for row in book.rows.to_dict("records")
    )
    columns = ("outcome", "trials", "device time", "share", "most frequent reason")
    return Table(caption="Compute by outcome", columns=columns, rows=rows, numeric=frozenset(columns[1:4]))


def machine_table(run: RunFiles) -> Table:
    """Return everything that was found out about the machine."""
    return facts("The machine", list(flattened(run.hardware)))


def package_table(run: RunFiles) -> Table:
    """Return the versions of the installed packages."""
    return facts("Packages", sorted(flattened(run.environment.get("packages") or {})), folded=True)
