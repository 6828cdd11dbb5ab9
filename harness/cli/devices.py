"""``harness devices``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer


def devices(json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False) -> None:
    """Show what this machine is, and which precisions each device is worth training in."""
    from harness.api import describe_devices
    from harness.cli.console import print_json

    machine = describe_devices()
    if json:
        print_json(machine)
    else:
        _show(machine)


def _show(machine: Mapping[str, Any]) -> None:
    from harness.cli.console import print_table

    cpu, memory, torch = machine["cpu"], machine["memory"], machine["torch"]
    facts = {
        "system": f"{machine['system']}, Python {machine['python']}, torch {torch['version']}",
        "CPU": f"{cpu['model'] or cpu['architecture']}, {cpu['usable_cores']} of {cpu['logical_cores']} cores usable",
        "instruction sets": ", ".join(cpu["isa"]) if cpu["isa"] else "not known on this system",
        "memory": f"{memory['total_mib'] / 1024:.1f} GiB, {memory['available_mib'] / 1024:.1f} GiB available",
        "GPUs": machine["gpu_reason"] or f"{len(machine['gpus'])}, driver {machine['driver_version']}",
        "default device": machine["default_device"],
    }
    print_table([{"this machine": key, "": value} for key, value in facts.items()])
    for gpu in machine["gpus"]:
        missing = "; ".join(f"{name}: {why}" for name, why in gpu["capabilities"].items() if why) or "everything"
        row = {
            "GPU": gpu["name"],
            "memory": f"{gpu['memory_total_mib'] / 1024:.1f} GiB",
            "compute capability": ".".join(map(str, gpu["compute_capability"] or ["unknown"])),
            "power limit": f"{gpu['power_limit_w'] or float('nan'):.0f} W",
            "NVML tells": missing if missing == "everything" else f"all but {missing}",
        }
        print_table([row])
    rows = [
        {"device": device, **{name: "yes" if not why else f"no: {why}" for name, why in precisions.items()}}
        for device, precisions in machine["precisions"].items()
    ]
    for row in rows:
        print_table(
            [{"precision": key, f"worth trying on {row['device']}": row[key]} for key in row if key != "device"]
        )
