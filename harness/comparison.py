"""Comparisons from Python: ``harness.compare``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.api import OVERRIDES, abort, publish, request_of
from harness.data import load
from harness.errors import InputError, StorageError
from harness.report import load_run
from harness.report.compare_page import read_comparison, write_comparison
from harness.report.compare_result import ComparisonResult
from harness.signals import asked_to_end
from harness.spec import Spec, as_yaml, canonical
from harness.store import RunFolder, check_run, environment, seal
from harness.store.runs import DESIGN
from harness.study import Finished, Observer, Observers, Request, open_search
from harness.study.comparison.asked import Asked, read_asked
from harness.study.comparison.checks import (
    check_alike,
    check_data,
    check_finished,
    check_splits,
    check_unchanged,
    check_unopened,
)
from harness.study.comparison.clock import Clock, check_fits
from harness.study.comparison.contestants import Contestant, contestants_of
from harness.study.comparison.document import design_of, margin_of
from harness.study.comparison.searches import finished
from harness.study.comparison.story import Comparison, Watch
from harness.study.search import spec_of_run
from harness.tracking import Tracking, tracked

NOT_TAKEN = ("plan_from", "storage", "timeout_s", "observer", "on_epoch", "on_trial")
"""Arguments of a search that a comparison of several has no use for."""


def compare(
    space: str | Mapping[str, Any] | Sequence[str | Path] | None = None,
    *,
    families: Iterable[str] | Mapping[str, str] | None = None,
    seeds: int | Literal["auto"] = "auto",
    margin: float | None = None,
    time_s: float | None = None,
    reopen_test: bool = False,
    resume: str | Path | None = None,
    watch: Watch | None = None,
    started_s: float | None = None,
    **options: Any,
) -> ComparisonResult:
    """Compare the architectures of ``space``, or the winners of several runs, and leave a sealed folder with a report.

    Each architecture is searched with the same trials and time; the winners are then trained under the same seeds, and
    scored on the test samples. ``space`` is what :func:`harness.search` takes, or a list of run folders. ``families``
    names some of the architectures; a mapping of names to architectures lets one take part under several names.
    ``seeds`` is ``"auto"`` or a number of pairs, ``margin`` the difference that counts as none (in percentage points
    for metrics that are shares), ``time_s`` the seconds for everything. ``reopen_test`` allows to score on test samples
    that were opened before. ``resume`` is the folder of a comparison to go on with. ``options`` are those of
    :func:`harness.search`, for each of the searches.

    >>> result = harness.compare("digits", trials=10, margin=0.5)  # doctest: +SKIP
    >>> print(result.verdict)  # doctest: +SKIP

    Raises the errors of :mod:`harness.errors`.
    """
    if unused := next((name for name in NOT_TAKEN if name in options), None):
        raise InputError(f"{unused}: a comparison does not take it; use it with harness.search")
    options["overrides"] = tuple(options.get("overrides", ()))
    if resume is not None:
        fixed = {"a space": space, "families": families, "margin": margin, "seeds": None if seeds == "auto" else seeds}
        fixed |= {"reopen_test": reopen_test or None, "overrides": options["overrides"] or None}
        fixed |= {name: options.get(name) for name in (*OVERRIDES, "trial_timeout_s")}
        plan = _resumed(Path(resume), [name for name, value in fixed.items() if value is not None], time_s, options)
    else:
        asked = Asked(seeds=seeds, margin=margin, time_s=time_s, reopen=reopen_test)
        design_of(asked)
        if isinstance(space, Sequence) and not isinstance(space, str):
            if families is not None:
                raise InputError("families: of runs the winners are compared; leave it out, or compare a space")
            plan = _of_runs(space, asked, options)
        else:
            plan = _of_space(space, families, asked, options)
    clock = Clock(time_s if time_s is not None else plan.asked.time_s, started_s=started_s)
    plan = replace(plan, contestants=tuple(each.within(plan.asked.share_s) for each in plan.contestants))
    with asked_to_end(clock.request, again=abort), tracked(options.get("track", ())) as tracking:
        task = plan.base.spec.task
        data = load(task, seed=task.split.seed, given=plan.base.data)  # once for all searches
        data.check_tested("a comparison")
        plan = replace(plan, base=replace(plan.base, dataset=data))
        _check(plan, Path(resume) if resume else None)
        if resume is None:
            check_unopened([Path(run) for run in plan.asked.runs.values()], reopen=reopen_test)
        folder = RunFolder.open(Path(resume)) if resume else _begun(plan, data.name)
        try:
            folder.unseal()
            watching = _Tracked(watch or Watch(), tracking)
            compared = Comparison(
                folder, plan.asked, plan.contestants, plan.base, clock, watching, watching.publish
            ).run()
        finally:
            folder.close()
        if compared.content:
            write_comparison(compared.folder)
            seal(compared.folder, {"kind": "comparison", "state": compared.state})
    content = read_comparison(compared.folder) if compared.content else {}
    return ComparisonResult(compared.folder, compared.state, content, clock.signal)


class _Tracked(Watch):
    """Has trackers hear of each search, and of the trainings of the winners, as of a run of its own."""

    def __init__(self, watch: Watch, tracking: Tracking) -> None:
        self._watch = watch
        self._tracking = tracking

    @contextmanager
    def stage(self, what: str, spec: Spec) -> Iterator[Observer]:
        """Add the trackers to whoever watches it."""
        with self._watch.stage(what, spec) as observer:
            yield Observers(self._tracking, observer)

    def look(self, pairs: int, next_look: int | None, said: Sequence[str]) -> None:
        """Pass it on."""
        self._watch.look(pairs, next_look, said)

    def publish(self, finished: Finished) -> None:
        """Write a run's report, and send it."""
        publish(finished)
        self._tracking.run_ended(finished)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A comparison as it was asked for."""

    asked: Asked
    base: Request
    """Of the whole space, or of the first of the runs."""
    contestants: tuple[Contestant, ...] = ()
    """Empty where runs are compared."""


def _of_space(
    space: Any, families: Iterable[str] | Mapping[str, str] | None, asked: Asked, options: Mapping[str, Any]
) -> _Plan:
    base = request_of({**options, "space": space})
    contestants = contestants_of(base.spec, families)
    named = families if isinstance(families, Mapping) else {each.name: each.name for each in contestants}
    return _Plan(replace(asked, families=dict(named), seed=base.spec.search.seed), base, contestants)


def _of_runs(runs: Sequence[str | Path], asked: Asked, options: Mapping[str, Any]) -> _Plan:
    """Return the plan to compare the winners of runs. Raises :class:`InputError` where they do not go together."""
    paths = [Path(run) for run in runs]
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise InputError(f"{', '.join(map(str, paths))}: a comparison takes at least two runs, each once")
    names = [_winning(path) for path in paths]
    specs = {path: spec_of_run(path) for path in paths}
    check_alike(specs)
    # By the architecture, or else the folder, or else the path: by what tells them apart.
    named = (names, [path.name for path in paths], [str(path) for path in paths])
    names = next(each for each in named if len(set(each)) == len(each))
    first, spec = next(iter(specs.items()))
    # The space of a run from before the split had a seed of its own does not say it.
    overrides = [f"task.split.seed={spec.task.split.seed}", *options["overrides"]]
    base = request_of({**options, "space": str(first / "space.yaml"), "overrides": overrides})
    check_unchanged(first, spec, base.spec)
    resolved = {name: str(path.resolve()) for name, path in zip(names, paths, strict=True)}
    return _Plan(replace(asked, runs=resolved, seed=base.spec.search.seed), base)


def _winning(run: Path) -> str:
    """Return the architecture of a run's winner. Raises :class:`InputError` where the run cannot be compared."""
    check_run(run)
    check_finished(run)
    try:
        best = load_run(run).stats["best"]
    except StorageError as error:
        raise InputError(str(error)) from None
    if best is None:
        raise InputError(f"{run}: none of its trials completed, so it has no winner to compare; name another run")
    return str(next(iter(best["candidate"]["architecture"])))


