"""NVML's figures as the program reads them, against those of ``nvidia-smi`` in the same second."""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from gpu_runs import Step

from harness.hardware import choose_device, meters_for, open_nvml
from harness.hardware.machine import bare_uuid, hide_uuids

ROUNDS = 5
AGREE = 3
"""Of the rounds, in how many a figure has to agree: clocks and power may jump between two readings."""
LOAD_S = 2.0
"""How long the GPU works before it is read: power is an average over about a second."""
BUSY_PERCENT = 50.0
QUERY_S = 20.0


@dataclass(frozen=True, slots=True)
class Field:
    """A figure under both its names, and how far the two readings may be apart."""

    smi: str
    ours: str
    within: float
    share: float = 0.0
    """Of nvidia-smi's figure, on top of ``within``."""


READ = (
    Field("memory.used", "memory_device_mib", 64.0),
    Field("power.draw", "power_w", 15.0, 0.1),
    Field("clocks.sm", "sm_clock_mhz", 60.0, 0.05),
    Field("clocks.mem", "memory_clock_mhz", 60.0, 0.05),
    Field("utilization.gpu", "gpu_utilization_percent", 25.0),
    Field("utilization.memory", "memory_utilization_percent", 25.0),
    Field("temperature.gpu", "temperature_c", 3.0),
)
"""What changes: read by the program before and after nvidia-smi, which should lie between."""
DESCRIBED = (
    Field("memory.total", "memory_total_mib", 1.0),
    Field("enforced.power.limit", "power_limit_w", 1.0),
    Field("clocks.max.sm", "sm_clock_max_mhz", 1.0),
    Field("pcie.link.width.max", "pcie_width_max", 0.0),
)
NAMED = ("uuid", "name", "driver_version")
ASKED = (*NAMED, *(field.smi for field in (*DESCRIBED, *READ)))


def meters(step: Step) -> None:
    """Compare the program's readings of the GPU with nvidia-smi's, while the GPU works."""
    findings, nvml = step.findings, open_nvml()
    findings.check("NVML is available", nvml.available, nvml.reason)
    if not nvml.gpus:
        return
    uuid = nvml.gpus[-1].uuid if step.rehearse else meters_for(choose_device("cuda")).gpu_uuid
    gpu = nvml.gpu_for(uuid)
    findings.check("NVML knows the device's UUID", gpu is not None, hide_uuids(uuid))
    if gpu is None:
        return
    if shutil.which("nvidia-smi") is None:
        findings.missing("nvidia-smi tells the same", "there is no nvidia-smi on the PATH")
        return
    described = gpu.describe()
    rounds: list[tuple[Mapping[str, float], Mapping[str, str], Mapping[str, float]]] = []
    with nullcontext() if step.rehearse else busy(torch.device("cuda")):
        for _ in range(ROUNDS):
            before = gpu.read().values
            said = smi(uuid)
            if said is None:
                findings.missing("nvidia-smi tells the same", "nvidia-smi lists no GPU of this UUID, maybe its parts")
                return
            rounds.append((before, said, gpu.read().values))
    write_csv(step, [said for _, said, _ in rounds])
    first = rounds[0][1]
    for name, told in (("name", described.name), ("driver_version", nvml.driver_version)):
        findings.check(f"{name} is nvidia-smi's", first[name] == told, f"{told!r}, and nvidia-smi says {first[name]!r}")
    for field in DESCRIBED:
        value = getattr(described, field.ours)
        ours = math.nan if value is None else float(value)
        compare(step, field, [(ours, number(said[field.smi]), ours) for _, said, _ in rounds])
    for field in READ:
        compare(step, field, [(a[field.ours], number(said[field.smi]), b[field.ours]) for a, said, b in rounds])
    used = max(before["gpu_utilization_percent"] for before, _, _ in rounds)
    findings.on_gpu("the GPU is seen to work", used > BUSY_PERCENT, f"its utilisation is {used} %")


def compare(step: Step, field: Field, rounds: Sequence[tuple[float, float, float]]) -> None:
    """Note whether nvidia-smi's figure lay between the program's two readings in enough rounds."""
    what = f"{field.ours} is nvidia-smi's {field.smi}"
    ours, theirs = (any(not math.isnan(reading[place]) for reading in rounds) for place in (0, 1))
    if not theirs:
        step.findings.missing(what, f"nvidia-smi does not tell {field.smi}")
        return
    step.findings.check(f"{field.ours} is told", ours, f"NaN, and nvidia-smi tells {rounds[0][1]}")
    if not ours:
        return
    agreed = sum(between(field, *reading) for reading in rounds)
    shown = ", ".join(f"{before:g}/{said:g}/{after:g}" for before, said, after in rounds)
    step.findings.figures[field.ours] = f"{shown} (before, nvidia-smi, after)"
    step.findings.check(what, agreed >= AGREE, f"in {agreed} of {len(rounds)} rounds: {shown}")


def between(field: Field, before: float, said: float, after: float) -> bool:
    """Tell whether a figure lies between two readings, or near enough."""
    slack = field.within + field.share * abs(said)
    return min(before, after) - slack <= said <= max(before, after) + slack


def smi(uuid: str) -> dict[str, str] | None:
    """Return what nvidia-smi says of a GPU by the names in ASKED; None where it lists none of this UUID."""
    command = ["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_S, check=True)
    rows = [dict(zip(ASKED, row, strict=True)) for row in csv.reader(done.stdout.splitlines(), skipinitialspace=True)]
    return next((row for row in rows if bare_uuid(row["uuid"]) == bare_uuid(uuid)), None)


def number(text: str) -> float:
    """Return a number of nvidia-smi's; NaN for what it does not tell, such as ``[N/A]``."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def write_csv(step: Step, rows: Sequence[Mapping[str, str]]) -> None:
    """Write what nvidia-smi said, without UUIDs."""
    with (step.folder / "nvidia-smi.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ASKED)
        writer.writeheader()
        writer.writerows({**row, "uuid": hide_uuids(row["uuid"])} for row in rows)


@contextmanager
def busy(device: torch.device) -> Iterator[None]:
    """Keep a GPU at work meanwhile, from LOAD_S before on."""
    ended = threading.Event()
    x_NN = torch.randn(4096, 4096, device=device)

    def work() -> None:
        while not ended.is_set():
            for _ in range(8):
                x_NN @ x_NN
            torch.cuda.synchronize(device)

    worker = threading.Thread(target=work, name="gpu-check-load", daemon=True)
    worker.start()
    time.sleep(LOAD_S)
    try:
        yield
    finally:
        ended.set()
        worker.join()
