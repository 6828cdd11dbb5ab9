"""The process in which a group is measured: it answers one request of :mod:`harness.bench.process`, and ends.

Where processes can be forked it is a fork of one that has loaded torch and done nothing with it: what one group sets
or leaves is gone with its process.
"""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch

from harness.bench.catalog import load_groups
from harness.bench.peaks import Peaks, cpu_peaks, gpu_peaks
from harness.bench.process import Request
from harness.bench.rows import Case, Row
from harness.bench.timing.conditions import watch_idle
from harness.bench.timing.protocol import run_group
from harness.bench.workload import Level, Setting, groups
from harness.errors import described
from harness.hardware import choose_device, free_mib, probe, usable_cores
from harness.hardware.channel import frame, messages
from harness.measure import is_out_of_memory

load_groups()  # by whoever loads this, to be forked once all is there


def main(connection: socket.socket, *, name: str, level: Level, seed: int) -> None:
    """Answer one request."""
    try:
        _answer(next(messages(connection)), name, level, seed, connection)
    finally:
        for process in multiprocessing.active_children():
            process.kill()


def _answer(request: Request, name: str, level: Level, seed: int, connection: socket.socket) -> None:
    device = choose_device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.set_num_threads(request.threads or usable_cores())
    threads = torch.get_num_threads()  # what was asked for and what torch makes of it need not be the same
    facts: dict[str, Any] = {}
    if request.group:
        torch.manual_seed(seed)
        setting = Setting(
            device=device,
            level=level,
            threads=threads,
            seconds=request.seconds,
            memory_mib=free_mib(device),
            seed=seed,
            round=request.round,
            rounds=request.rounds,
            idle=request.idle,
        )
        for row in _rows(request.group, setting):
            connection.sendall(frame(row))
    else:
        facts = describe(device, threads)
    connection.sendall(frame(facts))


def _rows(name: str, setting: Setting) -> Iterator[Row]:
    try:
        yield from run_group(groups[name], setting)
    except Exception as error:  # noqa: BLE001 - the process has other groups to measure
        status = "oom" if is_out_of_memory(error) else "failed"
        yield Row(case=Case(bench=name), status=status, note=described(error))


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Return the machine without its identifiers, the device's name, its specified peaks, and what it does idle."""
    idle = watch_idle(device)
    machine = probe(torch=True)
    if device.type == "cuda":
        name = torch.cuda.get_device_properties(device).name
        peaks = gpu_peaks(name)
    elif device.type == "cpu":
        name, peaks = machine.cpu.model or machine.cpu.architecture, cpu_peaks(machine.cpu, threads)
    else:
        name, peaks = "Apple GPU", Peaks(source="no data sheet of Apple's GPUs is known here")
    return {
        "machine": machine.as_dict(hide_ids=True),
        "device_name": name,
        "threads": threads,
        "peaks": asdict(peaks),
        "idle": idle,
    }
