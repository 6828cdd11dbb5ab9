"""The log of the openings of the test samples: written before they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from harness.store import RunFolder
from harness.store.files import read_object
from harness.study.comparison.winners import Winner, note_opening, times_opened

FILE = "openings.json"


class Openings:
    """One opening for each winner, which lasts from the first look of a design to its last."""

    def __init__(self, folder: RunFolder, winners: Sequence[Winner]) -> None:
        self._folder = folder
        self._winners = winners
        path = folder.path / FILE
        self.rows: list[dict[str, Any]] = read_object(path)["openings"] if path.is_file() else []

    def note(self, seeds: Sequence[int]) -> None:
        """Note that the trainings of every winner with these seeds are scored, here and in the winners' own runs."""
        known = {row["family"]: row for row in self.rows}
        self.rows = [{**known.get(winner.name, self._first(winner)), "seeds": list(seeds)} for winner in self._winners]
        self._folder.write_json(FILE, {"openings": self.rows})
        for winner, row in zip(self._winners, self.rows, strict=True):
            note_opening(winner.run, row["opening"])

    def _first(self, winner: Winner) -> dict[str, Any]:
        before = times_opened(winner.run)
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "family": winner.name,
            "opening": before + 1,
            "reopened": before > 0,
        }
