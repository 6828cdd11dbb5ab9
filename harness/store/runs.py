"""What runs there are below a folder, by the few small files that say what each one is; nothing large is read.

A folder may hold anything else as well, and runs that are damaged: these are named, and stop nothing.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.errors import InputError, StorageError
from harness.records import NAN
from harness.store.files import is_file, read_object, storage_errors
from harness.store.loose import at, moment, number, text, total
from harness.store.parts import part_files
from harness.store.run import MANIFEST, STATUS, Status, boot_id, read_status

DEPTH = 8
"""Folders within folders that are looked through."""
SILENT_S = 900.0
"""A benchmark that wrote nothing for so long is over: it does so after each of its groups."""

COMPARISON = "comparison.json"
"""What a comparison found; until its first look there is its design."""
DESIGN = "design.json"
"""What a comparison was asked for."""
REPLICATES = "replicates.json"
"""The list of what was to be trained, in a run that searched for nothing."""
OPENINGS = "openings.json"
"""What the test samples were opened for, in a comparison and in a run that trains a list."""

EVENTS = "tensorboard"
"""The folder beside the runs that TensorBoard's event files of them are written to; it holds no runs."""

_NAME = re.compile(r"(\d{8}-\d{6})-(.+)-[0-9a-f]{4}")
_NO_RUN = "no run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A run in a few words. What is not known is empty, None or NaN."""

    run: Path
    command: str
    """``search``, ``train``, ``compare`` or ``bench``."""
    task: str
    """Of a benchmark the device."""
    state: str
    """``complete``, ``interrupted``, ``failed``, ``running``, or ``killed`` where the process is gone."""
    metric: str = ""
    value: float = NAN
    """The best trial's first objective, named by ``metric``; of a comparison the recommended winner's on the test."""
    trials: int | None = None
    seconds: float = NAN
    """Of all commands that worked on it."""
    started_unix_s: float = NAN


@dataclass(frozen=True, slots=True)
class Skipped:
    """A folder that is not listed, and why."""

    path: Path
    why: str

    @property
    def foreign(self) -> bool:
        """Whether nothing says that it should be a run."""
        return self.why == _NO_RUN


def list_runs(folder: Path) -> tuple[list[Listed], list[Skipped]]:
    """Return the runs below a folder, the newest first, and what else is there.

    Runs within a run, as a comparison has them, are listed where that run is the folder. No link is followed. Raises
    :class:`InputError` where there is no such folder.
    """
    with storage_errors(folder):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name one that holds runs, as results/ does after a search")
    found, skipped = _folders(folder, DEPTH)
    if _reader(folder):
        found = [folder, *found]
    runs = []
    for path in found:
        try:
            runs.append(listed(path))
        except (StorageError, InputError) as error:  # damaged, or gone by now
            why = str(error).removeprefix(str(path)).lstrip(f"{os.sep}: ")
            skipped.append(Skipped(path, why))
    newest = sorted(runs, key=lambda run: -math.inf if math.isnan(run.started_unix_s) else run.started_unix_s)
    return newest[::-1], skipped


def _folders(folder: Path, depth: int) -> tuple[list[Path], list[Skipped]]:
    """Return the run folders below one, and the outermost folders that have none."""
    runs, skipped = [], []
    try:
        with os.scandir(folder) as entries:
            inner = sorted(
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name != EVENTS
            )
    except OSError as error:
        return [], [Skipped(folder, f"cannot be read: {error.strerror or error}")]
    for path in map(Path, inner):
        if _reader(path):
            runs.append(path)
            continue
        below, others = _folders(path, depth - 1) if depth else ([], [])
        runs += below
        told = below or any(not each.foreign for each in others)
        skipped += others if told else [Skipped(path, _NO_RUN)]
    return runs, skipped


def check_no_comparison(run: Path) -> None:
    """Raise :class:`InputError` for a comparison, which holds several runs, where one is wanted."""
    if is_file(run / DESIGN):
        raise InputError(f"{run}: a comparison; name one of the runs in it, such as {run / 'winners'}")


def is_run(path: Path) -> bool:
    """Tell whether something says that a folder is a run of any kind."""
    return _reader(path) is not None


def _reader(path: Path) -> Callable[[Path], Listed] | None:
    """Return what reads a run folder of this kind; None where nothing says that it is one."""
    for marks, read in _KINDS.items():
        if all(is_file(path / name) for name in marks):
            return read
    return None


