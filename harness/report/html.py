"""report.html: one file that opens offline, with its style, its charts and Plotly inside.

Nothing of a run can act in the page: Jinja escapes every text, figures travel as JSON that holds no ``<``, and the
page's policy lets only the scripts run whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report.blocks import Content, Section
from harness.report.chart import Chart

_CHART_SECTIONS = {
    "curves": ("Learning curves", "winner"),
    "trade-offs": ("Trade-offs", "importances"),
    "telemetry": ("Telemetry", "unmeasured"),
}
"""Sections that have nothing but charts: title, and the section before which each stands."""


@dataclass(frozen=True)
class _Place:
    """A chart's place in the page."""

    identity: str
    chart: Chart
    height: int
    """Pixels that the figure will take, kept free for it so that nothing jumps when it is drawn."""
    json: Markup


def render_html(content: Content, charts: dict[str, tuple[Chart, ...]]) -> str:
    """Return the text of ``report.html``."""
    environment = Environment(
        loader=PackageLoader("harness.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"breakable": _breakable, "json": _json}
    scripts = {"plotly": _plotly(), "page": _asset("report.js")}
    places = {anchor: [_place(anchor, *item) for item in enumerate(drawn)] for anchor, drawn in charts.items()}
    page: str = environment.get_template("report.html.j2").render(
        content=content,
        sections=_with_chart_sections(content.sections, charts),
        charts=places,
        style=Markup(_asset("report.css")),
        scripts={name: Markup(text) for name, text in scripts.items()},
        policy=" ".join(_hash(text) for text in scripts.values()),
    )
    return page.rstrip() + "\n"


def _with_chart_sections(sections: tuple[Section, ...], charts: dict[str, tuple[Chart, ...]]) -> list[Section]:
    """Return the sections in page order, those made of charts alone among them."""
    ordered = list(sections)
    for anchor, (title, before) in _CHART_SECTIONS.items():
        if anchor in charts:
            anchors = [section.anchor for section in ordered]
            place = anchors.index(before) if before in anchors else anchors.index("task")
            ordered.insert(place, Section(anchor=anchor, title=title))
    return ordered


def _place(anchor: str, position: int, chart: Chart) -> _Place:
    json_text = Markup("") if chart.figure is None else _json(chart.figure.as_dict())
    height = 0 if chart.figure is None else chart.figure.layout["height"]
    return _Place(f"chart-{anchor}-{position}", chart, height, json_text)


def _json(value: Any) -> Markup:
    """Return JSON that cannot end the script element it stands in, the same bytes every time."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _breakable(text: str) -> Markup:
    """Return a name that may be broken after its dots and underscores, where the browser would not break it."""
    return escape(text).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>"))


def _plotly() -> str:
    """Return Plotly's script, without importing what draws with it in Python."""
    return files("plotly.package_data").joinpath("plotly.min.js").read_text(encoding="utf-8")


def _asset(name: str) -> str:
    return files("harness.report").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return the source expression of Content Security Policy that allows exactly this script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
