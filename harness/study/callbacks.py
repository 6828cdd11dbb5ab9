"""The user's own code that watches a search: what it raises ends the search, and loses nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import described
from harness.records import EpochRecord, TrialRecord
from harness.study.objectives import Objective
from harness.study.observer import Observer
from harness.study.stop import Stop

OnEpoch = Callable[[EpochRecord], object]
OnTrial = Callable[[TrialRecord], object]


class StopSearch(Exception):
    """Ends a search early: raised, or returned, by a callback or a method of an :class:`Observer`.

    What is under way is given up as when the time of the run is used up: the best trial so far becomes the final model,
    the report is written, and a resumed search goes on. After the last trial it changes nothing. Its text is the reason
    that is recorded of the trials under way.

    >>> import harness
    >>> def enough(trial):
    ...     if trial.values and trial.values[0] > 0.1:
    ...         raise harness.StopSearch("good enough")
    >>> len(harness.search(space, trials=2, workers=0, on_trial=enough).trials)
    1
    """


class Callbacks(Observer):
    """Passes on what happens to an observer and to functions; has the search end where one of them raises.

    An error ends the search as a signal does, with everything saved and the test samples unopened; it is kept in
    ``stop.error``, to be raised when that is done. From then on nobody hears anything any more.
    """

    def __init__(
        self, stop: Stop, observer: Observer, on_epoch: OnEpoch | None = None, on_trial: OnTrial | None = None
    ) -> None:
        self._stop = stop
        self._observer = observer
        self._on_epoch = on_epoch
        self._on_trial = on_trial

    def run_started(self, run: Path, notes: Sequence[str], first: Objective, best: TrialRecord | None) -> None:
        """Pass it on."""
        self._tell(self._observer.run_started, run, notes, first, best)

    def trial_started(self, number: int, params: Mapping[str, Any], /) -> None:
        """Pass it on."""
        self._tell(self._observer.trial_started, number, params)

    def epoch_ended(self, epoch: EpochRecord) -> None:
        """Pass it on."""
        self._tell(self._observer.epoch_ended, epoch)
        self._tell(self._on_epoch, epoch)

    def trial_ended(self, record: TrialRecord) -> None:
        """Pass it on."""
        self._tell(self._observer.trial_ended, record)
        self._tell(self._on_trial, record)

    def final_started(self, how: str, epochs: int, why: str) -> None:
        """Pass it on."""
        self._tell(self._observer.final_started, how, epochs, why)

    def _tell(self, callback: Callable[..., object] | None, *news: object) -> None:
        if callback is None or self._stop.error is not None:
            return
        with _Deferred(self._stop):
            answer = callback(*news)
            if isinstance(answer, StopSearch):
                raise answer
            if answer is StopSearch:
                raise StopSearch


class _Deferred:
    """Holds back what is raised within until the run is saved; what is no error, such as Ctrl-C, passes through."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if isinstance(error, StopSearch):
            self._stop.end(str(error) or "a callback ended the search")
        elif isinstance(error, Exception):
            self._stop.error = error
            self._stop.end(f"a callback raised {described(error)}")
        return isinstance(error, Exception)
