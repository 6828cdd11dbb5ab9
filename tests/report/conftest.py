"""A made-up run folder, written as the other parts write theirs, with everything that a report has to bear."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from harness.problems import problems
from harness.records import FIGURES, PREDICTED, TELEMETRY
from harness.report import Findings, analyse, build, load_run
from harness.report.figure import Figure

START = 1_767_225_600.0
NO_GPU = "no NVIDIA GPU on this machine"
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PLAN = {
    "device": "cpu",
    "precision": "bf16",
    "precision_ratio": 1.83,
    "precision_reason": "fastest of fp32, bf16",
    "batch_size": 128,
    "micro_batch": 128,
    "layout": "channels_last",
    "layout_reason": "channels_last measured 1.70x contiguous",
    "data_path": "resident",
    "data_reason": "188 MiB fit in memory",
    "threads": 2,
}
BATCHES = ("batch_size", "micro_batch")
REASONS = {
    "complete": "trained for all 12 epochs",
    "pruned": "median pruner: 0.71 at epoch 3 is below the median of 0.82",
    "infeasible": "parameters 2,104,330 > limit 2,000,000 (+5 %)",
    "diverged": "loss became NaN at epoch 2, step 17",
    "oom": "one sample does not fit: 512 MiB asked, 301 MiB free",
    "timeout": "the trial ran for 60 s, its limit",
    "crashed": "RuntimeError: mat1 and mat2 shapes cannot be multiplied | see log",
    "interrupted": "stopped by the user",
}
CYCLE = (
    "complete",
    "complete",
    "pruned",
    "complete",
    "complete",
    "diverged",
    "complete",
    "pruned",
    "complete",
    "infeasible",
)
RARE = {17: "oom", 22: "timeout", 25: "crashed", 29: "interrupted"}


@dataclass(frozen=True)
class Wish:
    """What kind of run a test wants."""

    trials: int = 30
    kind: str = "classification"
    classes: Sequence[str] = CLASSES
    objective: Mapping[str, str] = field(default_factory=lambda: {"f1_macro": "maximize"})
    outcomes: Mapping[int, str] | str | None = None
    """One for all trials, or some by trial; None: a mixture."""
    architectures: Sequence[str] = ("cnn", "mlp", "transformer")
    single_parameter: bool = False
    reason: str | None = None
    note: str = "gradients vanish: norm 0.00002 at epoch 2"
    test_samples: int = 600
    repeats: Mapping[int, int] = field(default_factory=dict)
    """Trials that were told the result of an earlier one."""
    cells: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Cells of ``trials`` to change, by trial."""
    gated: bool = True
    """Whether trials were predicted before they were trained."""
    limits: str = "{parameters: 2_000_000}"
    seed: int = 0


def outcome_of(wish: Wish, trial: int) -> str:
    if isinstance(wish.outcomes, str):
        return wish.outcomes
    usual = RARE.get(trial, CYCLE[trial % len(CYCLE)])
    return usual if wish.outcomes is None else wish.outcomes.get(trial, "complete")


