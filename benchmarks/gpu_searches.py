"""Searches on a GPU: what came of them, how they were planned, and whether the GPU told its figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml
from gpu_runs import Step

from harness.data.sources.fashion_mnist import read_fashion_mnist
from harness.errors import DataError

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
MADE = "images.npz"


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
    where = ["--device", step.device, "--out", "runs", "--json", *limit]
    if step.rehearse and "--workers" not in options:
        where += ["--workers", "0"]  # one process less that has to load torch
    result = step.harness("search", path.name, *where, *options, label=label)
    run = step.folder / result["run"]
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
