"""Several runs side by side on one page: what each reached, on the way there, and what they differ in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.report.blocks import Alert, Content, Section, Table
from harness.report.charts import Chart
from harness.report.formats import USUAL, Format, as_json
from harness.report.html import render_html
from harness.report.latex import render_latex
from harness.report.load import RunFiles
from harness.report.markdown import render_markdown
from harness.report.pages import write_pages
from harness.report.side_plots import best_curves, best_over_seconds, best_over_trials
from harness.report.sides import Side, caveats, differences, facts_of, goal_of, reached, read_sides
from harness.report.wording import NOT_MEASURED, duration, goal, number, plural, score, whole
from harness.store import to_csv

_ONE_MODEL = (
    "Each run has one final model, scored once on its test samples. That one of them scores better is no evidence that "
    "its search finds better models: another seed may turn it round."
)
_AXES = {"trials": best_over_trials, "device-seconds": best_over_seconds}
_FACTS = {"space": "Space", "data": "Data", "machine": "Machine and versions"}


def write_side_by_side(runs: Sequence[Path], out: Path, formats: Iterable[Format] = USUAL) -> list[Path]:
    """Write ``runs.md``, ``runs.html`` and so on into the folder ``out``; the runs are left as they are.

    Raises as :func:`harness.report.sides.read_sides` does.
    """
    return write_pages(build_side_by_side(runs, formats), out)


def build_side_by_side(runs: Sequence[Path], formats: Iterable[Format] = USUAL) -> dict[str, str]:
    """Return the texts by their names; the same runs give the same bytes."""
    sides = read_sides(runs)
    content = _content(sides)
    writers = {
        "md": lambda: render_markdown(content),
        "html": lambda: render_html(content, _charts(sides)),
        "csv": lambda: to_csv(pd.DataFrame([reached(side) for side in sides])),
        "tex": lambda: render_latex(content),
        "json": lambda: as_json(_data(sides)),
    }
    return {f"runs.{each}": writers[each]() for each in formats}


def _data(sides: Sequence[Side]) -> dict[str, Any]:
    names = [side.name for side in sides]
    return {
        "runs": [reached(side) for side in sides],
        "caveats": [{"code": code, "text": text} for code, text in caveats(sides)],
        "differences": {
            kind: {name: dict(zip(names, row, strict=True)) for name, row in rows.items()}
            for kind, rows in _differences(sides).items()
        },
    }


def _differences(sides: Sequence[Side]) -> dict[str, dict[str, list[str]]]:
    facts = [facts_of(side) for side in sides]
    return {kind: differences([getattr(each, kind) for each in facts]) for kind in _FACTS}


def _content(sides: Sequence[Side]) -> Content:
    tasks = dict.fromkeys(side.run.stats["task"]["name"] for side in sides if side.run)
    return Content(
        title=f"{plural(len(sides), 'run')} side by side",
        subtitle=", ".join(tasks) or "no results yet",
        verdict=tuple(_leaders(sides)),
        alerts=tuple(Alert(code, text) for code, text in caveats(sides)),
        cards=(),
        sections=tuple(_sections(sides)),
    )


def _goals(sides: Sequence[Side]) -> dict[tuple[str, str, bool], dict[str, RunFiles]]:
    """Return the runs that have results by what they searched for: task, first objective, and whether it is to grow."""
    found: dict[tuple[str, str, bool], dict[str, RunFiles]] = {}
    for side in sides:
        if run := side.run:
            found.setdefault((run.stats["task"]["name"], *goal_of(run)), {})[side.name] = run
    return found


def _leaders(sides: Sequence[Side]) -> Iterator[str]:
    """Yield for each goal which run is ahead on validation, and its test score: the test samples choose none."""
    rows = {side.name: reached(side) for side in sides}
    for (task, metric, maximize), mine in _goals(sides).items():
        known = [rows[name] for name in mine if not math.isnan(rows[name]["validation"])]
        if not known:
            yield f"{task}: no trial completed."
            continue
        first = (max if maximize else min)(known, key=lambda row: row["validation"])
        scores = f"{goal(metric, first['validation'])} ({score(first['test'])} on its test samples)"
        yield f"{task}: {first['run']} has the best validation {metric}, {scores}."


def _sections(sides: Sequence[Side]) -> Iterator[Section]:
    yield Section(anchor="reached", title="What was reached", text=(_ONE_MODEL,), blocks=(_reached_table(sides),))
    if any(side.run for side in sides):
        text = "The best first objective of all trials that had ended, on validation."
        yield Section(anchor="best", title="Best so far", text=(text,))
    for kind, rows in _differences(sides).items():
        title = f"Differences: {_FACTS[kind].lower()}"
        if rows:
            yield Section(anchor=f"differences-{kind}", title=title, blocks=(_differences_table(sides, rows),))
        else:
            yield Section(anchor=f"differences-{kind}", title=title, text=("The same in all runs.",))


def _reached_table(sides: Sequence[Side]) -> Table:
    rows = tuple(_reached_row(reached(side)) for side in sides)
    scores = ("metric", "validation", "test", "test loss")
    costs = ("parameters", "latency p50 (ms)", "device time", "time")
    columns = ("run", "state", "task", "complete trials", "winner", *scores, *costs)
    texts = {"run", "state", "task", "winner", "metric"}
    return Table(caption="The runs", columns=columns, rows=rows, numeric=frozenset(columns) - texts)


def _reached_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "task" not in row:
        return (row["run"], row["state"], *[NOT_MEASURED] * 11)
    winner = NOT_MEASURED if row["trial"] is None else f"{row['architecture']}, trial {row['trial']}"
    return (
        row["run"],
        row["state"],
        row["task"],
        f"{row['complete']:,} of {row['trials']:,}",
        winner,
        f"{row['metric']} ({row['direction']})",
        goal(row["metric"], row["validation"]),
        score(row["test"]),
        score(row["test_loss"]),
        whole(row["parameters"]),
        number(row["latency_p50_ms"]),
        duration(row["device_s"]),
        duration(row["elapsed_s"]),
    )


def _differences_table(sides: Sequence[Side], rows: Mapping[str, Sequence[str]]) -> Table:
    return Table(
        caption="What differs",
        columns=("what", *(side.name for side in sides)),
        rows=tuple((name, *row) for name, row in rows.items()),
    )


def _charts(sides: Sequence[Side]) -> dict[str, tuple[Chart, ...]]:
    places = {side.name: place for place, side in enumerate(sides)}
    drawn = []
    for (task, metric, maximize), mine in _goals(sides).items():
        for x, curve in _AXES.items():
            curves = {name: curve(run.trials, maximize=maximize) for name, run in mine.items()}
            drawn.append(
                Chart(f"{task}: best {metric} over {x}", best_curves(curves, places, x, metric), "", wide=True)
            )
    return {"best": tuple(drawn)} if drawn else {}
