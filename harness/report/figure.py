"""A figure as the JSON that Plotly's script draws.

Plotly's own objects check every property when it is set, which takes most of the time of a report. The tests have them
check every figure here instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Figure:
    """Traces and a layout, of plain JSON values."""

    def __init__(self, layout: Mapping[str, Any]) -> None:
        self.data: list[dict[str, Any]] = []
        """The traces, in the order in which they are drawn."""
        self.layout = dict(layout)

    def add(self, kind: str, **trace: Any) -> None:
        """Add a trace of a kind, such as ``scatter``."""
        self.data.append({"type": kind, **trace})

    def add_annotation(self, **annotation: Any) -> None:
        """Add a text."""
        self.layout.setdefault("annotations", []).append(annotation)

    def add_vline(self, x: float, line: Mapping[str, Any]) -> None:
        """Add an upright line across the whole figure."""
        shape = {"type": "line", "xref": "x", "x0": x, "x1": x, "yref": "y domain", "y0": 0, "y1": 1, "line": line}
        self.layout.setdefault("shapes", []).append(shape)

    def update_layout(self, **parts: Any) -> None:
        """Set parts of the layout; of a part that is a mapping only what is given."""
        _update(self.layout, parts)

    def as_dict(self) -> dict[str, Any]:
        """Return it as Plotly takes it."""
        return {"data": self.data, "layout": self.layout}

    def as_plotly(self) -> go.Figure:
        """Return it as Plotly's own object. Raises :class:`ValueError` for what Plotly does not know."""
        import plotly.graph_objects as go

        return go.Figure(self.as_dict())


def _update(whole: dict[str, Any], parts: Mapping[str, Any]) -> None:
    for name, value in parts.items():
        if isinstance(value, Mapping):
            whole[name] = dict(whole.get(name) or {})
            _update(whole[name], value)
        else:
            whole[name] = value
