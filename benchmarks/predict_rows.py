"""Claim: ``harness predict`` reads, predicts and writes a million rows in bounded memory, as fast as scikit-learn does.

Run: ``python benchmarks/predict_rows.py [--rows 1000000] [--rounds 3]``. Both predict the same file in chunks of the
same size in fresh processes, turn by turn: harness its winner, scikit-learn a pipeline of imputation, scaling, one-hot
encoding and an MLPClassifier of the same size. It prints rows a second and the peak of the resident memory, as medians
over the rounds, with the ratios within each round. Both begin with a model that is loaded; Linux tells the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

CHUNK = 2**16
NUMBERS = [f"x{number}" for number in range(6)]
TOWNS = ["Bern", "Chur", "Genf", "Thun"]
WIDTH, DEPTH = 64, 2


def made_rows(count: int, seed: int) -> pd.DataFrame:
    """Return numbers, some of them missing, and categories."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(count, len(NUMBERS))).round(5), columns=NUMBERS)
    frame["town"], frame["zip"] = rng.choice(TOWNS, count), rng.choice(["01010", "02134", "10027"], count)
    chance = 1 / (1 + np.exp(-2 * frame["x0"] - (frame["town"] == "Bern")))
    frame.loc[rng.random(count) < 0.03, "x1"] = np.nan
    return frame.assign(sold=np.where(rng.random(count) < chance, "yes", "no"))


def trained_run(folder: Path, table: Path) -> Path:
    """Return the run of a small network."""
    import harness

    space = {
        "task": {"csv": str(table), "target": "sold"},
        "budget": {"epochs": 3},
        "search": {"baselines": False},
        "training": {"final": "keep", "precision": "fp32"},
        "space": {"architecture": {"mlp": {"depth": DEPTH, "width": WIDTH}}},
    }
    return harness.search(space, trials=1, workers=0, out=folder, device="cpu").run


def trained_pipeline(table: Path) -> bytes:
    """Return scikit-learn's pipeline, pickled: it has no other form to be kept in."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.read_csv(table, dtype={"zip": str})
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), ["town", "zip"]),
    )
    pipeline = make_pipeline(columns, MLPClassifier((WIDTH,) * DEPTH, max_iter=3, early_stopping=True))
    return pickle.dumps(pipeline.fit(frame.drop(columns="sold"), frame["sold"]))


def predict_by_harness(model: Path, data: Path, out: Path) -> float:
    """Return the seconds that harness takes."""
    import harness
    from harness.prediction import predict_file

    loaded = harness.load(model, device="cpu")
    start = time.perf_counter()
    predict_file(loaded, data, out, proba=True, rows=CHUNK)
    return time.perf_counter() - start


def predict_by_sklearn(model: Path, data: Path, out: Path) -> float:
    """Return the seconds that scikit-learn's pipeline takes, with pandas around it."""
    import pyarrow.parquet as pq

    pipeline = pickle.loads(model.read_bytes())
    start = time.perf_counter()
    chunks: Iterable[pd.DataFrame]
    if data.suffix == ".csv":
        chunks = pd.read_csv(data, dtype={"zip": str}, chunksize=CHUNK)
    else:
        chunks = (batch.to_pandas() for batch in pq.ParquetFile(data).iter_batches(CHUNK))
    done = 0
    with out.open("w") as file:
        for chunk in chunks:
            chances = pipeline.predict_proba(chunk.drop(columns="sold"))
            columns = {f"probability_{name}": chances[:, k] for k, name in enumerate(pipeline.classes_)}
            named = pipeline.classes_[chances.argmax(axis=1)]
            told = pd.DataFrame({"index": np.arange(done, done + len(chunk)), "prediction": named, **columns})
            told.to_csv(file, header=not done, index=False)
            done += len(chunk)
    return time.perf_counter() - start


def child(which: str, model: Path, data: Path, out: Path) -> None:
    """Predict in this process and print what it took."""
    seconds = (predict_by_harness if which == "harness" else predict_by_sklearn)(model, data, out)
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_mib = int(status["VmHWM"].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib}))


def measured(which: str, model: Path, data: Path, folder: Path) -> dict[str, float]:
    """Return what a fresh process takes."""
    out = folder / f"{which}.csv"
    out.unlink(missing_ok=True)
    words = [sys.executable, __file__, "--child", which, str(model), str(data), str(out)]
    told: dict[str, float] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return told


def compare(models: dict[str, Path], data: Path, rows: int, rounds: int, folder: Path) -> None:
    """Print a line for each program on one file."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            found[name].append(measured(name, model, data, folder))
    pairs = zip(found["harness"], found["scikit-learn"], strict=True)
    ratios = sorted(other["seconds"] / own["seconds"] for own, other in pairs)
    for name, each in found.items():
        speed = rows / statistics.median(one["seconds"] for one in each)
        peak = statistics.median(one["peak_mib"] for one in each)
        print(f"{data.suffix[1:]:8} {name:13} {speed:10,.0f} rows a second {peak:8,.0f} MiB at most")
    spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print(f"{data.suffix[1:]:8} harness is {statistics.median(ratios):.2f} times as fast {spread}")


def main() -> None:
    """Make rows and models, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], *map(Path, given.child[1:]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made_rows(5000, seed=0).to_csv(folder / "train.csv", index=False)
        rows = made_rows(given.rows, seed=1)
        rows.to_csv(folder / "rows.csv", index=False)
        rows.to_parquet(folder / "rows.parquet", index=False)
        del rows
        pipeline = folder / "pipeline.pickle"
        pipeline.write_bytes(trained_pipeline(folder / "train.csv"))
        models = {"harness": trained_run(folder / "runs", folder / "train.csv"), "scikit-learn": pipeline}
        for data in ("rows.csv", "rows.parquet"):
            compare(models, folder / data, given.rows, given.rounds, folder)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
