"""The figures of a report as Plotly objects, for notebooks and for papers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InputError, did_you_mean
from harness.report.canvas import label
from harness.report.charts import Chart, draw
from harness.report.findings import analyse
from harness.report.load import load_run

if TYPE_CHECKING:
    import plotly.graph_objects as go

_ABOVE = 90
"""Pixels above a figure for its title, which stands outside of it in a report, and its legend."""


class Plots:
    """The figures that the report of a run shows, by the same functions, each a ``plotly.graph_objects.Figure``.

    The run is read when the first one is asked for. A figure that the run has no data for is an :class:`InputError`
    that says why.

    >>> import harness
    >>> plot = harness.open_run("results/20260101-120000-digits-1a2b").plot  # doctest: +SKIP
    >>> plot.history().show(), plot.learning_curves("accuracy").write_image("curves.pdf")  # doctest: +SKIP
    """

    def __init__(self, run: Path) -> None:
        self._run = run

    @cached_property
    def _charts(self) -> dict[str, tuple[Chart, ...]]:
        return draw(analyse(load_run(self._run)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all figures that the run has, ``section: title``."""
        return tuple(name for name, _ in self._named())

    def __getitem__(self, name: str) -> go.Figure:
        """Return the figure of a name in :attr:`names`."""
        found = dict(self._named())
        if name not in found:
            raise InputError(f"no figure {name!r}{did_you_mean(name, found)}")
        return _alone(found[name])

    def history(self) -> go.Figure:
        """Return the first objective of every trial, and the best so far."""
        return self._figure("search")

    def learning_curves(self, metric: str | None = None) -> go.Figure:
        """Return a metric of the best trials over their epochs; None: the first objective."""
        return self._figure("curves", metric)

    def importance(self) -> go.Figure:
        """Return how much each searched parameter matters to the first objective."""
        return self._figure("importances", "Permutation importance")

    def slice(self, parameter: str) -> go.Figure:
        """Return the first objective over one searched parameter, named by its dotted path."""
        return self._figure("importances", parameter)

    def parallel(self) -> go.Figure:
        """Return the complete trials as lines over their parameters to the first objective."""
        return self._figure("importances", "Parallel coordinates")

    def pareto(self) -> go.Figure:
        """Return the Pareto front: of the first two objectives, or with one objective of it and what a trial costs."""
        return self._figure("front" if "front" in self._charts else "trade-offs")

    def test(self, title: str | None = None) -> go.Figure:
        """Return a figure of the test samples; None: the confusion matrix, or predicted over actual values."""
        return self._figure("test", title)

    def telemetry(self, title: str | None = None) -> go.Figure:
        """Return what the meters sampled over the time of the run, such as ``Memory``; None: the first one."""
        return self._figure("telemetry", title)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._run}: {', '.join(self.names) or 'none'}>"

    def _repr_html_(self) -> str:
        return f"<p>Figures:</p><ul>{''.join(f'<li>{escape(name)}</li>' for name in self.names)}</ul>"

    def _named(self) -> Iterator[tuple[str, Chart]]:
        for section, charts in self._charts.items():
            for chart in charts:
                if chart.figure is not None:
                    yield f"{section}: {chart.title}", chart

    def _figure(self, section: str, title: str | None = None) -> go.Figure:
        charts = self._charts.get(section, ())
        for chart in charts:
            if chart.figure is not None and title in (None, chart.title):
                return _alone(chart)
        why = next((chart.note for chart in charts if chart.figure is None and title in (None, chart.title)), "")
        known = [chart.title for chart in charts if chart.figure is not None]
        hint = did_you_mean(title, known) if title and known else ""
        raise InputError(f"{self._run}: no figure of {title or section}{hint}{why and f': {why}'}")


def _alone(chart: Chart) -> go.Figure:
    """Return a chart's figure as it stands without a page around it, under its title."""
    assert chart.figure is not None, "only charts that have one are named"
    figure = chart.figure.as_plotly()
    return figure.update_layout(title={"text": label(chart.title, 120)}, margin={"t": _ABOVE})