def sampled(wish: Wish, rng: np.random.Generator) -> dict[str, Any]:
    """Draw parameters of which some exist only with one choice."""
    if wish.single_parameter:
        return {"batch_size": int(rng.choice([64, 128, 256]))}
    architecture = str(rng.choice(list(wish.architectures)))
    optimizer = str(rng.choice(["adamw", "sgd"]))
    rate = float(10 ** rng.uniform(-4, -1))
    params: dict[str, Any] = {"architecture": architecture, "optimizer": optimizer}
    own = {
        "mlp": {
            "depth": int(rng.integers(1, 5)),
            "width": int(2 ** rng.integers(5, 10)),
            "activation": str(rng.choice(["relu", "gelu"])),
        },
        "cnn": {
            "stages": int(rng.integers(1, 4)),
            "width": int(rng.choice([16, 32, 48, 64])),
            "norm": str(rng.choice(["batch", "group", "none"])),
        },
    }.get(architecture, {"heads": int(rng.choice([2, 4])), "dropout": float(rng.uniform(0, 0.4))})
    params |= {f"architecture.{architecture}.{name}": value for name, value in own.items()}
    params[f"optimizer.{optimizer}.lr"] = rate
    params["batch_size"] = int(rng.choice([64, 128, 256]))
    return params


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as a space file nests them."""
    architecture, optimizer = str(params.get("architecture", "mlp")), str(params.get("optimizer", "adamw"))

    def inner(prefix: str) -> dict[str, Any]:
        return {path.removeprefix(prefix): value for path, value in params.items() if path.startswith(prefix)}

    return {
        "architecture": {architecture: inner(f"architecture.{architecture}.")},
        "optimizer": {optimizer: inner(f"optimizer.{optimizer}.")},
        "batch_size": params["batch_size"],
    }


def goodness(params: Mapping[str, Any], rng: np.random.Generator) -> float:
    """Return a score in (0, 1) that depends on the parameters."""
    rates = [value for path, value in params.items() if path.endswith(".lr")] or [1e-3]
    base = {"cnn": 0.9, "mlp": 0.86, "transformer": 0.83}.get(str(params.get("architecture")), 0.85)
    return float(np.clip(base - 0.05 * (np.log10(rates[0]) + 2.7) ** 2 + rng.normal(0, 0.006), 0.12, 0.99))


def metrics(wish: Wish, good: float) -> dict[str, float]:
    if wish.kind == "classification":
        _, *names = problems[wish.kind].summed
        return {"loss": 2.4 * (1 - good), **{name: good + 0.002 * i for i, name in enumerate(names)}}
    return dict(
        zip(problems[wish.kind].summed, (40 * (1 - good) ** 2, 6 * (1 - good), 5 * (1 - good), good), strict=True)
    )


def epoch_rows(wish: Wish, trial: int, epochs: int, good: float) -> list[dict[str, Any]]:
    rows, summed = [], problems[wish.kind].summed
    for epoch in range(1, epochs + 1):
        reached = good - (good - 0.1) * float(np.exp(-0.6 * epoch))
        scores = {"validation": metrics(wish, reached), "train": metrics(wish, min(reached + 0.004 * epoch, 0.999))}
        named = {f"{part}_{m}": scores[part].get(m, np.nan) for part in ("train", "validation") for m in summed}
        spent = {"learning_rate": 1e-3, "gradient_norm": 1 / epoch, "train_s": 0.8, "validation_s": 0.1}
        rows.append(
            {
                "trial": trial,
                "epoch": epoch,
                **named,
                **spent,
                "train_samples_s": 6e4,
                "note": wish.note if trial % 9 == 4 and epoch == 2 else "",
            }
        )
    return rows


def trial_row(wish: Wish, trial: int, rng: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    params, outcome = sampled(wish, rng), outcome_of(wish, trial)
    good, complete = goodness(params, rng), outcome == "complete"
    epochs = {"complete": 12, "pruned": 3, "timeout": 5, "interrupted": 2}.get(outcome, 0)
    history = epoch_rows(wish, trial, epochs, good)
    parameters = float(rng.integers(20_000, 900_000))
    parameters = 2_104_330.0 if outcome == "infeasible" else parameters
    figures = dict.fromkeys(FIGURES, np.nan) | {"parameters": parameters, "flops": 2 * parameters}
    if complete:
        figures |= {
            "train_samples_s": 5e6 / parameters**0.4,
            "latency_p50_ms": parameters / 4e5 + 0.1,
            "latency_p95_ms": parameters / 3e5,
            "memory_rss_peak_mib": 800 + parameters / 5e3,
            "epoch_s": 0.7 + parameters / 1e6,
        }
    figures["gate_s"] = 0.25 if wish.gated else np.nan
    last = history[-1] if history else {}
    summed = problems[wish.kind].summed
    scores = {f"{part}_{m}": last.get(f"{part}_{m}", np.nan) for part in ("train", "validation") for m in summed}
    known = {**{m: scores[f"validation_{m}"] for m in summed}, **figures, "latency_ms": figures["latency_p50_ms"]}
    values = [float(known[name]) for name in wish.objective] if complete else []
    unmeasured = [name for name in FIGURES if np.isnan(figures[name]) and name.startswith(("gpu", "power", "memory"))]
    row = {
        "trial": trial,
        "outcome": outcome,
        "reason": wish.reason if wish.reason and not complete else REASONS[outcome],
        "value": values[0] if values else np.nan,
        "values": json.dumps(values),
        "architecture": params.get("architecture", "mlp"),
        "optimizer": params.get("optimizer", "adamw"),
        "candidate": json.dumps(nested(params)),
        "params": json.dumps(params),
        "seed": 1000 + trial,
        "epochs": epochs,
        "best_epoch": epochs,
        **scores,
        **(dict.fromkeys(PLAN) if outcome == "infeasible" else PLAN | dict.fromkeys(BATCHES, params["batch_size"])),
        **figures,
        **predictions(figures, trial if wish.gated and outcome != "infeasible" else None),
        "notes": "; ".join(sorted({epoch["note"] for epoch in history if epoch["note"]})),
        "reasons": json.dumps(dict.fromkeys(unmeasured, NO_GPU)),
        "started_unix_s": START + 14 * trial,
        "seconds": (0.7 + parameters / 1e6) * epochs + 0.4,
        "shared_with": 0,
        "lost_s": 0.0,
        "attempts": 1,
        "most_epochs": None,
        "same_as": None,
        **{f"param.{path}": value for path, value in params.items()},
    }
    return row, history


def predictions(figures: Mapping[str, float], seed: int | None) -> dict[str, float]:
    """Return what was predicted of a trial, more or less what was measured; without a seed nothing was."""
    if seed is None:
        return {f"predicted_{name}": np.nan for name in PREDICTED}
    off = np.random.default_rng(seed).lognormal(0, 0.15, 3)
    named = {
        "latency_ms": figures["latency_p50_ms"] * off[0],
        "memory_mb": figures["memory_rss_peak_mib"] * off[1],
        "static_memory_mb": 40 + figures["parameters"] / 4e3,
        "epoch_s": figures["epoch_s"] * off[2],
        "train_seconds": 12 * figures["epoch_s"] * off[2],
        "energy_j_per_sample": np.nan,
    }
    return {f"predicted_{name}": named[name] for name in PREDICTED}


def typed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return trials with the store's dtypes."""
    frame = pd.DataFrame(rows)
    tails = sorted(name for name in frame if name.startswith("param."))
    for name in ("trial", "seed", "epochs", "best_epoch"):
        frame[name] = frame[name].astype("int64")
    for name in ("batch_size", "micro_batch", "most_epochs", "threads", "shared_with", "attempts", "same_as"):
        frame[name] = frame[name].astype("Int64")
    for name in (
        "device",
        "precision",
        "precision_reason",
        "layout",
        "layout_reason",
        "data_path",
        "data_reason",
        "outcome",
        "notes",
    ):
        frame[name] = frame[name].astype("string")
    return frame[[name for name in frame if name not in tails] + tails]


