"""What a notebook and a prompt show of results: one line, or a small table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from harness.records import Outcome
from harness.report.statistics import chosen_word, ended, summary_table
from harness.report.wording import NOT_MEASURED, duration, goal, number, plural, score, whole

_FIGURES = {"parameters": whole, "latency_p50_ms": number, "seconds": duration}


def run_line(trials: pd.DataFrame, stats: Mapping[str, Any]) -> str:
    """Return a run in one line: how many trials completed, which one was chosen, and its test scores."""
    complete = f"{int(ended(trials, Outcome.COMPLETE).sum()):,} of {plural(len(trials), 'trial')} complete"
    best, test, objective = stats["best"], stats["test"], stats["objective"]
    chosen = f"{chosen_word(objective)}: trial {best['trial']}" if best else "no winner"
    scores = _test_scores(test, objective) if test else "not evaluated on the test set"
    return f"{stats['task']['name']}: {complete}; {chosen}; {scores}"


def _test_scores(test: Mapping[str, Any], objective: Sequence[Mapping[str, Any]]) -> str:
    names = dict.fromkeys([*(item["metric"] for item in objective), "loss"])
    scores = [f"{name} {score(test['metrics'][name])}" for name in names if test["metrics"].get(name) is not None]
    return f"test {', '.join(scores)}" if scores else "no test score"


def run_html(trials: pd.DataFrame, stats: Mapping[str, Any], *, note: str = "") -> str:
    """Return a run as a line and a table of its leading candidates, as HTML without any style of its own."""
    metrics = {item["metric"] for item in stats["objective"]}
    rows = [{name: _cell(name, value, metrics) for name, value in row.items()} for row in summary_table(trials, stats)]
    lines = [run_line(trials, stats), *([note] if note else [])]
    return "".join(f"<p>{escape(line)}</p>" for line in lines) + table_html(rows)


def _cell(name: str, value: Any, metrics: set[str]) -> str:
    if name in metrics:
        return goal(name, value)
    return _FIGURES[name](value) if name in _FIGURES else str(value)


def table_html(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows of texts as an HTML table under the names of their keys; nothing without rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell or NOT_MEASURED)}</td>' for cell in row.values())}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