def listed(run: Path) -> Listed:
    """Return a run in a few words.

    Raises :class:`InputError` where a folder is none, and :class:`StorageError` where one of its files is damaged.
    """
    read = _reader(run)
    if read is None:
        raise InputError(f"{run}: not a run folder; `harness runs` lists those of results/")
    with storage_errors(run):  # a file that is gone by now
        return read(run)


def _searched(run: Path) -> Listed:
    """Read a run of trials."""
    status = _status(run)
    stats = read_object(run / "stats.json") if (run / "stats.json").is_file() else {}
    best, metric = at(stats, "best"), text(at(stats, "objective", 0, "metric"))
    values = [at(best, "values", 0), at(best, "validation", metric)]
    outcomes = at(stats, "outcomes")
    return Listed(
        run=run,
        command="train" if (run / REPLICATES).is_file() else "search",
        task=text(at(stats, "task", "name")) or named(run)[1],
        state=_state(run, status),
        metric=metric,
        value=next((value for value in map(number, values) if not math.isnan(value)), NAN),
        trials=total(outcomes.values()) if isinstance(outcomes, Mapping) else None,
        seconds=status.get("elapsed_s", NAN),
        started_unix_s=_started(run),
    )


def _compared(run: Path) -> Listed:
    """Read a comparison of architectures."""
    status = _status(run)
    known = read_object(run / COMPARISON) if (run / COMPARISON).is_file() else {}
    told = at(known, "families")
    families = [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []
    chosen = (each for each in families if each.get("name") == known.get("cheapest_not_worse"))
    return Listed(
        run=run,
        command="compare",
        task=text(at(known, "task", "name")) or named(run)[1],
        state=_state(run, status),
        metric=text(at(known, "task", "metric")),
        value=number(at(next(chosen, None), "mean")),
        trials=total(each.get("trials") for each in families) if families else None,
        seconds=status.get("elapsed_s", NAN),
        started_unix_s=_started(run),
    )


def _benched(run: Path) -> Listed:
    """Read a benchmark."""
    env = read_object(run / "env.json")
    state = text(env.get("state")) or "complete"
    silent_s = time.time() - (run / "env.json").stat().st_mtime
    return Listed(
        run=run,
        command="bench",
        task=text(env.get("device_name")) or text(env.get("device")),
        state="killed" if state == "running" and silent_s > SILENT_S else state,
        seconds=number(env.get("seconds")),
        started_unix_s=moment(env.get("started_unix_s")),
    )


_KINDS: Mapping[tuple[str, ...], Callable[[Path], Listed]] = {
    (COMPARISON,): _compared,
    (STATUS, DESIGN): _compared,
    ("env.json", "bench.parquet"): _benched,
    (STATUS,): _searched,
    ("stats.json", "space.yaml"): _searched,
}
"""What reads a run, by the files that tell its kind."""


def _status(run: Path) -> Status:
    """Return what a run says of itself. Raises :class:`StorageError` where it says nothing."""
    if not (run / STATUS).is_file():
        raise StorageError(f"no {STATUS}; the folder was copied in part: copy it again")
    status = read_status(run)
    if "state" not in status or "pid" not in status:
        raise StorageError(f"{STATUS}: says no state of a run")
    return status


def _state(run: Path, status: Status) -> str:
    """Return the state of a run; it is sealed last, and until then its report at least is still to be written."""
    if status["state"] == "failed" or (run / MANIFEST).is_file():
        return status["state"]
    alive = _alive(status["pid"], status.get("boot_id"), (run / STATUS).stat().st_mtime)
    return "running" if alive else "killed"


def _alive(pid: int, boot: str | None, written_unix_s: float) -> bool:
    """Tell whether the process that wrote a status still runs: not another one that has its number by now.

    After a new start of the machine, or on another one, nobody can be that process.
    """
    if boot != boot_id() or pid <= 0:
        return False
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= written_unix_s + 1.0
    return False


def _started(run: Path) -> float:
    """Return when a run began, by its name, or by its first part where it was given another one."""
    when, _ = named(run)
    if when:
        with suppress(ValueError, OverflowError):
            return time.mktime(time.strptime(when, "%Y%m%d-%H%M%S"))
    first = next(iter(part_files(run).values()), None)
    return NAN if first is None else moment(read_object(first).get("begun_unix_s"))


def named(run: Path) -> tuple[str, str]:
    """Return time and task from the name of a run folder, both empty where it was given another one."""
    match = _NAME.fullmatch(run.resolve().name)
    return (match[1], match[2]) if match else ("", "")
