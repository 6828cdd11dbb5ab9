"""What ``harness.compare`` returns: frames, words, and the tables that a prompt and a notebook show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from harness.report.compare_page import compare_content
from harness.report.notebook import table_html
from harness.report.wording import duration, number, score


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """What a comparison found; everything in it is also in ``comparison.json`` of its folder.

    >>> result.families[["name", "mean", "latency_ms"]], result.pairs["verdict"]  # doctest: +SKIP
    """

    folder: Path
    state: str
    """``complete``, or ``interrupted`` when it can be resumed."""
    content: Mapping[str, Any]
    """What ``comparison.json`` says; empty where there was no look."""
    signal: int = 0
    """The signal that ended it early, 0 for none."""

    @property
    def families(self) -> pd.DataFrame:
        """One row for each architecture: its test scores, what it costs, and what its search has spent."""
        return pd.DataFrame(self.content.get("families", []))

    @property
    def pairs(self) -> pd.DataFrame:
        """One row for every two architectures, the one with the better mean first."""
        return pd.DataFrame(self.content.get("pairs", []))

    @property
    def verdict(self) -> str:
        """What may be said, as the report says it on top."""
        return "\n".join(compare_content(self.content).verdict) if self.content else "No verdict yet."

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "compare.html"

    def family_rows(self) -> list[dict[str, Any]]:
        """Return the table of the architectures, for people; empty where there was no look."""
        if not self.content:
            return []
        metric = self.content["task"]["metric"]
        return [
            {
                "architecture": family["name"],
                f"{metric} (test)": score(family["mean"]),
                "95 % interval": f"{score(family['low'])} to {score(family['high'])}",
                "parameters": family["parameters"],
                "latency ms": family["latency_ms"],
                "training": duration(family["train_seconds"]),
                "trials": family["trials"],
                "search": duration(family["device_seconds"]),
            }
            for family in self.content.get("families", [])
        ]

    def pair_rows(self) -> list[dict[str, Any]]:
        """Return the table of the pairs, for people."""
        return [
            {
                "pair": f"{pair['a']}, {pair['b']}",
                "difference": number(pair["difference"]),
                "interval": f"{number(pair['low'])} to {number(pair['high'])}",
                "p": number(pair["p_adjusted"]),
                "P(better)": number(pair["p_better"]),
                "seeds": pair["pairs_used"],
                "verdict": pair["verdict"],
            }
            for pair in self.content.get("pairs", [])
        ]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state}: {self.verdict.splitlines()[0]}; {self.folder}>"

    def _repr_html_(self) -> str:
        lines = [*self.verdict.splitlines(), f"Report: {self.report}"]
        tables = [self.family_rows(), self.pair_rows()] if self.content else []
        texts = [[{name: str(value) for name, value in row.items()} for row in rows] for rows in tables]
        return "".join(f"<p>{escape(line)}</p>" for line in lines) + "".join(map(table_html, texts))
