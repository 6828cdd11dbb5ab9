"""Progress of a comparison on stderr: which stage it is at, then what a search shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.text import Text

from harness.cli.console import err
from harness.cli.progress import make_display
from harness.spec import Spec
from harness.study.comparison.story import Watch
from harness.study.observer import Observer


class Stages(Watch):
    """A line for each stage and each look; in between the display of a search."""

    @contextmanager
    def stage(self, what: str, spec: Spec) -> Iterator[Observer]:
        """Print what begins, and show it as a search is shown."""
        err().print(Text(what))
        with make_display(spec) as display:
            yield display

    def look(self, pairs: int, next_look: int | None, said: Sequence[str]) -> None:
        """Print what the look says."""
        then = f"the next look is at {next_look}" if next_look is not None else "the last look"
        err().print(Text(f"look at {pairs} pairs: {'; '.join(said)} ({then})"))
