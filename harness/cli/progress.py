"""Progress of a search on stderr: on a terminal a live table, elsewhere lines."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from harness.cli.console import err
from harness.cli.lines import Lines
from harness.spec import Spec
from harness.study import Observer


class Display(Observer, Protocol):
    """An observer that is opened and closed."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""


def make_display(spec: Spec) -> Display:
    """Return the display that fits stderr."""
    console = err()
    if not console.is_terminal:
        return Lines(console, spec)
    from harness.cli.live import LiveTable

    return LiveTable(console, spec)
