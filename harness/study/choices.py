"""The record of a run's measured choices, and another run's to go by: ``choices/`` in the run folder.

It holds one file for each choice and each set of gate figures that the run went by, as :mod:`harness.plan.memory` keeps
them, and ``machine.json``, which says what they were measured on. They hold on a machine like that one only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import InputError, StorageError
from harness.plan import Memory, machine
from harness.store import RunFolder, check_run, plain, read_object, write_first

FOLDER = "choices"
MACHINE = f"{FOLDER}/machine.json"
_ANSWER = re.compile(r"[0-9a-f]{32}\.json")


def check_followed(run: Path) -> None:
    """Raise :class:`InputError` unless ``run`` has a record of its choices, :class:`StorageError` if it is damaged."""
    check_run(run)
    if not (run / MACHINE).is_file():
        raise InputError(
            f"{run}: it has no record of its choices (no {MACHINE}), so it was made by an earlier version; "
            "repeat it with this one, and name that run"
        )
    read_object(run / MACHINE)


def memory_of(folder: RunFolder, followed: Path | None) -> Memory:
    """Return the memory of a run that may follow another; nothing is recorded yet."""
    follows = followed.resolve().name if followed is not None else _follows(_earlier(folder))
    return Memory(folder.path.resolve() / FOLDER, follows)


@contextmanager
def replayed(run: Path | None) -> Iterator[Memory]:
    """Yield the memory of an estimate that goes by the choices of ``run``, if any; nothing of it is kept."""
    if run is None:
        yield Memory()
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / FOLDER
        copytree(run / FOLDER, copy)
        yield Memory(copy, run.resolve().name)


def begin_record(folder: RunFolder, followed: Path | None) -> tuple[str, ...]:
    """Begin the record of a run, with a copy of the record of the run ``followed``, or leave the one there is.

    Returns what is to be said of the choices that it was given.
    """
    if followed is None:
        earlier = _earlier(folder)
        folder.write_json(MACHINE, {**machine(), **earlier, "follows": _follows(earlier)})
        return ()
    answers = dict(_answers(followed))
    record = folder.file(MACHINE).parent
    for name, answer in answers.items():
        write_first(record / name, json.dumps(answer, ensure_ascii=False) + "\n")
    follows = followed.resolve().name
    folder.write_json(MACHINE, {**machine(), "follows": follows})
    measured_on = read_object(followed / MACHINE)
    if other := [name for name, fact in plain(machine()).items() if measured_on.get(name) != fact]:
        return (
            f"the choices of {follows} hold on its machine only, and here the {other[0]} differs: all are measured",
        )
    return (
        f"{len(answers)} measured choices and figures of {follows} are replayed; what is not among them is measured",
    )


def _earlier(folder: RunFolder) -> Mapping[str, Any]:
    """Return what an earlier part wrote of its machine; nothing if there was none, or it is damaged."""
    with suppress(StorageError):
        return read_object(folder.path / MACHINE)
    return {}


def _follows(earlier: Mapping[str, Any]) -> str:
    """Return the name of the run that this one follows, ``""``: none."""
    follows = earlier.get("follows")
    return follows if isinstance(follows, str) and follows.isprintable() else ""


def _answers(run: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the answers in the record of a run by the names of their files, without those that are damaged."""
    for path in sorted((run / FOLDER).iterdir()):
        if _ANSWER.fullmatch(path.name):
            with suppress(StorageError):
                yield path.name, read_object(path)
