"""What a shell may complete an argument to. Nothing here loads torch: a key press must be answered at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def spaces(incomplete: str) -> list[str]:
    """Return shipped spaces, tasks that stand for one, and space files."""
    from harness.spec import TASKS, shipped_spaces

    return _starting(incomplete, {*shipped_spaces(), *TASKS}) + _paths(incomplete, ".yaml", ".yml")


def tasks(incomplete: str) -> list[str]:
    """Return the tasks whose data can be fetched."""
    from harness.data import tasks as known

    return _starting(incomplete, (name for name, task in known.items() if task.fetchable))


def samplers(incomplete: str) -> list[str]:
    """Return the samplers."""
    from harness.registry import registered
    from harness.spec.names import SAMPLERS

    return _starting(incomplete, {*SAMPLERS, *registered("sampler")})


def pruners(incomplete: str) -> list[str]:
    """Return the pruners."""
    from harness.registry import registered
    from harness.spec.names import PRUNERS

    return _starting(incomplete, {*PRUNERS, *registered("pruner")})


def benchmarks(incomplete: str) -> list[str]:
    """Return the benchmarks."""
    from harness.bench.catalog import CATALOG

    return _starting(incomplete, CATALOG)


def search_runs(incomplete: str) -> list[str]:
    """Return the run folders of searches, and folders on the way to others."""
    return _folders(incomplete, "space.yaml")


def bench_runs(incomplete: str) -> list[str]:
    """Return the folders that ``harness bench`` wrote, and folders on the way to others."""
    return _folders(incomplete, "env.json")


def packed_runs(incomplete: str) -> list[str]:
    """Return zip files, and folders on the way to others."""
    return _paths(incomplete, ".zip")


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _folders(incomplete: str, mark: str) -> list[str]:
    """Return folders that hold the file ``mark``; where nothing was typed yet, those below ``results`` come first."""
    beneath = _paths("results/") if not incomplete else []
    found = beneath + _paths(incomplete)
    runs = [path for path in found if (Path(path) / mark).is_file()]
    return [path.rstrip("/") for path in runs] or found


def _paths(incomplete: str, *endings: str) -> list[str]:
    """Return the folders, and files of some endings, whose path begins with what was typed."""
    head, slash, tail = incomplete.rpartition("/")
    folder = Path(head + slash) if slash else Path()
    try:
        inside = sorted(path for path in folder.iterdir() if path.name.startswith(tail))
    except OSError:
        return []
    offered = [path for path in inside if tail.startswith(".") or not path.name.startswith(".")]
    return [
        f"{head}{slash}{path.name}{'/' if path.is_dir() else ''}"
        for path in offered
        if path.is_dir() or path.suffix in endings
    ]
