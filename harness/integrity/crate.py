"""What a packed run says of itself: RO-Crate metadata, after the profile Process Run Crate.

RO-Crate 1.1: https://w3id.org/ro/crate/1.1. The profile: https://w3id.org/ro/wfrun/process/0.5. What is not known, the
licence above all, is said so, since readers ask for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import StorageError
from harness.integrity.entries import CRATE
from harness.store.files import is_file, read_object
from harness.store.loose import at, moment, number, text
from harness.store.parts import ENVIRONMENT, HARDWARE, part_files
from harness.store.runs import listed

SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
CONTEXT = [f"{SPECIFICATION}/context", {"sha256": "https://schema.org/sha256"}]
"""The context of the specification, with the one term that it lacks."""

FORMATS: Mapping[str, str] = {
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".html": "text/html",
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".db": "application/vnd.sqlite3",
    ".tex": "application/x-tex",
    ".onnx": "application/octet-stream",
    ".safetensors": "application/octet-stream",
}
STATUSES = {"complete": "CompletedActionStatus", "running": "ActiveActionStatus"}
"""What schema.org calls the states of a run; the others failed, or did not end."""

Entity = dict[str, Any]


def crate(run: Path, digests: Mapping[str, str]) -> Entity:
    """Return the metadata of a run; ``digests`` has the sha256 of each of its files."""
    facts = {name: _held(run, name) for name in ("stats.json", "env.json", ENVIRONMENT, HARDWARE)}
    files = [_file(run, name, digest) for name, digest in sorted(digests.items())]
    metrics, machine = list(_metrics(facts["stats.json"])), list(_machine(facts))
    action = _action(run, facts)
    root = {
        **_root(run, action),
        "hasPart": [_ref(each) for each in files],
        "variableMeasured": [_ref(each) for each in metrics],
    }
    entities = [
        _descriptor(),
        root,
        _entity("#license", "CreativeWork", name="not stated", description="The run does not say under which licence."),
        _entity(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5"),
        {**action, "result": [_ref(each) for each in files], "additionalProperty": [_ref(each) for each in machine]},
        *_data(facts["stats.json"]),
        *_software(facts),
        *machine,
        *metrics,
        *files,
    ]
    return {"@context": CONTEXT, "@graph": entities}


def _descriptor() -> Entity:
    return _entity(CRATE, "CreativeWork", about={"@id": "./"}, conformsTo={"@id": SPECIFICATION})


def _root(run: Path, action: Entity) -> Entity:
    described = "Space, trials, model, predictions and report of one command of harness, with the machine it ran on."
    ended = action.get("endTime") or action.get("startTime")
    return _entity(
        "./",
        "Dataset",
        name=run.resolve().name,
        description=described,
        license={"@id": "#license"},
        conformsTo={"@id": PROFILE},
        mentions={"@id": action["@id"]},
        **({"datePublished": ended} if ended else {}),
    )


def _action(run: Path, facts: Mapping[str, Entity]) -> Entity:
    """Return the command that made the run."""
    try:
        known = listed(run)
    except StorageError:
        return _entity("#run", "CreateAction", name=run.resolve().name, instrument={"@id": "#harness"})
    data = {"object": [{"@id": "#data"}]} if facts["stats.json"] else {}
    return _entity(
        "#run",
        "CreateAction",
        name=f"harness {known.command} {known.task}".rstrip(),
        instrument={"@id": "#harness"},
        actionStatus=f"http://schema.org/{STATUSES.get(known.state, 'FailedActionStatus')}",
        **data,
        **_times(run, facts["env.json"], known.seconds),
    )


def _times(run: Path, bench: Entity, seconds: float) -> Entity:
    """Return when a run began, and ended where one command made it."""
    parts = list(part_files(run).values())
    began = moment(bench.get("started_unix_s")) if bench else _began(parts)
    if math.isnan(began):
        return {}
    ended = began + seconds if len(parts) <= 1 else math.nan
    return {"startTime": _iso(began), **({"endTime": _iso(ended)} if math.isfinite(ended) else {})}


def _began(parts: list[Path]) -> float:
    return moment(_held(parts[0].parent, parts[0].name).get("begun_unix_s")) if parts else math.nan


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def _data(stats: Entity) -> Iterator[Entity]:
    """Yield what was learned from: known by its fingerprint, and no part of the run."""
    if stats:
        name = text(at(stats, "task", "name"))
        sizes = [at(stats, "task", part) for part in ("train", "validation", "test")]
        said = f"Not in this crate. {sizes[0]} training, {sizes[1]} validation and {sizes[2]} test samples."
        fingerprint = f"harness:fingerprint:{at(stats, 'task', 'fingerprint')}"
        yield _entity("#data", "Dataset", name=name, description=said, identifier=fingerprint)


def _software(facts: Mapping[str, Entity]) -> Iterator[Entity]:
    """Yield harness and the packages that decide results, in their versions."""
    environment = facts[ENVIRONMENT] or at(facts["env.json"], "environment") or {}
    packages = at(environment, "packages")
    known = {name: version for name, version in packages.items() if version} if isinstance(packages, dict) else {}
    versions = {"python": environment.get("python"), **known}
    named = [
        _entity(f"#{quote(n)}", "SoftwareApplication", name=n, version=str(v)) for n, v in sorted(versions.items()) if v
    ]
    version = text(environment.get("harness")) or "not known"
    required = [_ref(each) for each in named]
    yield _entity("#harness", "SoftwareApplication", name="harness", version=version, softwareRequirements=required)
    yield from named


def _machine(facts: Mapping[str, Entity]) -> Iterator[Entity]:
    """Yield what the run was carried out on, as far as it decides results and speed."""
    hardware = facts[HARDWARE] or at(facts["env.json"], "machine") or {}
    device = hardware.get("device") or facts["env.json"].get("device")
    gpus = at(hardware, "gpus")
    names = [text(at(gpu, "name")) for gpu in gpus] if isinstance(gpus, list) else []
    told = {
        "device": device,
        "processor": at(hardware, "cpu", "model"),
        "usable cores": at(hardware, "cpu", "usable_cores"),
        "GPUs": ", ".join(names),
    }
    for name, value in told.items():
        if value:
            yield _entity(f"#machine/{quote(name)}", "PropertyValue", name=name, value=value)


def _metrics(stats: Entity) -> Iterator[Entity]:
    """Yield the winner's scores."""
    sides = (("validation", at(stats, "best", "validation")), ("test", at(stats, "test", "metrics")))
    for part, scores in sides:
        for name, value in sorted(scores.items()) if isinstance(scores, dict) else ():
            if math.isfinite(number(value)):
                yield _entity(f"#{part}/{quote(name)}", "PropertyValue", name=f"{part} {name}", value=value)


def _file(run: Path, name: str, digest: str) -> Entity:
    path = run / name
    kind = FORMATS.get(path.suffix, "application/octet-stream")
    size = str(path.stat().st_size)
    return _entity(quote(name), "File", name=name, encodingFormat=kind, contentSize=size, sha256=digest)


def _entity(identifier: str, kind: str, /, **properties: Any) -> Entity:
    return {"@id": identifier, "@type": kind, **properties}


def _ref(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _held(run: Path, name: str) -> Entity:
    """Return a JSON object of the run; what is missing or damaged says nothing."""
    try:
        return read_object(run / name) if is_file(run / name) else {}
    except StorageError:
        return {}
