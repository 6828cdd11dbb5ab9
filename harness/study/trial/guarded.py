"""A watcher among the code of a candidate: what it raises must not be taken for the candidate's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.study.contract import Report, Watcher


class WatcherError(Exception):
    """Carries what the watcher raised through the code of the candidate."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Guarded:
    """A watcher whose errors are :class:`WatcherError`."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def judge(self, report: Report) -> str:
        """Have an epoch judged."""
        try:
            return self._watcher.judge(report)
        except Exception as error:
            raise WatcherError(error) from error

    def judge_all(self, reports: Sequence[Report]) -> list[str]:
        """Have an epoch of each of several trials judged."""
        try:
            return self._watcher.judge_all(reports)
        except Exception as error:
            raise WatcherError(error) from error

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Have a checkpoint kept."""
        try:
            self._watcher.keep(trial, checkpoint)
        except Exception as error:
            raise WatcherError(error) from error
