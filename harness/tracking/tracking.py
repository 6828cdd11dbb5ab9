"""All trackers of a search, opened before it and closed after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module

from harness.store import masked
from harness.study import Finished, Observers
from harness.tracking.asked import Asked, check_track
from harness.tracking.outbox import Outbox
from harness.tracking.tracker import Tracker

HURRY_S = 2.0
"""How long a search that was ended by an error, or a second signal, waits for its trackers."""


class Tracking(Observers):
    """Tells every tracker what happens, from a search's beginning to its end."""

    def __init__(self, boxes: Sequence[Outbox]) -> None:
        super().__init__(*boxes)
        self._boxes = boxes

    def run_ended(self, finished: Finished) -> None:
        """Tell how a run ended whose report is written."""
        for box in self._boxes:
            box.run_ended(finished)


@contextmanager
def tracked(track: str | Iterable[str]) -> Iterator[Tracking]:
    """Give who is to hear of the searches within; at the end send what is left, and say what could not be sent.

    ``track`` has texts such as ``mlflow`` and ``tensorboard=DIR``. Raises :class:`InputError` for anything else, and
    :class:`HardwareError` where a package is missing.
    """
    trackers = {each: _open(each) for each in check_track(track)}
    with ExitStack() as stack:
        boxes = []
        for asked, tracker in trackers.items():
            stack.enter_context(_environment(tracker.settings))
            place = f" ({masked(asked.where)})" if asked.where else ""
            boxes.append(Outbox(f"{asked.name}{place}", tracker))
        try:
            yield Tracking(boxes)
        except BaseException:
            for box in boxes:
                box.run_failed()
                box.close(HURRY_S)
            raise
        for box in boxes:
            box.close()


def _open(asked: Asked) -> Tracker:
    module = import_module(f"harness.tracking.{asked.name}")
    tracker: Tracker = module.open_tracker(asked.where)
    return tracker


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, and take them back at the end."""
    mine = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)
