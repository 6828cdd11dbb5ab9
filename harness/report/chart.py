"""One chart of a report: a figure with what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.axes import outside
from harness.report.figure import Figure
from harness.report.wording import plural


@dataclass(frozen=True)
class Chart:
    """One figure with its title, or the reason for which there is none."""

    title: str
    figure: Figure | None
    note: str
    wide: bool = False
    """Takes the whole width instead of a place in a row."""

    @property
    def caption(self) -> str:
        """The note, and how many points the axes leave out, so that no figure can do so unsaid."""
        left_out = outside(self.figure) if self.figure is not None else 0
        if not left_out:
            return self.note
        lie, it = ("lies", "it") if left_out == 1 else ("lie", "them")
        words = f"{plural(left_out, 'point')} {lie} partly or wholly outside of the axes; double-click to see {it}."
        return f"{self.note} {words}".strip()
