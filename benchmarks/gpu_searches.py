"""Searches on a GPU: its plans and figures, several trials at once, memory that runs out, and limits on energy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from gpu_runs import Step

from harness.data.fashion_mnist import read_fashion_mnist
from harness.errors import DataError
from harness.hardware import usable_cores

TIME_SHARE = 0.75
"""Of a step's time, what its searches get; the rest is for processes to start in."""
KEPT = ("trials.csv", "stats.json", "hardware.json", "report.md")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
TOLD = (
    "memory_allocated_peak_mib",
    "memory_device_peak_mib",
    "gpu_utilization_percent",
    "power_w",
    "energy_j",
    "energy_j_per_sample",
    "temperature_c",
)
"""Figures that a GPU must tell of every complete trial."""
MAY_BE_SILENT = ("memory_process_peak_mib", "idle_power_w")
"""A container hides process numbers, and a GPU that is busy has no idle power."""
ENERGY_WITHIN = (0.5, 2.0)
"""Energy over mean power times seconds; the meters average over different times."""
MADE = "images.npz"
WIDE = Path(__file__).with_name("gpu_wide.py")
"""A model that needs as much memory as it is told to."""
PER_SAMPLE_TENSORS = 5
"""How many tensors of its width each sample of that model needs in training."""
OVER = 3.0
"""How many times the free memory a whole batch of it needs."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search left."""

    trials: pd.DataFrame
    test: Mapping[str, float]

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that were trained to their end, themselves and not as an earlier one of the same candidate."""
        return self.trials[(self.trials["outcome"] == "complete") & self.trials["same_as"].isna()]


def digits(step: Step) -> None:
    """Search small networks on the digits."""
    quick = step.rehearse
    space = {
        "task": "digits",
        "objective": "accuracy",
        "budget": {"trials": 2 if quick else 6, "epochs": 4 if quick else 40},
        "search": {"sampler": "grid"},
        "training": {"precision": "auto", "final": "keep" if quick else "refit"},
        "space": {
            "architecture": {
                "mlp": {"depth": 2, "width": [128, 1024]},
                "cnn": {"stages": 2, "width": 16 if quick else 32},
            },
            "optimizer": {"adamw": {"lr": 3e-3}, "sgd": {"lr": 0.05}},
            "batch_size": [64, 128],
        },
    }
    plans_and_figures(step, search(step, space), accuracy=0.3 if quick else 0.9)


def images(step: Step) -> None:
    """Search convolutional networks on Fashion-MNIST, or on made images where that is not here."""
    quick = step.rehearse
    space = {
        "task": pictures(step, 600 if quick else 6000),
        "objective": "accuracy",
        "budget": {"trials": 2 if quick else 4, "epochs": 1 if quick else 8},
        "search": {"sampler": "grid"},
        "training": {"precision": "auto", "final": "keep", "augment": {"flip": True}},
        "space": {
            "architecture": {"cnn": {"stages": [2, 3], "width": 16 if quick else [32, 64], "norm": "batch"}},
            "optimizer": {"adamw": {"lr": 5e-3}},
            "schedule": {"one_cycle": {}},
            "batch_size": 256,
        },
    }
    found = search(step, space)
    (step.folder / MADE).unlink(missing_ok=True)
    plans_and_figures(step, found, accuracy=0.0 if quick else 0.75)
    reasons = set(found.complete["layout_reason"].dropna())
    measured = any("channels_last measured" in why for why in reasons)
    step.findings.check("the layout of images is measured", measured, "; ".join(reasons))


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
    (step.folder / "wide.py").write_text(WIDE.read_text(encoding="utf-8"), encoding="utf-8")
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


def plans_and_figures(step: Step, found: Searched, *, accuracy: float) -> None:
    """Look at what every trial says of its plan and of the GPU."""
    trials, findings = found.complete, step.findings
    bad = found.trials[found.trials["outcome"].isin(("crashed", "oom", "diverged", "timeout"))]
    findings.check("no trial fails", bad.empty, "; ".join(bad["reason"].astype(str)))
    findings.check("trials are complete", len(trials) > 0, "; ".join(found.trials["reason"].astype(str)))
    told = trials[["trial", "architecture", "precision", "precision_ratio", "precision_reason", "layout", "data_path"]]
    findings.figures["plans"] = told.to_dict("records")
    findings.on_gpu("they are trained on the GPU", bool(trials["device"].str.startswith("cuda").all()))
    findings.check("their precision is one there is", set(trials["precision"]) <= set(PRECISIONS))
    ratios = trials["precision_ratio"]
    findings.on_gpu("their precision is measured", bool((ratios >= 1.0).all()), f"ratios {ratios.tolist()}")
    for name in TOLD:
        note_figure(step, trials, name)
    for name in MAY_BE_SILENT:
        if trials[name].isna().any() and not step.rehearse:
            findings.missing(f"{name} is told", "; ".join(reasons_of(trials, name)) or "no reason is given")
        else:
            note_figure(step, trials, name)
    for name in ("train_samples_s", "inference_samples_s", "latency_p50_ms"):
        findings.check(f"{name} is measured", bool((trials[name] > 0).all()), str(trials[name].tolist()))
    findings.figures["test_accuracy"] = score = found.test.get("accuracy", math.nan)
    findings.check(f"the winner's accuracy is above {accuracy}", score > accuracy, f"{score:.4f}")


def note_figure(step: Step, trials: pd.DataFrame, name: str) -> None:
    """Note whether the GPU told a figure of every trial."""
    known = trials[name].dropna()
    step.findings.figures[name] = known.round(4).tolist()
    step.findings.on_gpu(f"{name} is told", len(known) == len(trials), "; ".join(reasons_of(trials, name)))


def reasons_of(trials: pd.DataFrame, name: str) -> list[str]:
    """Return why trials do not have a figure, each reason once."""
    silent = trials[trials[name].isna()]["reasons"]
    return list(dict.fromkeys(json.loads(text).get(name, "no reason is given") for text in silent))


def search(
    step: Step,
    space: Mapping[str, Any],
    *options: str,
    label: str = "search",
    timed: bool = True,
    share: float = TIME_SHARE,
) -> Searched:
    """Run the command on a space and return what it left; the space stays as ``LABEL.yaml``.

    ``timed`` gives it that ``share`` of the step's time.
    """
    path = step.folder / f"{label}.yaml"
    whole = {**space, "search": {"baselines": False, **space.get("search", {})}}
    path.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    limit = ["--timeout", f"{share * step.seconds:.0f}s"] if timed else []
    where = ["--device", step.device, "--out", str(step.runs), "--json", *limit]
    if step.rehearse and "--workers" not in options:
        where += ["--workers", "0"]  # one process less that has to load torch
    result = step.harness("search", str(path), *where, *options, label=label)
    run = Path(result["run"])
    trials = pd.read_csv(run / "trials.csv")
    step.keep(run, *KEPT, prefix="" if label == "search" else f"{label}-")
    return Searched(trials, result["test"] or {})


def pictures(step: Step, count: int) -> Mapping[str, Any]:
    """Return the task: Fashion-MNIST where its files are found, else made images, a pattern for each class."""
    try:
        read_fashion_mnist(None)
    except DataError as error:
        step.findings.figures["images"] = f"made, as there are none: {error}"
    else:
        step.findings.figures["images"] = "Fashion-MNIST"
        return {"builtin": "fashion-mnist", "limit": count}
    rng = np.random.default_rng(0)
    patterns = rng.uniform(0, 255, (10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    targets = rng.integers(0, 10, count)
    noisy = patterns[targets] + rng.normal(0, 64, (count, 28, 28))
    np.savez(step.folder / MADE, x=noisy.clip(0, 255).astype(np.uint8), y=targets)
    return {"npz": MADE, "inputs": "x", "targets": "y"}
