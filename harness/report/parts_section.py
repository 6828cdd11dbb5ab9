"""Where the parts of a run were carried out, for a run that was resumed somewhere else, or in another environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.report.blocks import Table
from harness.report.load import RunFiles
from harness.report.wording import NOT_MEASURED, clipped, setting


def parts_table(run: RunFiles) -> Table | None:
    """Return a row for each part with what is not the same in all of them; None where nothing differs."""
    parts = [dict(where(part)) for part in run.parts.values()]
    differing = [name for name in dict.fromkeys(key for part in parts for key in part) if _differs(name, parts)]
    if not differing:
        return None
    begun = [_begun(part.get("begun_unix_s")) for part in run.parts.values()]
    cells = [[clipped(part.get(name, NOT_MEASURED), 60) for name in differing] for part in parts]
    rows = tuple((str(number), when, *row) for number, when, row in zip(run.parts, begun, cells, strict=True))
    return Table(
        caption="The run was carried out in parts that differ; what follows is of the last one",
        columns=("part", "begun", *differing),
        rows=rows,
    )


def where(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a part, or a run, may differ in from another by where it was carried out, as text.

    A file that came from elsewhere may hold anything.
    """
    hardware, environment = _mapping(part.get("hardware")), _mapping(part.get("environment"))
    cpu, packages, git = (
        _mapping(hardware.get("cpu")),
        _mapping(environment.get("packages")),
        _mapping(environment.get("git")),
    )
    gpus = hardware.get("gpus")
    yield "device", setting(hardware.get("device"))
    yield "CPU", setting(cpu.get("model"))
    yield "instruction sets", setting(cpu.get("isa"))
    yield "usable cores", setting(cpu.get("usable_cores"))
    yield "GPUs", setting([_mapping(gpu).get("name") for gpu in gpus] if isinstance(gpus, list) else None)
    yield "GPU driver", setting(hardware.get("driver_version"))
    yield "system", setting(hardware.get("system"))
    yield "Python", setting(environment.get("python"))
    yield "harness", setting(environment.get("harness"))
    for name, version in sorted(packages.items()):
        yield name, setting(version)
    yield "installed packages", setting(environment.get("lock_sha256"))[:12]
    yield "git commit", setting(git.get("commit"))[:12]
    yield "uncommitted changes", setting(git.get("diff_sha256") if git.get("dirty") else None)[:12]


def _differs(name: str, parts: list[dict[str, str]]) -> bool:
    return len({part.get(name, NOT_MEASURED) for part in parts}) > 1


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _begun(unix_s: Any) -> str:
    """Return a moment in UTC to the minute; parts of versions that kept none have no moment."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (TypeError, ValueError, OverflowError, OSError):
        return NOT_MEASURED
