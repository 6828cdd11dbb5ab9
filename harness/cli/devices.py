"""``harness devices``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

_WIDEST = 100
"""Cells of a table where there is no terminal: whole sentences are folded even there."""


def devices(json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False) -> None:
    """Show what this machine is, and which precisions each device computes in natively and is worth training in."""
    from harness.api import describe_devices
    from harness.cli.console import print_json

    machine = describe_devices()
    if json:
        print_json(machine)
    else:
        _show(machine)


def _show(machine: Mapping[str, Any]) -> None:
    from harness.cli.console import print_table

    _print_facts("this machine", _machine_facts(machine))
    for gpu in machine["gpus"]:
        title = f"{'part of GPU' if gpu['instance'] else 'GPU'} {gpu['index']}"
        _print_facts(title, _gpu_facts(gpu, machine["torch"]["devices"]))
    rows = [
        {
            "device": device,
            "precision": name,
            "support": each["support"],
            "by": each["reason"],
            "worth training in": each["training"],
        }
        for device, precisions in machine["precisions"].items()
        for name, each in precisions.items()
    ]
    print_table(rows, widest=_WIDEST)


def _print_facts(title: str, facts: Mapping[str, str]) -> None:
    from harness.cli.console import print_table

    print_table([{title: name, "": fact} for name, fact in facts.items()], widest=_WIDEST)


def _machine_facts(machine: Mapping[str, Any]) -> dict[str, str]:
    cpu, memory, torch = machine["cpu"], machine["memory"], machine["torch"]
    facts = {
        "system": f"{machine['system']}, {machine['python']}, torch {torch['version']}",
        "CPU": f"{cpu['model'] or 'model not known'}, {cpu['architecture']}",
        "instruction sets": "not known on this system"
        if cpu["isa"] is None
        else ", ".join(cpu["isa"]) or "none of those that matter here",
        "cores": f"{cpu['usable_cores']} usable of {_count(cpu['physical_cores'])} physical, "
        f"{_count(cpu['logical_cores'])} logical; affinity {cpu['affinity'] or 'not known'}; "
        f"control-group quota {'none' if cpu['quota_cores'] is None else format(cpu['quota_cores'], '.4g')}",
        "caches": ", ".join(f"{name} {_kib(size)}" for name, size in cpu["caches_kib"].items()) or "not known",
        "NUMA nodes": "; ".join(f"{node}: {cores}" for node, cores in cpu["numa_nodes"].items()) or "not known",
        "memory": f"{_mib(memory['available_mib'])} of {_mib(memory['total_mib'])} available; "
        f"control-group limit {'none' if memory['limit_mib'] is None else _mib(memory['limit_mib'])}",
        "GPUs": _gpus(machine),
        "default device": machine["default_device"],
    }
    if machine["gpus"] and torch["cuda_reason"]:
        facts["CUDA"] = torch["cuda_reason"]
    return facts


def _gpus(machine: Mapping[str, Any]) -> str:
    gpus = [gpu for gpu in machine["gpus"] if not gpu["instance"]]
    if not gpus:
        return machine["gpu_reason"] or "none"
    parts = len(machine["gpus"]) - len(gpus)
    versions = f"driver {machine['driver_version']}, CUDA up to {machine['cuda_driver_version']}"
    count = f"{len(gpus)} (MIG instances: {parts})" if parts else str(len(gpus))
    return "; ".join(filter(None, (f"{count}, {versions}", machine["gpu_reason"])))


def _gpu_facts(gpu: Mapping[str, Any], usable: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    device = next((each["device"] for each in usable if each["uuid_hash"] == gpu["uuid_hash"]), "none")
    limited_by = gpu["throttle_reasons"]
    facts = {
        "name": gpu["name"],
        "hashed UUID": f"{gpu['uuid_hash']}; torch device {device}",
        "compute capability": ".".join(map(str, gpu["compute_capability"] or ())),
        "memory": _of("{} used of {}", _mib, gpu, "memory_used_mib", "memory_total_mib"),
        "kept by driver": _of("{}", _mib, gpu, "memory_reserved_mib"),
        "other processes": _of("{}", str, gpu, "other_processes"),
        "their memory": _of("{}", _mib, gpu, "other_processes_mib"),
        "SM clock": _of("{} of {} MHz", _whole, gpu, "sm_clock_mhz", "sm_clock_max_mhz"),
        "memory clock": _of("{} of {} MHz", _whole, gpu, "memory_clock_mhz", "memory_clock_max_mhz"),
        "clock limited by": "" if limited_by is None else ", ".join(limited_by) or "nothing",
        "power": _of("{} of {} W", _whole, gpu, "power_w", "power_limit_w"),
        "power limit": _of("{} W by default, {} W at most", _whole, gpu, "power_limit_default_w", "power_limit_max_w"),
        "temperature": _of("{} C", _whole, gpu, "temperature_c"),
        "PCIe generation": _of("{} of {}", str, gpu, "pcie_generation", "pcie_generation_max"),
        "PCIe lanes": _of("{} of {}", str, gpu, "pcie_width", "pcie_width_max"),
        "modes": _of("ECC {}, MIG {}, persistence {}", _switch, gpu, "ecc", "mig", "persistence"),
    }
    return {name: fact for name, fact in facts.items() if fact} | dict(_capabilities(gpu["capabilities"]))


def _of(form: str, show: Callable[[Any], str], gpu: Mapping[str, Any], *names: str) -> str:
    """Return the figures in words, ``-`` for what the GPU does not tell; ``""`` where it tells none of them."""
    values = [gpu[name] for name in names]
    if all(value is None for value in values):
        return ""
    return form.format(*("-" if value is None else show(value) for value in values))


def _capabilities(answers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield how much the GPU tells, and for each reason what it does not."""
    missing: dict[str, list[str]] = {}
    for name, answer in answers.items():
        if answer != "yes":
            missing.setdefault(answer, []).append(name)
    yield "NVML figures", f"{len(answers) - sum(map(len, missing.values()))} of {len(answers)} available"
    for number, (reason, names) in enumerate(missing.items(), 1):
        yield f"not available ({number})", f"{reason}: {', '.join(names)}"


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _count(value: int | None) -> str:
    return "?" if value is None else str(value)


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _mib(size: float) -> str:
    return f"{size / 1024:.1f} GiB" if size >= 1024 else f"{size:.0f} MiB"


def _kib(size: int) -> str:
    return f"{size / 1024:g} MiB" if size >= 1024 else f"{size} KiB"
