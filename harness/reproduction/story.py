"""The story of a reproduction: from the files of a run to the level of each of its trials."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.api import abort, publish, source_of
from harness.errors import HardwareError, InputError
from harness.problems.scoring import Function
from harness.records import Plan
from harness.reproduction.environment import available_device, differences
from harness.reproduction.judging import Judge
from harness.reproduction.levels import Level, Reproduced, Reproduction, Unavailable
from harness.reproduction.recorded import REPLAYED, Recorded, chosen_trials, read_recorded, read_trials
from harness.reproduction.replay import Display, Means, Winner, request_of
from harness.reproduction.seeds import check_seeds, with_new_seeds
from harness.reproduction.sources import data_checks, file_checks
from harness.reproduction.tolerance import RELATIVE
from harness.signals import asked_to_end
from harness.spec import Spec
from harness.store import check_run
from harness.store.runs import check_no_comparison
from harness.study import Finished, Observer, Opened, Request, Stop, open_search, run_search
from harness.study.decide.fixed import Replicate


def _unwatched(_spec: Spec, _seconds: float) -> nullcontext[Observer]:
    return nullcontext(Observer())


def reproduce(
    run: str | Path,
    *,
    trial: int | None = None,
    every_trial: bool = False,
    seeds: int | None = None,
    tolerance: float = RELATIVE,
    device: str | None = None,
    data: Any = None,
    target: str | None = None,
    metrics: Mapping[str, Function] | None = None,
    trust: bool = False,
    out: str | Path = "results",
    timeout_s: float | None = None,
    display: Display = _unwatched,
    argv: Sequence[str] = (),
    started_s: float | None = None,
) -> Reproduction:
    """Train what a run has recorded once more, and say how far it comes to the same.

    The winner is trained, and its final model made and scored on the test samples; or a ``trial``; or, with
    ``every_trial``, each trial that was completed or pruned. Before that the files of the run, its records, its data
    and the split are compared with what they are now. The trainings leave a run folder below ``out``; ``run`` is never
    written to. ``tolerance`` is the share of a loss that may differ, ``seeds`` how many new seeds a value is compared
    with where it lies beyond; docs/reproduce.md has the levels. ``data``, ``target``, ``metrics`` and ``trust`` are
    those of :func:`harness.search`, where the run had them from Python; ``device`` is that of the run by default.

    >>> import harness
    >>> made = harness.reproduce(run)
    >>> str(made.level), made.trials[0].differs
    ('exact', '')

    Raises :class:`InputError` where there is nothing to reproduce, and :class:`StorageError` where the run is damaged.
    """
    started_s = time.monotonic() if started_s is None else started_s
    check_seeds(seeds)
    if not (math.isfinite(tolerance) and tolerance >= 0.0):
        raise InputError(f"tolerance {tolerance:g}: expected a share from 0 on, such as {RELATIVE:g}")
    if trial is not None and every_trial:
        raise InputError(f"trial {trial}: leave it out, or --all")
    source = source_of(data, target)
    means = Means(device or "", Path(out), trust, source, metrics or {}, argv or ("harness.reproduce", str(run)))
    check_run(Path(run))
    check_no_comparison(Path(run))
    checks, notes = file_checks(Path(run))
    made = Reproduction(Path(run), checks=checks, notes=notes)
    if checks:
        return made
    try:
        recorded = read_recorded(Path(run))
        numbers = chosen_trials(recorded, trial, every=every_trial)
        story = _Story(recorded, made, means, Stop(timeout_s, started_s=started_s), seeds, tolerance, display)
        return story.tell(numbers, final=trial is None, told=_left_out(recorded) if every_trial else [])
    except Unavailable as error:
        return replace(made, missing=str(error))


def _left_out(recorded: Recorded) -> list[str]:
    counts = Counter(str(each.record.outcome) for each in recorded.trials.values() if each.record.same_as is None)
    kept = [f"{count} {outcome}" for outcome, count in counts.items() if outcome not in REPLAYED]
    return [f"not trained again, since there is nothing to come to: {', '.join(kept)}"] if kept else []


@dataclass
class _Story:
    """One reproduction."""

    recorded: Recorded
    made: Reproduction
    means: Means
    stop: Stop
    seeds: int | None
    tolerance: float
    display: Display

    def tell(self, numbers: Sequence[int], *, final: bool, told: Sequence[str]) -> Reproduction:
        """Check what there is to check, train what agrees, and judge. Raises :class:`Unavailable`."""
        recorded, made = self.recorded, replace(self.made, notes=[*self.made.notes, *told])
        replicates = [recorded.replicate(number) for number in numbers]
        plans = [each.plan for each in replicates if each.plan is not None]
        request, opened = self._opened(replicates, plans)
        checks, untold = data_checks(recorded, opened)
        made = replace(
            made,
            checks=checks,
            notes=[*made.notes, *([untold] if untold else [])],
            environment=differences(recorded, opened.job.device, plans),
        )
        if not all(check.equal for check in checks):
            return made
        with asked_to_end(self.stop.request, again=abort):
            return self._trained(made, request, opened, numbers, final=final)

    def _opened(self, replicates: Sequence[Replicate], plans: Sequence[Plan]) -> tuple[Request, Opened]:
        try:
            device = available_device(self.means.device or None, plans)
            self.means = replace(self.means, device=str(device))
            request = request_of(self.recorded, replicates, self.means)
            return request, open_search(request)
        except (InputError, HardwareError) as error:
            raise Unavailable(str(error)) from None

    def _trained(
        self, made: Reproduction, request: Request, opened: Opened, numbers: Sequence[int], *, final: bool
    ) -> Reproduction:
        recorded, best = self.recorded, self.recorded.best
        winner = None
        if final and best is not None and recorded.trained(best) in numbers:
            if recorded.final is None or recorded.final.trial != best:
                made = replace(made, notes=[*made.notes, "the run has no final model of its winner to compare with"])
            else:
                place, counts = numbers.index(recorded.trained(best)), recorded.averaged
                places = {numbers.index(number): count for number, count in counts.items() if number in numbers}
                winner = Winner(recorded, opened, place, recorded.final, places)
        finished, why = self._run(request, opened, self._seconds(numbers, final=winner is not None), winner)
        trials, drawn = self._judged(opened, finished, numbers, winner, why)
        return replace(
            made,
            trials=trials,
            runs=[finished.run, *drawn],
            notes=[*made.notes, *([why] if why else [])],
            signal=self.stop.signal,
        )

    def _judged(
        self, opened: Opened, finished: Finished, numbers: Sequence[int], winner: Winner | None, why: str
    ) -> tuple[list[Reproduced], list[Path]]:
        """Return how far each trial was reproduced, and the runs of new seeds that this took."""
        judge = Judge(self.recorded, opened, finished.run, self.tolerance)
        found = read_trials(finished.run, [each["direction"] for each in self.recorded.stats["objective"]])
        trials, runs = [], []
        for place, number in enumerate(numbers):
            test = (finished.stats.get("test"), why) if winner is not None and winner.place == place else None
            each = judge.trial(number, found.get(place), test)
            if each.level is Level.MISMATCH and judge.undecided and self.seeds and not self.stop.reason:
                drawn, _ = self._with_seeds(number, self.seeds)
                runs.append(drawn.run)
                each = judge.by_seeds(each, list(drawn.records.values()))
            trials.append(each)
        return trials, runs

    def _with_seeds(self, number: int, seeds: int) -> tuple[Finished, str]:
        request = request_of(self.recorded, with_new_seeds(self.recorded.replicate(number), seeds), self.means)
        return self._run(request, open_search(request), seeds * self._seconds([number], final=False), None)

    def _run(self, request: Request, opened: Opened, seconds: float, winner: Winner | None) -> tuple[Finished, str]:
        """Train, make the final model of a winner, and write the report."""
        why = ""
        with self.display(opened.job.spec, seconds) as observer:
            finished = run_search(request, opened, self.stop, observer)
            if winner is not None and winner.complete(finished) and not self.stop.reason:
                finished, why = winner.make(finished, self.stop, observer)
        publish(finished)
        return finished, why

    def _seconds(self, numbers: Sequence[int], *, final: bool) -> float:
        """Return what the trainings took where they were recorded."""
        spent = [self.recorded.trials[number].record.seconds for number in numbers]
        test = self.recorded.stats["test"] if final else None
        made = [test.get("rehearsal_s") or 0.0, test.get("refit_s") or 0.0] if test else []
        return float(sum(value for value in (*spent, *made) if math.isfinite(value)))
