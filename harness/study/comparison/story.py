"""The story of a comparison: searches, frozen winners, seeds, looks, a verdict.

How looks and the rule that the test samples are opened once go together: the design (looks, thresholds, margin, seeds)
is written down before anything is trained, and nothing is chosen by what a look shows but whether more seeds are
trained, which the thresholds pay for. So an opening of a winner lasts from the first look of the design to the last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import Interrupted, NoSuccessfulTrialError
from harness.spec import Spec
from harness.statistics import Design, Margin
from harness.store import RunFolder, read_status
from harness.store.runs import COMPARISON
from harness.study.comparison.asked import Asked
from harness.study.comparison.clock import Clock
from harness.study.comparison.contestants import Contestant
from harness.study.comparison.document import (
    SCHEMA_VERSION,
    concluded,
    design_of,
    design_told,
    family_of,
    margin_of,
    task_of,
)
from harness.study.comparison.searches import Publish, search
from harness.study.comparison.trainings import Trainings
from harness.study.comparison.winners import Winner, winner_of
from harness.study.observer import Observer
from harness.study.search import Request


class Watch:
    """Who watches a comparison; what it does not override it lets pass."""

    def stage(self, what: str, spec: Spec) -> AbstractContextManager[Observer]:
        """Learn that a search, or the training of the winners, begins; return who watches it."""
        del what, spec
        return nullcontext(Observer())

    def look(self, pairs: int, next_look: int | None, said: Sequence[str]) -> None:
        """Learn what a look at so many pairs says of every two, and at how many pairs the next one is."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison left in its folder."""

    folder: Path
    content: Mapping[str, Any]
    """Of ``comparison.json``; empty where there was no look."""
    state: str
    """``complete`` or ``interrupted``."""


class Comparison:
    """From the state of its folder to the end of its design, the end of the time, or a request to stop."""

    def __init__(
        self,
        folder: RunFolder,
        asked: Asked,
        contestants: Sequence[Contestant],
        base: Request,
        clock: Clock,
        watch: Watch,
        publish: Publish,
    ) -> None:
        self._folder = folder
        self._asked = asked
        self._contestants = contestants
        self._base = base
        self._clock = clock
        self._watch = watch
        self._publish = publish
        self._started_s = time.monotonic() - read_status(folder.path).get("elapsed_s", 0.0)

    def run(self) -> Compared:
        """Search, train, look, and leave ``comparison.json``; the page is made a floor above.

        Raises :class:`NoSuccessfulTrialError` where an architecture has no winner, or the time ended before a look.
        """
        self._set_state("running")
        try:
            content = self._compared(self._winners())
        except Interrupted:
            content = {}
        except BaseException:
            self._set_state("failed")
            raise
        state = "interrupted" if self._clock.signal or not content else content["state"]
        if content:
            self._folder.write_json(COMPARISON, {**content, "state": state})
        self._set_state(state)
        return Compared(self._folder.path, content, state)

    def _winners(self) -> list[Winner]:
        """Return the frozen winners, each found by a search of its own unless its run is there already."""
        if self._asked.runs:
            return [winner_of(name, Path(run)) for name, run in self._asked.runs.items()]
        winners, folder = [], self._folder.path
        for number, contestant in enumerate(self._contestants, start=1):
            what = f"search {number} of {len(self._contestants)}: {contestant.name}"
            with self._watch.stage(what, contestant.spec) as observer:
                run = search(contestant, self._base, folder, self._clock, observer, self._publish)
            winners.append(winner_of(contestant.name, run))
        return winners

    def _compared(self, winners: Sequence[Winner]) -> dict[str, Any]:
        """Train the winners under seeds, look after each round, and return what is known after the last look."""
        design = design_of(self._asked)
        trainings = Trainings(
            self._folder, self._base, winners, asked=self._asked, most=design.looks[-1], clock=self._clock
        )
        margin = margin_of(self._asked, trainings.opened)
        content: dict[str, Any] = {}
        oriented: dict[str, list[float]] = {winner.name: [] for winner in winners}
        with self._watch.stage(f"the winners, each under up to {design.looks[-1]} seeds", trainings.spec) as observer:
            while (pairs := design.next_look(oriented, margin=margin)) is not None:
                if not trainings.train(pairs, observer):
                    break
                content, oriented = self._look(trainings, winners, pairs, design, margin)
        if trainings.finished is not None:
            self._publish(trainings.finished)
        if not content and not self._clock.signal:
            raise NoSuccessfulTrialError(
                f"{self._folder.path}: {len(trainings.whole)} pairs of trainings are complete, the first look takes "
                f"{design.looks[0]}; winners/ says why, --resume {self._folder.path} goes on"
            )
        return {**content, "state": "complete" if pairs is None else "interrupted"} if content else {}

    def _look(
        self, trainings: Trainings, winners: Sequence[Winner], pairs: int, design: Design, margin: Margin | None
    ) -> tuple[dict[str, Any], dict[str, list[float]]]:
        """Score so many pairs on the test samples; return what is known now, and the scores, larger is better."""
        used = trainings.whole[:pairs]
        values, records = trainings.score(used), trainings.records(used)
        objective, seed = trainings.opened.job.objectives[0], self._asked.seed
        sign = 1.0 if objective.maximize else -1.0
        oriented = {name: [sign * value for value in scores] for name, scores in values.items()}
        seeds = [trainings.seed(pair) for pair in used]
        families = [
            family_of(each, records[each.name], values[each.name], seeds, seed=seed, folder=self._folder.path)
            for each in winners
        ]
        verdicts = design.judge(oriented, margin=margin, seed=seed)
        after = design.next_look(oriented, margin=margin)
        self._watch.look(pairs, after, [f"{each.a}, {each.b}: {each.verdict}" for each in verdicts])
        content = {
            "schema": SCHEMA_VERSION,
            "kind": "comparison",
            "task": task_of(trainings.opened.dataset, objective),
            "design": design_told(self._asked, design, pairs),
            "families": families,
            **concluded(families, verdicts, maximize=objective.maximize),
            "openings": trainings.openings,
            "notes": [*_notes(trainings, pairs, design, len(winners))],
        }
        return content, oriented

    def _set_state(self, state: str) -> None:
        self._folder.set_state(state, kind="comparison", elapsed_s=time.monotonic() - self._started_s)


def _notes(trainings: Trainings, pairs: int, design: Design, families: int) -> Iterator[str]:
    """Yield what a reader must know beside the figures."""
    yield from trainings.opened.dataset.notes
    if failed := trainings.failed(pairs):
        yield f"in {failed} of the pairs a training did not complete; others took their places"
    if design.least_pairs(families) is None:
        yield (
            f"{design.looks[-1]} seeds are too few to find any difference between {families} architectures: the "
            "smallest p-value that they can have is above the threshold; use more, or --seeds auto"
        )
