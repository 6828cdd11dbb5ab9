"""The page of ``tables.py``: who wins where, by how much, at what cost."""

from __future__ import annotations

import html
import os
import platform
from pathlib import Path

import numpy as np
import pandas as pd

from harness.hardware.cpu import read_cpu

OURS = "harness"
HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Real tables</title>'
    "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .7em;text-align:right}</style>"
)
Lines = list[list[str]]


def write_page(folder: Path, rows: pd.DataFrame, before: pd.DataFrame | None) -> None:
    """Write ``tables.md`` and ``tables.html`` from the rows of ``tables.csv``, beside those of an earlier one."""
    sections = [scores_section(rows), losses_section(rows), seconds_section(rows)]
    if before is not None:
        sections.append(before_section(rows, before))
    introduction = [counts(rows), conditions(rows)]
    (folder / "tables.md").write_text(as_markdown(introduction, sections), encoding="utf-8")
    (folder / "tables.html").write_text(as_html(introduction, sections), encoding="utf-8")


def counts(rows: pd.DataFrame) -> str:
    """Return wins and losses in a sentence or two."""
    score, loss = ratios(rows, "score"), ratios(rows, "loss")
    parts = [
        f"Accuracy or RMSE at least as good as default gradient boosting on {int((score['hgb'] >= 1).sum())} of"
        f" {len(score)} tables, as the best baseline on {int((score['best'] >= 1).sum())}"
    ]
    parts += worst(rows)
    if len(loss):
        parts.append(
            f"log loss no higher than default gradient boosting on {int((loss['hgb'] <= 1).sum())} of {len(loss)}, than"
            f" the best baseline on {int((loss['best'] <= 1).sum())}; at worst {loss['best'].max():.2f} times the best"
            f" baseline's ({loss['best'].idxmax()})"
        )
    return "; ".join(parts) + "."


def worst(rows: pd.DataFrame) -> list[str]:
    """Return by how much default gradient boosting is ahead at most: in points of accuracy, and in RMSE."""
    means = by_model(rows, "score")
    classes = rows.groupby("table")["kind"].first()[means.index] == "classification"
    behind = 100.0 * (means["hgb"] - means[OURS])[classes]
    times = (means["hgb"] / means[OURS])[~classes]
    found = [(behind, "points of accuracy behind it"), (times, "times its RMSE")]
    return [f"at worst {each.max():.4g} {what} ({each.idxmax()})" for each, what in found if len(each)]


def conditions(rows: pd.DataFrame) -> str:
    """Return what it was measured on, how busy that was, and how far reported scores are from recomputed ones."""
    own, cpu = rows[rows["model"] == OURS], read_cpu()
    return (
        f"{cpu.model or cpu.architecture}, {os.cpu_count()} cores, Python {platform.python_version()};"
        f" load average {rows['load'].min():.1f} to"
        f" {rows['load'].max():.1f}. {rows['seed'].nunique()} seeds, {int(own['trials'].min())} to"
        f" {int(own['trials'].max())} trials a search, {own['seconds'].sum():.0f} s for all searches. Reported scores"
        f" differ from scikit-learn's by {own['reported_gap'].max():.1e} of their value at most."
    )


