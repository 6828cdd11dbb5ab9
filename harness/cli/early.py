"""What is wrong with a command line, found before torch is loaded: a typo is answered in a fraction of a second."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from harness.spec import Spec

EXECUTORS = ("local", "ray")


def check_search(space: str | None, resume: Path | None, overrides: Iterable[str], *, device: str) -> Spec:
    """Return what a search is of, with every name checked: its device, run, task, options, parameters, overridden keys.

    Without a space the command explains itself and ends with 2. Raises :class:`InputError`.
    """
    from harness.spec import load_spec

    _check_device(device)
    if resume is not None:
        from harness.store import check_run

        check_run(resume)
        space = space or str(resume / "space.yaml")
    if space is None:
        print(usage(), file=sys.stderr)
        raise typer.Exit(2)
    return load_spec(space, overrides)


def usage() -> str:
    """Return what ``harness search`` can search, for whoever named nothing."""
    from harness.spec import shipped_summaries

    spaces = [f"  {name:<15}{summary}" for name, summary in shipped_summaries().items()]
    return "\n".join(
        (
            "harness search: name a space. These come with harness:",
            "",
            *spaces,
            "",
            "For example:",
            "  harness search digits",
            "  harness search tabular --set 'task={csv: data.csv, target: COLUMN}'",
            "",
            "`harness tasks` lists data that can be searched by its name, `harness search --help` all options.",
        )
    )


def worker_count(text: str) -> int | str:
    """Return the value of ``--workers``. Raises :class:`InputError`."""
    if text == "auto" or text.isdecimal():
        return text if text == "auto" else int(text)
    raise InputError(f"--workers {text}: a number of processes, or auto")


def check_executor(name: str) -> None:
    """Raise :class:`InputError` unless there is such an executor."""
    if name not in EXECUTORS:
        raise InputError(f"--executor {name}: unknown{did_you_mean(name, EXECUTORS)}")


def check_bench(only: Iterable[str], device: str) -> None:
    """Check the names of benchmarks and of the device. Raises :class:`InputError`."""
    from harness.bench.catalog import CATALOG

    for name in only:
        if name not in CATALOG:
            raise InputError(f"unknown benchmark {name!r}{did_you_mean(name, CATALOG)}")
    _check_device(device)


def _check_device(name: str) -> None:
    if name != "auto":
        from harness.hardware import check_device_name

        check_device_name(name)


def say_what_is_missing() -> None:
    """Say on stderr what this system does not measure, where it is not Linux."""
    from harness.hardware import not_measured_here

    if missing := not_measured_here():
        print(f"harness: {missing}", file=sys.stderr)
