"""What differs between two runs beside what was to be compared: each is a reason not to believe a ratio of times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.bench.rows import Case

KINDS: Mapping[str, str] = {
    "contention": "other work wanted the CPU or the GPU while one of them was measured",
    "level": "the best of another number of rounds is compared",
    "power limit": "the same device was given another power limit",
    "tf32": "fp32 products were rounded to TF32 in one of them",
    "threads": "torch used another number of threads on a CPU",
    "throttle": "the device was slowed down for reasons that did not hold in both",
    "versions": "torch, CUDA or the driver are other versions",
}

CONTENDED_PERCENT = 10.0
"""Share of the time in which some task waited for a CPU, above which a row is contended."""
STARVED_RATIO = 0.9
"""CPU seconds over wall seconds below which CPU work was not let run, where the system tells no pressure."""

_POWER_TOLERANCE_W = 0.5


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs, of one of :data:`KINDS`."""

    kind: str
    text: str
    """Such as ``power limit 300 W and 450 W``."""


@dataclass(frozen=True, slots=True)
class Side:
    """One row of a run with the run it belongs to."""

    case: Case
    row: Mapping[str, Any]
    env: Mapping[str, Any]


def device_class(env: Mapping[str, Any]) -> str:
    """Return ``cpu``, ``cuda`` or ``mps``."""
    return str(env.get("device", "unknown")).partition(":")[0]


def device_name(env: Mapping[str, Any]) -> str:
    """Return the model of the device, or its class where the model is not known."""
    return str(env.get("device_name") or device_class(env))


def differences(a: Side, b: Side) -> tuple[Difference, ...]:
    """Return everything that differs, the kinds in the order of their names."""
    found = [*row_differences(a, b), *run_differences(a.env, b.env)]
    return tuple(sorted(found, key=lambda each: each.kind))


def row_differences(a: Side, b: Side) -> Iterator[Difference]:
    """Yield what differs between two rows alone."""
    for name, side in (("A", a), ("B", b)):
        if text := _contended(side):
            yield Difference("contention", f"{name}: {text}")
    if a.case.tf32 != b.case.tf32:
        yield Difference("tf32", f"TF32 {_switch(a.case.tf32)} and {_switch(b.case.tf32)}")
    if a.case.threads != b.case.threads and device_class(a.env) == "cpu":
        yield Difference("threads", f"{a.case.threads} and {b.case.threads} threads")
    mine, other = (_reasons(side.row.get("throttle")) for side in (a, b))
    if mine != other:
        yield Difference("throttle", f"throttled by {_listed(mine)} and by {_listed(other)}")


def run_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what differs between two runs as a whole; what one of them does not know does not differ.

    Devices of two models have power limits of their own, which belong to what is compared.
    """
    limits = tuple(_number(_gpu(env).get("power_limit_w")) for env in (a, b))
    if device_name(a) == device_name(b) and abs(limits[0] - limits[1]) > _POWER_TOLERANCE_W:
        yield Difference("power limit", f"power limit {limits[0]:.0f} W and {limits[1]:.0f} W")
    levels = [env.get("level") for env in (a, b)]
    if all(levels) and levels[0] != levels[1]:
        yield Difference("level", f"level {levels[0]} and {levels[1]}")
    versions = [_versions(env) for env in (a, b)]
    for name, mine in versions[0].items():
        other = versions[1].get(name)
        if mine and other and mine != other:
            yield Difference("versions", f"{name} {mine} and {other}")


def _contended(side: Side) -> str:
    """Return why a row is contended. Of the CPU the mean over all rounds tells, and not what the note says of one."""
    waiting = _number(side.row.get("psi_cpu"))
    if waiting > CONTENDED_PERCENT:
        return f"tasks waited for a CPU in {waiting:.0f} % of the time"
    note = side.row.get("note")
    for remark in note.split("; ") if isinstance(note, str) else ():
        if remark.startswith("contended: ") and "GPU" in remark:
            return remark.removeprefix("contended: ")
    busy = _number(side.row.get("cpu_wall_ratio"))
    if math.isnan(waiting) and device_class(side.env) == "cpu" and busy < STARVED_RATIO:
        return f"ran on a CPU in {100 * busy:.0f} % of the time only"
    return ""


def _versions(env: Mapping[str, Any]) -> dict[str, str | None]:
    machine = _machine(env)
    torch = machine.get("torch") or {}
    if device_class(env) != "cuda":
        return {"torch": torch.get("version")}
    return {"torch": torch.get("version"), "CUDA": torch.get("cuda_build"), "driver": machine.get("driver_version")}


def _machine(env: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = env.get("machine") or {}
    return found


def _torch_device(env: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what torch says of the device that was measured."""
    device = str(env.get("device", ""))
    wanted = f"{device}:0" if device == "cuda" else device
    known = (_machine(env).get("torch") or {}).get("devices") or ()
    return next((each for each in known if each.get("device") == wanted), {})


def _gpu(env: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what NVML says of the device that was measured."""
    uuid = _torch_device(env).get("uuid_hash")
    known = _machine(env).get("gpus") or ()
    return next((each for each in known if uuid and each.get("uuid_hash") == uuid), {})


def _reasons(text: object) -> frozenset[str]:
    return frozenset(filter(None, text.split(", "))) if isinstance(text, str) else frozenset()


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