def ratios(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return this program's mean over that of ``hgb`` and of the ``best`` baseline, for each table.

    Scores (accuracy, or RMSE upside down) are better above 1, losses (log loss, of classes alone) below.
    """
    means = by_model(rows, what)
    peers = means.drop(columns=OURS)
    best = peers.min(axis=1) if what == "loss" else peers.max(axis=1)
    return pd.DataFrame({"hgb": means[OURS] / means["hgb"], "best": means[OURS] / best}, index=means.index)


def by_model(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return means over the seeds, one line a table, one column a model; RMSE as its inverse for ``score``."""
    values = rows["log_loss"] if what == "loss" else rows["accuracy"].fillna(1 / rows["rmse"])
    means = rows.assign(value=values).pivot_table(index="table", columns="model", values="value", sort=False)
    return means.dropna(how="all").reindex(columns=rows["model"].unique())


def scores_section(rows: pd.DataFrame) -> tuple[str, Lines]:
    """Accuracy, or RMSE, of all models."""
    lines: Lines = []
    means, ratio = by_model(rows, "score"), ratios(rows, "score")
    kind = rows.groupby("table")["kind"].first()
    for table in means.index:
        classes = kind[table] == "classification"
        value = means.loc[table] if classes else 1 / means.loc[table]
        name = "accuracy" if classes else "RMSE"
        shown = [number(value[model]) for model in means.columns]
        # An RMSE's ratio is shown as it is read: below 1 is better.
        of_hgb, of_best = (ratio.loc[table, of] if classes else 1 / ratio.loc[table, of] for of in ("hgb", "best"))
        lines.append([f"{table}", name, *shown, f"{of_hgb:.3f}", f"{of_best:.3f}", verdict(ratio.loc[table, "best"])])
    return "Accuracy and RMSE", [["table", "score", *means.columns, "of hgb", "of best baseline", ""], *lines]


def losses_section(rows: pd.DataFrame) -> tuple[str, Lines]:
    """Log loss of all models."""
    means, ratio = by_model(rows, "loss"), ratios(rows, "loss")
    lines = [
        [
            table,
            *(number(means.loc[table, model]) for model in means.columns),
            f"{ratio.loc[table, 'hgb']:.3f}",
            f"{ratio.loc[table, 'best']:.3f}",
            verdict(1 / ratio.loc[table, "best"]),
        ]
        for table in means.index
    ]
    return "Log loss", [["table", *means.columns, "of hgb", "of best baseline", ""], *lines]


def seconds_section(rows: pd.DataFrame) -> tuple[str, Lines]:
    """Mean seconds of learning, with the sizes of the tables and what families won."""
    means = rows.pivot_table(index="table", columns="model", values="seconds", sort=False)
    about = rows.groupby("table")[["learn_rows", "test_rows", "classes"]].first()
    winners = rows[rows["model"] == OURS].groupby("table")["architecture"].agg(lambda names: ", ".join(sorted(names)))
    lines = [
        [str(table), *map(str, about.loc[table]), winners[table], *(f"{mean:.1f}" for mean in row)]
        for table, row in zip(means.index, means.to_numpy(), strict=True)
    ]
    return "Seconds", [["table", "rows to learn from", "to test", "classes", "winner", *means.columns], *lines]


def before_section(rows: pd.DataFrame, before: pd.DataFrame) -> tuple[str, Lines]:
    """Return what changed since the earlier file, over the tables and seeds of both; errors are of the test rows."""
    keys = ["table", "seed"]
    now, then = (frame[frame["model"] == OURS].set_index(keys) for frame in (rows, before))
    both = now.join(then, rsuffix="_before", how="inner")
    lines: Lines = []
    for table, own in both.groupby(level="table", sort=False):
        classes = own["kind"].iloc[0] == "classification"
        name = "accuracy" if classes else "rmse"
        gain = (own[name] - own[f"{name}_before"]).mean() * (1 if classes else -1)
        variance = np.square(own["standard_error"]) + np.square(own["standard_error_before"])
        error = float(np.sqrt(variance.sum()) / len(own))
        loss = own["log_loss"].mean() / own["log_loss_before"].mean()
        shown = [number(own[column].mean()) for column in (f"{name}_before", name)]
        lines.append([str(table), name, *shown, f"{gain / error:+.1f}", f"{loss:.3f}" if classes else ""])
    header = ["table", "score", "before", "now", "better by standard errors", "log loss of before's"]
    return "Against before", [header, *lines]


def verdict(ratio: float) -> str:
    """Return what a ratio above 1 for better means."""
    return "won" if ratio > 1 else "lost" if ratio < 1 else "even"


def number(value: float) -> str:
    """Return four digits that matter."""
    return f"{value:.4g}" if value >= 1 else f"{value:.4f}"


def as_markdown(introduction: list[str], sections: list[tuple[str, Lines]]) -> str:
    """Return the page in Markdown."""
    parts = ["# Real tables", *introduction]
    for title, (header, *lines) in sections:
        rule = ["---"] * len(header)
        parts += [f"## {title}", "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))]
    return "\n\n".join(parts) + "\n"


def as_html(introduction: list[str], sections: list[tuple[str, Lines]]) -> str:
    """Return the page in HTML."""
    parts = ["<h1>Real tables</h1>", *(f"<p>{html.escape(text)}</p>" for text in introduction)]
    for title, (header, *lines) in sections:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>{head}</tr>{body}</table>")
    return HEAD + "".join(parts) + "</html>\n"
