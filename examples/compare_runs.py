"""Put two searches of one task side by side: their test scores, their price, and whether they differ.

The difference is paired: both winners predicted the same test samples. Its standard error is over these samples, so it
says nothing of other seeds, with which either search may end elsewhere. From the top of the checkout:
``python examples/compare_runs.py results/A results/B``.
"""

import json
import sys
from pathlib import Path

import pandas as pd


def errors(run: Path) -> pd.Series:
    """Return the error of each test sample: 1 for a wrong class, or how far a value is off."""
    predictions = pd.read_parquet(run / "predictions.parquet").set_index("index")
    if "predicted_name" in predictions:
        return (predictions["predicted"] != predictions["target"]).astype(float)
    return (predictions["predicted"] - predictions["target"]).abs()


runs = [Path(name) for name in sys.argv[1:3]]
stats = [json.loads((run / "stats.json").read_text()) for run in runs]
if stats[0]["task"]["fingerprint"] != stats[1]["task"]["fingerprint"]:
    sys.exit("these runs are of different data")
a, b = map(errors, runs)
if not a.index.equals(b.index):
    sys.exit("these runs have different test samples; give both searches the same task.split")

for run, each in zip(runs, stats, strict=True):
    trials = pd.read_parquet(run / "trials.parquet").set_index("trial")
    number = each["best"]["trial"]
    winner = trials.loc[number]
    price = f"{winner['parameters']:,.0f} parameters, {winner['latency_p50_ms']:.2f} ms"
    searched = f"{trials['seconds'].sum():.0f} s of search"
    print(f"{run.name}: {trials['architecture'][number]}, {price}, {searched}; mean error {errors(run).mean():.4g}")
difference = a - b
print(f"difference {difference.mean():.4g}, standard error {difference.sem():.4g} over {len(difference)} test samples")
