"""Claim: a residual network trains on images beyond memory at 0.9 or more of the speed that it has on resident ones.

Run: ``python benchmarks/streaming.py [--images 20000] [--rounds 5] [--threads N] [--cold]``. Two fresh processes read
one NPZ file of images 3x32x32: one as it is, one as if it had next to no memory, so that images and parts lie in files
that are mapped and batches are gathered from there. In turn each trains the same network, from the same weights and on
the same batches, for an epoch at a time. The ratio is that of two epochs of one round. The losses must be equal to the
last bit. With ``--cold`` the pages of the samples are taken out of the system's cache before each epoch, so that every
one comes from the disk, as it does where data exceed the memory many times.
Peaks are the resident memory of each process: its own pages (``anonymous``), and those with pages of files.

Measured on one thread of two cores of a first EPYC that others kept busy (load 11), torch 2.13, 3000 images: streamed /
resident 0.990 (0.969 to 1.077, 4 rounds), by CPU time 0.987 (0.985 to 1.014). With ``--cold`` and 2000 images 0.950
(0.897 to 1.006, 3 rounds), by CPU time 0.981 (0.943 to 0.986).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

SIDE, CLASSES, BATCH = 32, 10, 128
NETWORK = {"stages": 3, "width": 16, "residual": True, "norm": "batch"}
ARMS = ("resident", "streamed")
_PAGE_OUT = 21
"""MADV_PAGEOUT of Linux, for which Python has no name."""


def main() -> None:
    """Train in both ways in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cold", action="store_true", help="read every sample from the disk")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), options.threads, cold=options.cold)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        data = made_images(Path(folder), options.images)
        processes = {name: ending.enter_context(started(name, data)) for name in ARMS}
        told: dict[str, list[dict[str, Any]]] = {name: [] for name in ARMS}
        for _ in range(1 + options.rounds):  # the first warms up
            for name, process in processes.items():
                told[name].append(one_epoch(process))
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
    report({name: epochs[1:] for name, epochs in told.items()})


def made_images(folder: Path, count: int) -> Path:
    """Return an NPZ file of random images of ten classes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 3, SIDE, SIDE), np.uint8)
    np.savez(folder / "images.npz", x=pixels, y=np.arange(count) % CLASSES)
    return folder / "images.npz"


def started(name: str, data: Path) -> subprocess.Popen[str]:
    """Return a fresh process that trains an epoch for every line it is sent."""
    words = [sys.executable, __file__, *sys.argv[1:], "--child", name, str(data)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def one_epoch(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a process tells of its next epoch."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("next\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def child(name: str, data: Path, threads: int, *, cold: bool) -> None:
    """Train here, an epoch for each line of stdin; print its seconds, its loss and the memory so far."""
    import torch

    from harness.data import load, place
    from harness.data.room import mapping_of
    from harness.spec.task import NpzTask

    torch.set_num_threads(threads)
    little = patch("harness.data.room.free_host_mib", lambda: 0.1)
    with little if name == "streamed" else ExitStack():
        part = load(NpzTask(npz=data), seed=0).train
    limit_mib = 0.0 if name == "streamed" else None
    batches = place(
        part, device=torch.device("cpu"), batch_size=BATCH, seed=0, shuffle=True, memory_limit_mib=limit_mib
    )
    assert batches.path == name, batches.reason
    epochs = trained(batches, threads)
    for _ in sys.stdin:
        if cold and name == "streamed":
            part.inputs[0].sum()  # what is in no table of pages is not taken out
            pages = mapping_of(part.inputs[0])
            assert pages is not None
            pages.madvise(_PAGE_OUT)
        start, busy = time.perf_counter(), time.process_time()
        loss = next(epochs)
        spent = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - busy}
        told = {**spent, "loss": loss, "samples": batches.samples, **memory_mib()}
        print(json.dumps(told), flush=True)


def trained(batches: Any, threads: int) -> Any:
    """Train without end; yield the loss of every epoch."""
    import torch

    from harness.models import build
    from harness.records import Named, Plan, TaskKind, TaskShape, image_inputs
    from harness.spec import Candidate, Training
    from harness.train import Fit, Supervised, Targets

    torch.manual_seed(0)
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=CLASSES, inputs=image_inputs(3, SIDE, SIDE))
    optimizer = Named("adamw", {"lr": 1e-3, "weight_decay": 0.01})
    candidate = Candidate(Named("cnn", NETWORK), optimizer, Named("constant"), Training(batch_size=BATCH))
    plan = Plan(
        device="cpu",
        precision="fp32",
        precision_ratio=1.0,
        precision_reason="benchmark",
        batch_size=BATCH,
        layout="channels_last",
        layout_reason="benchmark",
        data_path=batches.path,
        data_reason=batches.reason,
        threads=threads,
    )
    recipe = Supervised(build(candidate.architecture, shape), candidate, Targets(shape), plan)
    fit = Fit(recipe, batches, None, objective=("f1_macro", True), epochs=1_000_000, seed=0)
    return (record.train["loss"] for record in fit)


def memory_mib() -> dict[str, float]:
    """Return this process's own pages now, and the most that it ever had with those of files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(status[key].split()[0]) / 1024 for name, key in (("anonymous", "RssAnon"), ("peak", "VmHWM"))}


def report(told: dict[str, list[dict[str, Any]]]) -> None:
    """Print speed and memory of both ways, and the ratio of their speeds round by round."""
    for name, epochs in told.items():
        speed = np.median([each["samples"] / each["seconds"] for each in epochs])
        last = epochs[-1]
        print(f"{name}: {speed:,.0f} images/s, {last['anonymous']:,.0f} MiB anonymous, {last['peak']:,.0f} MiB at most")
    resident, streamed = (told[name] for name in ARMS)
    assert [each["loss"] for each in resident] == [each["loss"] for each in streamed], "not the same batches"
    for what, key in (("speed", "seconds"), ("speed by CPU time", "cpu_s")):
        ratios = sorted(one[key] / two[key] for one, two in zip(resident, streamed, strict=True))
        spread = f"({ratios[0]:.3f} to {ratios[-1]:.3f}, {len(ratios)} rounds)"
        print(f"{what}, streamed / resident: {np.median(ratios):.3f} {spread}; the same losses to the last bit")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
