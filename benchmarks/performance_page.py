"""Writes docs/performance.md from benchmarks/reference/amd-epyc-2-cores/peers.csv.

Run: ``python benchmarks/performance_page.py``, after ``peers.py run --out`` has written the file anew.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from works import BARE, OURS, WORKS

from harness.statistics import Interval
from results import interval, lines, ratio, read

ROOT = Path(__file__).parents[1]
ROWS = ROOT / "benchmarks" / "reference" / "amd-epyc-2-cores" / "peers.csv"
PAGE = ROOT / "docs" / "performance.md"
GOALS = (
    ("mlp", "loop", "harness-cold", 4.0),
    ("mlp", "loop", "harness-warm", 5.0),
    ("mlp", "lightning", "harness-cold", 6.0),
    ("mlp-512", "loop", "harness-cold", 8.0),
    ("mlp-512", "lightning", "harness-cold", 10.0),
    ("mlp-searched", "loop", "harness-cold", 3.0),
    ("mlp-searched", "lightning", "harness-cold", 4.0),
    ("cnn", "loop", "harness-cold", 1.8),
    ("cnn", "lightning", "harness-cold", 2.0),
)
"""How many times as long a peer is to take, at least."""
VALIDATION = 269
"""Samples that accuracies are of."""
INTRODUCTION = ROOT / "benchmarks" / "peers" / "introduction.md"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(read(ROWS)), encoding="utf-8")


def page(rows: pd.DataFrame) -> str:
    """Return the page in Markdown."""
    introduction = INTRODUCTION.read_text(encoding="utf-8").replace("BARE", "`, `".join(BARE))
    parts = [introduction, "## What was aimed at", goals(rows)]
    for name, work in WORKS.items():
        own = rows[rows["work"] == name]
        parts.append(f"## {work.title}")
        parts += [section(on_one) for _, on_one in own.groupby("machine", sort=False)] or ["Not measured yet."]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def goals(rows: pd.DataFrame) -> str:
    """Return a table of what the ratios should be and what they are, on each machine."""
    table = [["work", "peer", "arm", "aim", "machine", "measured", ""]]
    for work, peer, ours, goal in GOALS:
        named = [WORKS[work].title, peer, ours, f"{goal:g}"]
        own = rows[rows["work"] == work]
        found = {machine: ratio(each, peer, ours) for machine, each in own.groupby("machine", sort=False)}
        known = {machine: each for machine, each in found.items() if not math.isnan(each.median)}
        table += [[*named, str(on), interval(each), _met(each, goal)] for on, each in known.items()]
        table += [] if known else [[*named, "", "not measured", ""]]
    return markdown(table)


def _met(found: Interval, goal: float) -> str:
    return "met" if found.median >= goal else "not met"


def section(rows: pd.DataFrame) -> str:
    """Return what was measured of one work: conditions, table, who won and lost, and the commands."""
    return "\n\n".join([conditions(rows), markdown(lines(rows, tuple(OURS))), verdict(rows), commands(rows)])


def conditions(rows: pd.DataFrame) -> str:
    """Return what it was measured on, when, how often, and how busy that was."""
    dates = " to ".join(dict.fromkeys([rows["date"].min(), rows["date"].max()]))
    rounds = rows["round"].nunique()
    versions = sorted({version for each in rows["versions"] for version in each.split(", ")})
    return (
        f"{rows['machine'].iloc[0]}, {rows['cores'].iloc[0]} cores, {dates};"
        f" {rows['trials'].iloc[0]} trials, {rounds} round{'s' if rounds > 1 else ''}; load average"
        f" {rows['load'].min():.1f} to {rows['load'].max():.1f} (the benchmark's own processes included)."
        f" {', '.join(versions)}."
    )


def verdict(rows: pd.DataFrame) -> str:
    """Return in a sentence for each of our arms which peers took longer, which did not, and which cannot be told."""
    arms = list(rows["arm"].unique())
    sentences = []
    for ours in (arm for arm in arms if arm in OURS):
        every = {arm: ratio(rows, arm, ours) for arm in arms if arm not in OURS}
        ratios = {arm: found for arm, found in every.items() if not math.isnan(found.median)}
        told = {word: [arm for arm, found in ratios.items() if said(found) == word] for word in ("wins", "loses", "")}
        parts = [f"{word} against {', '.join(told[word])}" for word in ("wins", "loses") if told[word]]
        parts += [f"cannot be told from {', '.join(told[''])}"] if told[""] else []
        sentences += [f"{ours} {'; '.join(parts)}."] if parts else []
    return f"By the wall time {' '.join(sentences)} {scores(rows)}"


def said(found: Interval) -> str:
    """Return ``wins`` for us, ``loses``, or nothing where the interval has 1 in it."""
    low, high = (found.median, found.median) if math.isnan(found.low) else (found.low, found.high)
    return "wins" if low > 1 else "loses" if high < 1 else ""


def scores(rows: pd.DataFrame) -> str:
    """Return how far the best scores are apart, and whether the candidates were the same."""
    best = rows.groupby("arm")["best"].median()
    same = [
        arm for arm, own in rows.groupby("arm", sort=False) if set(own["candidates"]) == {rows["candidates"].mode()[0]}
    ]
    shared = f" The same candidates, in the same order: {', '.join(map(str, same))}." if len(same) > 1 else ""
    span = f"{best.min():.4f} and {best.max():.4f}"
    return f"The best scores lie between {span}; one sample is {1 / VALIDATION:.4f}.{shared}"


def commands(rows: pd.DataFrame) -> str:
    """Return the commands of the arms."""
    listed = "\n".join(dict.fromkeys(rows["command"]))
    return f"```text\n{listed}\n```"


def markdown(table: list[list[str]]) -> str:
    """Return a table whose first line is its header."""
    header, *rest = table
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rest))


if __name__ == "__main__":
    main()
