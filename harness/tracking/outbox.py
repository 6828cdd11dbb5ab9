"""Hears of a search and tells a tracker of it from a thread of its own, which is all that waits for the tracker."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import first_line
from harness.records import EpochRecord, TrialRecord
from harness.study import Finished, Objective, Observer
from harness.tracking.told import About, Row, about, of_epoch, of_run, of_trial, tags_of
from harness.tracking.tracker import FINAL, Tracker, name_of

MOST = 10_000
"""Pieces of news that may wait; what comes on top while a tracker does not answer is lost, and counted."""
GATHER_S = 1.0
"""How long news is gathered, to be sent together."""
PAUSE_S = 10.0
"""How long a tracker that failed is left alone."""
PATIENCE_S = 30.0
"""How long the end of a search waits for what is still to be sent."""
LONGEST = 160
"""How much is said of an error, in characters; some have the whole request in them."""
FILES = ("report.html", "stats.json", "space.yaml")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_WORDS = {
    "begin": "run",
    "open": "trials begun",
    "rows": "epochs",
    "end": "trials ended",
    FINAL: "of the final model",
    "finish": "end of the run",
}


class _News(NamedTuple):
    """A call of one of the methods of a tracker."""

    method: str
    arguments: tuple[Any, ...]

    @property
    def kind(self) -> str:
        """Under what it is counted where it cannot be sent."""
        return FINAL if self.arguments[0] == FINAL else self.method


class Outbox(Observer):
    """An observer that takes down what it hears in microseconds, and never raises what a tracker does."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self._name = name
        self._tracker = tracker
        self._about: About | None = None
        self._objective = ""
        self._stage: list[str] = []
        """Which steps to the final model have begun."""
        self._steps = 0
        """Epochs of the last of them."""
        self._waiting: deque[_News] = deque()
        self._lost: Counter[str] = Counter()
        self._change = threading.Condition()
        self._closing = threading.Event()
        self._complained = False
        self._thread = threading.Thread(target=self._work, name=f"track-{name}", daemon=True)
        self._thread.start()

    def run_started(self, run: Path, notes: Sequence[str], first: Objective, best: TrialRecord | None) -> None:
        """Tell what the run is."""
        del notes, best
        self._about, self._objective, self._stage = about(run), first.metric, []
        self._put("begin", self._about)

    def trial_started(self, number: int, params: Mapping[str, Any], /) -> None:
        """Tell that a trial begins, or goes on."""
        self._put("open", name_of(number), dict(params), time.time())

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Tell what an epoch came to."""
        assert self._about is not None, "the run has begun"
        if self._stage:
            self._steps += 1
            told = {f"{self._stage[-1]}/{name}": value for name, value in of_epoch(epoch, several=False).items()}
            self._put("rows", FINAL, [Row(told, self._steps, time.time())])
            return
        told = of_epoch(epoch, several=self._about.several)
        self._put("rows", name_of(epoch.trial), [Row(told, epoch.epoch, time.time())])

    def trial_ended(self, record: TrialRecord) -> None:
        """Tell how a trial, or a stretch of it, ended."""
        row = Row(of_trial(record, self._objective), record.epochs, time.time())
        self._put("end", name_of(record.trial), record, row, tags_of(record))

    def final_started(self, how: str, epochs: int, why: str) -> None:
        """Tell that the final model is being made."""
        del epochs, why
        if not self._stage:
            self._put("open", FINAL, {}, time.time())
        self._stage, self._steps = [*self._stage, how], 0

    def run_ended(self, finished: Finished) -> None:
        """Tell how the run ended, and send its report."""
        files = [finished.run / name for name in FILES if (finished.run / name).is_file()]
        best = finished.stats["best"]
        self._finish(finished.state, of_run(finished.stats), {"best_trial": str(best["trial"])} if best else {}, files)

    def run_failed(self) -> None:
        """Tell that the run was ended by an error."""
        if self._about is not None:
            self._finish("failed", {}, {}, [])

    def close(self, seconds: float = PATIENCE_S) -> None:
        """Send what is left for so long, and say what could not be sent."""
        self._closing.set()
        with self._change:
            self._change.notify()
        self._thread.join(seconds)
        with self._change:
            unsent = self._lost + Counter(news.kind for news in self._waiting)
        if unsent:
            told = ", ".join(f"{unsent[kind]} {words}" for kind, words in _WORDS.items() if unsent[kind])
            _say(f"{self._name}: not sent: {told}; the run folder has all of it")

    def _finish(self, state: str, metrics: Mapping[str, float], tags: Mapping[str, str], files: list[Path]) -> None:
        if self._stage:
            stages = {"stages": ", ".join(self._stage)}
            self._put("end", FINAL, None, Row({}, 0, time.time()), stages)
        self._put("finish", state, Row(metrics, 0, time.time()), {"state": state, **tags}, files)
        self._about = None

    def _put(self, method: str, *arguments: Any) -> None:
        news = _News(method, arguments)
        with self._change:
            if len(self._waiting) < MOST:
                self._waiting.append(news)
            else:
                self._lost[news.kind] += 1
            self._change.notify()

    def _work(self) -> None:
        """Send what waits, in its order, until the end; what fails is tried again."""
        try:
            while news := self._next():
                if self._sent(news):
                    with self._change:
                        for _ in news:
                            self._waiting.popleft()
                        drained = not self._waiting
                    if drained:
                        self._closing.wait(GATHER_S)
                elif self._closing.is_set():
                    return
                else:
                    self._closing.wait(PAUSE_S)
        finally:
            self._tracker.close()

    def _next(self) -> list[_News]:
        """Wait for the next piece of news and return it, with those after it that are epochs of the same trial.

        Empty where nothing comes any more.
        """
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closing.is_set())
            if not self._waiting:
                return []
            first, *others = self._waiting
            if first.method != "rows":
                return [first]
            return [
                first,
                *takewhile(lambda news: news.method == "rows" and news.arguments[0] == first.arguments[0], others),
            ]

    def _sent(self, news: Sequence[_News]) -> bool:
        """Tell the tracker, and return whether nothing is left to be done about it."""
        method, arguments = _together(news)
        try:
            getattr(self._tracker, method)(*arguments)
        except self._tracker.failures as error:
            final = self._tracker.refuses(error)
            if final:
                self._lost.update(each.kind for each in news)
            if not self._complained:
                why = _CREDENTIALS.sub("", first_line(error))[:LONGEST]
                later = "" if final else ", and what waits is sent later"
                _say(f"{self._name}: {'refused' if final else 'not reached'} ({why}); the search goes on{later}")
            self._complained = True
            return final
        return True


def _together(news: Sequence[_News]) -> _News:
    """Return one call for several epochs of one trial."""
    method, arguments = news[0]
    if method != "rows":
        return news[0]
    return _News(method, (arguments[0], [row for each in news for row in each.arguments[1]]))


def _say(text: str) -> None:
    print(f"harness: {text}", file=sys.stderr)
