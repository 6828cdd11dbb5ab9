"""Searches that come to the limits of a GPU: several trials at once, memory that runs out, energy that is bounded."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from gpu_runs import Step
from gpu_searches import TIME_SHARE, search

from harness.hardware import usable_cores

ENERGY_WITHIN = (0.5, 2.0)
"""Energy over mean power times seconds; the meters average over different times."""
WIDE = Path(__file__).with_name("gpu_wide.py")
"""A model that needs as much memory as it is told to."""
PER_SAMPLE_TENSORS = 5
"""How many tensors of its width each sample of that model needs in training."""
OVER = 3.0
"""How many times the free memory a whole batch of it needs."""


def packing(step: Step) -> None:
    """Train several trials on the device at once."""
    workers = min(2 if step.rehearse else 4, usable_cores())
    if workers < 2:
        step.findings.missing(
            "several trials share the GPU", "this machine has one usable core, and a worker needs one"
        )
        return
    space = {
        "task": "digits",
        "budget": {"trials": 4 if step.rehearse else 12, "epochs": 2 if step.rehearse else 200},
        "search": {"sampler": "random", "pruner": "none"},
        "training": {"final": "keep"},
        "space": {"architecture": {"mlp": {"depth": 2, "width": {"int": [64, 512]}}}, "batch_size": 64},
    }
    found = search(step, space, "--workers", str(workers))
    bad = found.trials[found.trials["outcome"] != "complete"]
    step.findings.check("every trial is trained", bad.empty, "; ".join(bad["reason"].astype(str)))
    most = at_once(found.complete)
    step.findings.figures |= {"workers": workers, "trials_at_once": most}
    step.findings.on_gpu("several trials share the GPU", most > 1, f"at most {most} at once of {workers} workers")


def at_once(trials: pd.DataFrame) -> int:
    """Return how many trials ran at the same time at most."""
    ends = [(start, 1) for start in trials["started_unix_s"]]
    ends += [(start + seconds, -1) for start, seconds in zip(trials["started_unix_s"], trials["seconds"], strict=True)]
    return max(accumulate(change for _, change in sorted(ends)), default=0)


def memory(step: Step) -> None:
    """Train with batches that need several times the free memory: the same batch has to go through in parts."""
    batch, samples = 512, 640
    per_sample = OVER * free_bytes(step) / batch / PER_SAMPLE_TENSORS
    module = step.folder / "wide.py"
    module.write_text(WIDE.read_text(encoding="utf-8"), encoding="utf-8")
    space = {
        "task": {"builtin": "digits", "limit": samples},
        "budget": {"trials": 1, "epochs": 1},
        "training": {"precision": "fp32", "final": "keep"},
        "space": {
            "architecture": {"wide": {"family": "wide:build", "copies": max(1, int(per_sample / 4 / 64))}},
            "batch_size": batch,
        },
    }
    (trial,) = search(step, space, "--trust", timed=False).trials.to_dict("records")
    module.unlink()
    told = {name: trial[name] for name in ("outcome", "reason", "batch_size", "micro_batch", "attempts", "notes")}
    step.findings.figures |= {**told, "memory_allocated_peak_mib": trial["memory_allocated_peak_mib"]}
    step.findings.check("the trial is trained", trial["outcome"] == "complete", str(trial["reason"]))
    step.findings.check("its batch is what was asked for", trial["batch_size"] == batch, str(trial["batch_size"]))
    less = 0 < trial["micro_batch"] < batch
    step.findings.on_gpu("the batch went through in parts", less, f"micro-batch {trial['micro_batch']}")


def free_bytes(step: Step) -> float:
    """Return the free memory of the device; in a rehearsal so little that everything fits."""
    return 2.0**22 if step.rehearse else float(torch.cuda.mem_get_info(torch.device("cuda", 0))[0])


def energy(step: Step) -> None:
    """Keep a limit on energy that is wide, and break one that nothing can keep."""
    epochs = 2 if step.rehearse else 60
    space: dict[str, Any] = {
        "task": "digits",
        "budget": {"trials": 1, "epochs": epochs},
        "training": {"precision": "fp32", "final": "keep"},
        "space": {"architecture": {"mlp": {"depth": 2, "width": 512}}, "batch_size": 128},
    }
    if step.rehearse:
        step.findings.check("a space without the limit runs", len(search(step, space).complete) == 1)
        step.findings.on_gpu("a limit on energy is kept or broken", False)
        return
    wide = search(step, space | {"limits": {"energy_j_per_sample": 1e6}}, label="wide", share=TIME_SHARE / 2)
    step.findings.check("a wide limit is kept", len(wide.complete) == 1, "; ".join(wide.trials["reason"]))
    for trial in wide.complete.to_dict("records"):
        figures = {name: trial[name] for name in ("energy_j", "energy_j_per_sample", "power_w", "seconds")}
        predicted, measured = trial["predicted_energy_j_per_sample"], trial["energy_j_per_sample"]
        step.findings.figures |= {**figures, "predicted_energy_j_per_sample": predicted}
        step.findings.check(
            "energy is predicted and measured", predicted > 0 and measured > 0, f"{predicted}, {measured}"
        )
        low, high = ENERGY_WITHIN
        ratio = trial["energy_j"] / (trial["power_w"] * trial["seconds"])
        step.findings.check("it is about power times time", low < ratio < high, f"energy is {ratio:.2f} times that")
    tight = search(step, space | {"limits": {"energy_j_per_sample": 1e-12}}, label="tight", share=TIME_SHARE / 2)
    outcomes = "; ".join(f"{row['outcome']}: {row['reason']}" for row in tight.trials.to_dict("records"))
    broken = (tight.trials["outcome"] == "infeasible").all() and "energy_j_per_sample predicted" in outcomes
    step.findings.check("a limit that nothing keeps rejects before training", bool(broken), outcomes)
