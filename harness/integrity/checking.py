"""``harness.verify``: what a run says against what it was sealed with, and against itself. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.errors import InputError, StorageError
from harness.integrity.contents import Contents
from harness.integrity.files import check_readable, check_schemas, digests_of, manifest_findings
from harness.integrity.findings import Finding, Verification
from harness.store.files import is_file
from harness.store.run import MANIFEST, read_status
from harness.store.runs import COMPARISON, DESIGN, OPENINGS, REPLICATES, is_run, listed

MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What values that no run has lead to where they are compared."""


def verify(run: str | Path) -> Verification:
    """Return what in a run is not what it was, or does not agree with the rest of it; nothing is written.

    Every file is held against the manifest by its sha256, and can be read. Then the files are held against each other:
    the tables of trials and epochs, the study, ``stats.json``, the predictions and the scores that follow from them,
    the final model, machine and environment. So a change is found too after which somebody made the manifest anew. A
    comparison is verified with the runs in it.

    >>> import harness
    >>> found = harness.verify(run)
    >>> found.state, found.findings
    ('intact', ())

    Raises :class:`InputError` where there is no run, or a process is working on it.
    """
    path = Path(run)
    check_idle(path)
    try:
        digests = digests_of(path)
    except StorageError as error:  # a link, say: nothing below it can be trusted to be the run's
        kind = _kind(path)
        return Verification(path, kind, is_file(path / MANIFEST), 0, (Finding(".", str(error)),))
    return _verified(path, digests)


def check_idle(run: Path) -> None:
    """Raise :class:`InputError` where there is no run, or a process is working on it."""
    if not is_run(run):
        what = "not a run folder" if run.is_dir() else "no such run"
        raise InputError(f"{run}: {what}; `harness runs` lists those of results/")
    try:
        state = listed(run).state
    except StorageError:  # damaged: it can say nothing of itself
        return
    if state == "running":
        raise InputError(f"{run}: a process is working on it; wait until it has ended")


def _verified(run: Path, digests: Mapping[str, str]) -> Verification:
    """Verify a run, and those in it; ``digests`` has the sha256 of each of its files."""
    contents, kind = Contents(run), _kind(run)
    try:
        contents.findings += manifest_findings(run, digests)  # all of them: each is another file
    except StorageError as error:
        contents.note([contents.fault(MANIFEST, error)])
    inner = _inner(run, digests) if kind == "compare" else []
    if check_schemas(contents):
        _agree(contents, kind)
    own = [name for name in digests if not any(name.startswith(f"{folder}/") for folder, _ in inner)]
    check_readable(contents, own)
    findings, unchecked = contents.findings, contents.unchecked
    for folder, found in inner:
        findings += [replace(each, file=f"{folder}/{each.file}") for each in found.findings]
        unchecked += [f"{folder}/{each}" for each in found.unchecked]
    sealed = contents.has(MANIFEST)
    return Verification(run, kind, sealed, len(digests), tuple(dict.fromkeys(findings)), tuple(unchecked))


def _inner(run: Path, digests: Mapping[str, str]) -> list[tuple[str, Verification]]:
    from harness.integrity.others import inner_runs

    verified = []
    for path in inner_runs(run):
        folder = path.relative_to(run).as_posix()
        own = {name.removeprefix(f"{folder}/"): each for name, each in digests.items() if name.startswith(f"{folder}/")}
        own.pop(MANIFEST, None)
        verified.append((folder, _verified(path, own)))
    return verified


def _kind(run: Path) -> str:
    """Return the command that a run is of."""
    if is_file(run / COMPARISON) or is_file(run / DESIGN):
        return "compare"
    if is_file(run / "env.json"):
        return "bench"
    return "train" if is_file(run / REPLICATES) else "search"


def _agree(contents: Contents, kind: str) -> None:
    """Hold the files of a run against each other."""
    if kind == "bench":
        from harness.integrity.others import check_bench

        contents.leave("that its files are what they were: a benchmark has no manifest")
        _check(contents, "bench.parquet", check_bench)
    elif not contents.has(MANIFEST):
        where = "its tables may be older than its trials"
        contents.leave(f"that its files agree: it was interrupted before it was sealed, and {where}")
        if kind != "compare":
            _check_alone(contents)
    elif kind == "compare":
        from harness.integrity.others import check_comparison

        _check(contents, COMPARISON, check_comparison)
        _check(contents, MANIFEST, _check_facts)
    else:
        _agree_of_trials(contents, listed=kind == "train")


def _agree_of_trials(contents: Contents, *, listed: bool) -> None:
    """Hold the files of a run of trials against each other."""
    from harness.integrity import facts, frames, models, scores, tables, validation

    _check(contents, MANIFEST, _check_facts)
    _check(contents, "best/candidate.json", lambda held: models.check_models(held, listed=listed))
    _check(contents, "ensemble/score.json", models.check_average)
    _check(contents, "validation", validation.check_validation)
    _check(contents, "trials.csv", lambda held: frames.check_csv(held, "trials.csv", "trials.parquet"))
    _check(contents, "trials.parquet", tables.check_trials)
    _check(contents, "stats.json", lambda held: tables.check_stats(held, listed=listed))
    _check(contents, "predictions.parquet", scores.check_test)
    _check(contents, "test", scores.check_test_of_trials)
    _check(contents, OPENINGS, facts.check_openings)
    if listed:
        _check(contents, REPLICATES, facts.check_list)
    if _has_study(contents):
        from harness.integrity.study import check_study

        _check(contents, "study.db", lambda held: check_study(held, tables.objectives_of(held.stats)))


def _check_facts(contents: Contents) -> None:
    from harness.integrity.facts import check_facts

    check_facts(contents)


def _check_alone(contents: Contents) -> None:
    """Check the study of a run that was not sealed."""
    if _has_study(contents):
        from harness.integrity.study import check_study_alone

        _check(contents, "study.db", check_study_alone)


def _has_study(contents: Contents) -> bool:
    """Tell whether the trials are in a file of the run."""
    status = contents.read("status.json", lambda path: read_status(path.parent)) or {}
    if isinstance(url := status.get("storage"), str):
        contents.leave(f"the study: it is in a database, {url}")
        return False
    if not contents.has("study.db"):
        contents.note([Finding("study.db", "is missing, and with it what every trial was")])
        return False
    return True


def _check(contents: Contents, file: str, check: Callable[[Contents], None]) -> None:
    """Carry out a check; values that no run has are a finding too."""
    try:
        check(contents)
    except MALFORMED as error:
        words = " ".join(str(error).split())[:200]
        contents.note([Finding(file, f"or what belongs to it holds what no run has ({type(error).__name__}: {words})")])
