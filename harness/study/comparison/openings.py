"""The log of the openings of the test samples: written before they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.store import RunFolder
from harness.store.files import damaged, read_object
from harness.store.runs import OPENINGS
from harness.study.comparison.winners import Winner, note_opening, times_opened


class Opening(TypedDict):
    """The opening of the test samples for one winner."""

    when: str
    """In UTC, ISO 8601."""
    family: str
    opening: int
    """Its number among all openings for this winner, in whatever comparison."""
    reopened: bool
    seeds: list[int]
    """Of the trainings that are scored."""


_OPENINGS = TypeAdapter(list[Opening])


def read_openings(folder: Path) -> list[Opening]:
    """Return the log of a comparison, empty where there is none. Raises :class:`StorageError` where it is damaged."""
    path = folder / OPENINGS
    if not path.is_file():
        return []
    try:
        return _OPENINGS.validate_python(read_object(path).get("openings"), strict=True)
    except ValidationError as error:
        raise damaged(path, error, "openings") from None


class Openings:
    """One opening for each winner, which lasts from the first look of a design to its last."""

    def __init__(self, folder: RunFolder, winners: Sequence[Winner]) -> None:
        self._folder = folder
        self._winners = winners
        self.rows = read_openings(folder.path)

    def note(self, seeds: Sequence[int]) -> None:
        """Note that the trainings of every winner with these seeds are scored, here and in the winners' own runs.

        A look that a comparison that is gone on with repeats takes nothing away.
        """
        known = {row["family"]: row for row in self.rows}
        rows = [known.get(winner.name) or self._first(winner) for winner in self._winners]
        self.rows = [{**row, "seeds": list(dict.fromkeys([*row["seeds"], *seeds]))} for row in rows]
        self._folder.write_json(OPENINGS, {"openings": self.rows})
        for winner, row in zip(self._winners, self.rows, strict=True):
            note_opening(winner.run, row["opening"])

    def _first(self, winner: Winner) -> Opening:
        before = times_opened(winner.run)
        return Opening(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            family=winner.name,
            opening=before + 1,
            reopened=before > 0,
            seeds=[],
        )
