"""Progress of a search on stderr: on a terminal a live table, elsewhere lines."""

from __future__ import annotations

from harness.cli.console import err
from harness.cli.lines import Lines
from harness.spec import Spec


def make_display(spec: Spec) -> Lines:
    """Return the display that fits stderr."""
    console = err()
    if not console.is_terminal:
        return Lines(console, spec)
    from harness.cli.live import LiveTable

    return LiveTable(console, spec)