def telemetry_frame(seconds: float, rng: np.random.Generator) -> pd.DataFrame:
    times = np.arange(0.0, seconds, 0.5)
    frame = pd.DataFrame({"time_unix_s": START + times, "trial": (times // 14).astype("int64")})
    for name in TELEMETRY:
        frame[name] = np.nan
    frame["cpu_percent"] = 150 + 30 * np.sin(times / 9) + rng.normal(0, 8, len(times))
    frame["memory_rss_mib"] = 700 + 0.8 * times + rng.normal(0, 5, len(times))
    return frame


def final_stats(wish: Wish, rng: np.random.Generator) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the test part of stats.json with the predictions that it was computed from."""
    empty = {"final": "refit", "opened": 1, "per_class": None, "confusion": None}
    if wish.kind == "regression":
        target = rng.normal(50, 12, wish.test_samples)
        predicted = target + rng.normal(0, 2, wish.test_samples)
        scores = {"rmse": float(np.sqrt(np.mean((predicted - target) ** 2)))}
        frame = pd.DataFrame({"index": np.arange(len(target)), "target": target, "predicted": predicted})
        return {**empty, "metrics": scores}, frame
    count = len(wish.classes)
    target = rng.integers(0, count, wish.test_samples)
    predicted = np.where(rng.random(wish.test_samples) < 0.88, target, rng.integers(0, count, wish.test_samples))
    labels = list(range(count))
    precision, recall, f1, support = precision_recall_fscore_support(target, predicted, labels=labels, zero_division=0)
    named = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    stats = {
        **empty,
        "metrics": {
            "accuracy": accuracy_score(target, predicted),
            "f1_macro": f1_score(target, predicted, average="macro"),
        },
        "per_class": {"class": list(wish.classes), **{name: column.tolist() for name, column in named.items()}},
        "confusion": confusion_matrix(target, predicted, labels=labels).tolist(),
    }
    frame = pd.DataFrame({"index": np.arange(len(target)), "target": target, "predicted": predicted})
    probabilities = pd.DataFrame(np.full((len(frame), count), 1 / count), columns=[f"probability_{k}" for k in labels])
    return stats, pd.concat([frame, probabilities], axis=1)


def front(complete: pd.DataFrame, wish: Wish) -> list[int]:
    """Return the numbers of the trials that no other beats, by comparing each with each."""
    signs = [1 if way == "maximize" else -1 for way in wish.objective.values()]
    points = {
        int(n): [s * v for s, v in zip(signs, json.loads(text), strict=True)]
        for n, text in zip(complete["trial"], complete["values"], strict=True)
    }

    def beaten(mine: list[float]) -> bool:
        return any(other != mine and all(o >= m for o, m in zip(other, mine, strict=True)) for other in points.values())

    return [number for number, mine in points.items() if not beaten(mine)]


def stats_of(wish: Wish, trials: pd.DataFrame, test: dict[str, Any]) -> dict[str, Any]:
    complete = trials[trials["outcome"] == "complete"]
    direction = next(iter(wish.objective.values()))
    best = None
    if len(complete):
        row = complete.sort_values(["value", "trial"], ascending=[direction == "minimize", True]).iloc[0]
        scores = {
            m: None if np.isnan(row[f"validation_{m}"]) else row[f"validation_{m}"] for m in problems[wish.kind].summed
        }
        best = {
            "trial": int(row["trial"]),
            "candidate": json.loads(row["candidate"]),
            "params": json.loads(row["params"]),
            "validation": scores,
            "pareto": front(complete, wish),
        }
    task = {
        "name": "fashion-mnist" if wish.kind == "classification" else "concrete strength",
        "kind": wish.kind,
        "classes": list(wish.classes) if wish.kind == "classification" else [],
        "train": 51_000,
        "validation": 9_000,
        "test": wish.test_samples,
        "fingerprint": "9f" * 32,
        "notes": ["3 duplicated rows were dropped"],
    }
    return {
        "schema_version": 2,
        "task": task,
        "objective": [{"metric": name, "direction": way} for name, way in wish.objective.items()],
        "search": {"sampler": "tpe", "pruner": "median", "seed": 0, "trials": wish.trials, "size": None},
        "elapsed_s": float(trials["seconds"].sum() * 1.07),
        "outcomes": {str(k): int(v) for k, v in trials["outcome"].value_counts().items()},
        "seconds_by_outcome": {str(k): float(v) for k, v in trials.groupby("outcome")["seconds"].sum().items()},
        "best": best,
        "test": test if best else None,
    }


CPU = {"model": "Intel(R) Xeon(R) Platinum 8481C", "cores": 2, "isa": ["avx2", "amx_bf16"], "cache": {"l2_kib": 2048}}
HARDWARE = {"os": "Linux 6.8", "cpu": CPU, "memory_total_mib": 32_000.0, "gpus": [], "torch": {"cuda": None}}
ENVIRONMENT = {
    "harness": "0.1.0",
    "python": "3.11.9",
    "packages": {"numpy": "2.4.6", "torch": "2.13.0+cpu", "nvidia-ml-py": None},
    "git": {"commit": "4be1c0ffee" * 4, "dirty": True, "diff": "x" * 5000},
    "argv": ["/usr/local/bin/harness", "search", "fashion mnist.yaml", "--trials", "30"],
}
SPACE = """task: fashion-mnist
objective: {f1_macro: maximize}
limits: LIMITS
space:
  architecture:
    mlp: {depth: {int: [1, 4]}, width: {int: [32, 512], log: true}}
    cnn: {stages: {int: [1, 3]}, norm: [batch, group, none]}
  batch_size: [64, 128, 256]
"""


def write_run(folder: Path, wish: Wish) -> Path:
    """Write a whole run folder."""
    rng = np.random.default_rng(wish.seed)
    made = [trial_row(wish, trial, rng) for trial in range(wish.trials)]
    for trial, original in wish.repeats.items():
        made[trial] = {**made[original][0], "trial": trial, "same_as": original, "seconds": 0.0}, []
    for trial, cells in wish.cells.items():
        made[trial][0].update(cells)
    trials = typed([row for row, _ in made])
    epochs = pd.DataFrame([row for _, rows in made for row in rows] or epoch_rows(wish, 0, 1, 0.5))
    test, predictions = final_stats(wish, rng)
    stats = stats_of(wish, trials, test)
    folder.mkdir(parents=True)
    trials.to_parquet(folder / "trials.parquet")
    epochs.iloc[: None if any(rows for _, rows in made) else 0].to_parquet(folder / "epochs.parquet")
    telemetry_frame(min(14.0 * wish.trials, 900), rng).to_parquet(folder / "telemetry.parquet")
    if stats["best"]:
        predictions.to_parquet(folder / "predictions.parquet")
    (folder / "space.yaml").write_text(SPACE.replace("LIMITS", wish.limits), encoding="utf-8")
    for name, contents in (("stats", stats), ("hardware", HARDWARE), ("environment", ENVIRONMENT)):
        (folder / f"{name}.json").write_text(json.dumps(contents, indent=2, ensure_ascii=False), encoding="utf-8")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _checked_by_plotly() -> Iterator[None]:
    """Have Plotly look at every figure that is drawn: it knows each property, and says the same of it as the page."""
    as_dict = Figure.as_dict

    def checked(figure: Figure) -> dict[str, Any]:
        document = as_dict(figure)
        whole = go.Figure(document).to_json(engine="json")
        assert json.loads(whole)["data"] == json.loads(json.dumps(document["data"])), "what Plotly makes of it is other"
        layout = json.loads(whole)["layout"]
        del layout["template"]
        assert layout == json.loads(json.dumps(document["layout"]))
        return document

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "as_dict", checked)
        yield


@pytest.fixture(scope="session", name="write_run")
def _write_run() -> Callable[[Path, Wish], Path]:
    """Return :func:`write_run`, for fixtures that last longer than a test."""
    return write_run


@pytest.fixture(scope="session")
def wish() -> type[Wish]:
    """Return :class:`Wish`."""
    return Wish


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a run folder of the wished kind."""
    made: list[Path] = []

    def make(**wishes: Any) -> Path:
        made.append(write_run(tmp_path / f"run-{len(made)}", Wish(**wishes)))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def usual_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of thirty trials; read it only."""
    return write_run(tmp_path_factory.mktemp("runs") / "usual", Wish())


@pytest.fixture(scope="session")
def usual_findings(usual_run: Path) -> Findings:
    """What is computed from the usual run."""
    return analyse(load_run(usual_run))


@pytest.fixture(scope="session")
def usual_texts(usual_run: Path) -> dict[str, str]:
    """The report of the usual run."""
    return build(usual_run)


@pytest.fixture(scope="session")
def front_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of thirty trials by two objectives under two limits; read it only."""
    goals = {"f1_macro": "maximize", "latency_ms": "minimize"}
    wish = Wish(objective=goals, limits="{parameters: 2_000_000, latency_ms: 5}")
    return write_run(tmp_path_factory.mktemp("runs") / "front", wish)