def _resumed(folder: Path, fixed: Sequence[str], time_s: float | None, options: Mapping[str, Any]) -> _Plan:
    """Return the plan of an earlier comparison. Raises :class:`InputError` where another one is asked for."""
    check_run(folder)
    if not (folder / DESIGN).is_file():
        raise InputError(f"{folder}: not a comparison (no {DESIGN} in it); go on with the command that began it")
    asked = read_asked(folder)
    base = request_of({**options, "space": str(folder / "space.yaml")})
    if not fixed and canonical(base.spec) != canonical(spec_of_run(folder)):
        fixed = ("metrics",)
    if fixed:
        raise InputError(
            f"{folder}: what it compares, and how, was fixed before its first look: leave out {', '.join(fixed)}, or "
            "start a new comparison"
        )
    contestants = contestants_of(base.spec, asked.families) if asked.families else ()
    if time_s is not None and not all(finished(folder / each.folder) for each in contestants):
        raise InputError(
            "--time: the time of each search was fixed when the comparison began; leave it out until all are finished"
        )
    return _Plan(asked, base, contestants)


def _check(plan: _Plan, folder: Path | None) -> None:
    """Check all that can be checked before anything is trained.

    ``folder`` is that of a comparison to go on with.
    """
    if plan.asked.runs:
        opened = open_search(replace(plan.base, final=False))
        for run in plan.asked.runs.values():
            check_data(Path(run), opened.dataset)
    for contestant in plan.contestants:
        opened = open_search(replace(plan.base, spec=contestant.spec, final=False))
        if folder is not None and finished(folder / contestant.folder):
            check_data(folder / contestant.folder, opened.dataset)
        elif plan.asked.share_s is not None:
            check_fits(contestant.name, opened.job, plan.asked.share_s)
    margin_of(plan.asked, opened)
    check_splits(plan.asked, design_of(plan.asked).looks[-1], opened)


def _begun(plan: _Plan, task: str) -> RunFolder:
    """Make the folder of a comparison, with all that it takes to go on with it."""
    folder = RunFolder.create(plan.base.out, f"compare-{task}")
    folder.write_json(DESIGN, plan.asked.as_dict())
    folder.write("space.yaml", as_yaml(plan.base.spec))
    folder.write_json("environment.json", environment(plan.base.argv, Path.cwd()))
    folder.set_state("running", kind="comparison", elapsed_s=0.0)
    return folder
