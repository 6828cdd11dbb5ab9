"""What a run was made with, and what is here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.errors import HardwareError
from harness.hardware import choose_device, describe_precisions, probe, usable_cores
from harness.models import own_sha256
from harness.records import Plan
from harness.reproduction.levels import Unavailable, same
from harness.reproduction.recorded import Recorded
from harness.store import environment


def available_device(asked: str | None, plans: Iterable[Plan]) -> torch.device:
    """Return the device to train on: the one asked for, else that of the plans.

    Raises :class:`Unavailable` where it is not here, or cannot compute in the precision of a plan.
    """
    plans = list(plans)
    recorded = plans[0].device if plans else "auto"
    try:
        device = choose_device(asked or recorded)
    except HardwareError as error:
        elsewhere = "" if asked else "; or name a device that is here (--device cpu), where it comes near at best"
        raise Unavailable(f"{error}{elsewhere}") from None
    described = describe_precisions(device)
    for precision in dict.fromkeys(plan.precision for plan in plans):
        if (known := described.get(precision)) and known.support == "no":
            raise Unavailable(
                f"{device} does not compute in the run's precision {precision} ({known.reason}); "
                "reproduce it on a device like its own"
            )
    return device


def differences(recorded: Recorded, device: torch.device, plans: Iterable[Plan]) -> list[dict[str, Any]]:
    """Return what is other here than where the run was made: a row with ``what``, ``recorded`` and ``found`` each."""
    now, machine = environment((), Path.cwd()), probe(torch=True).as_dict(hide_ids=True)
    pairs = {
        **_pairs(recorded.environment, recorded.hardware, now, machine),
        **{f"device of {plan.device}": (plan.device, str(device)) for plan in plans},
        "CPU threads": (max((plan.threads for plan in plans), default=1), None),
        **dict(_own_module(recorded)),
    }
    threads = pairs["CPU threads"][0]
    pairs["CPU threads"] = threads, min(threads, usable_cores())
    return [{"what": what, "recorded": old, "found": new} for what, (old, new) in pairs.items() if not same(old, new)]


def _pairs(
    then: Mapping[str, Any], machine_then: Mapping[str, Any], now: Mapping[str, Any], machine: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    packages = {*(then.get("packages") or {}), *now["packages"]}
    pairs = {f"package {name}": (_at(then, "packages", name), _at(now, "packages", name)) for name in sorted(packages)}
    pairs |= {name: (then.get(name), now[name]) for name in ("harness", "python")}
    pairs["git commit"] = _at(then, "git", "commit"), _at(now, "git", "commit")
    for what, keys in {
        "operating system": ("system",),
        "CPU": ("cpu", "model"),
        "instruction sets of the CPU": ("cpu", "isa"),
        "GPU driver": ("driver_version",),
        "CUDA of torch": ("torch", "cuda_build"),
        "CPU threads of torch": ("torch", "threads"),
    }.items():
        pairs[what] = _at(machine_then, *keys), _at(machine, *keys)
    pairs["GPUs"] = _gpus(machine_then), _gpus(machine)
    return pairs


def _at(facts: Any, *keys: str) -> Any:
    """Return what stands under the keys; None where there is nothing."""
    for key in keys:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts


def _gpus(machine: Mapping[str, Any]) -> list[Any]:
    return [_at(gpu, "name") for gpu in machine.get("gpus") or ()]


def _own_module(recorded: Recorded) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the file of the user's own module that builds the winner, where it has changed."""
    saved = recorded.final
    if saved is not None and saved.own_sha256 is not None:
        yield "own module of the winner", (saved.own_sha256, own_sha256(saved.candidate.architecture))
