"""Claim: the shipped space `forecast` reaches a MASE of 0.44 on the last 12 airline months, below 1.80 on the last 24.

Five tasks, each the last horizon held out: airline passengers (12 and 24 months), monthly means of the CO2 of Mauna Loa
(12 months), yearly sunspots (11 years, which is their season) and the real GDP of the USA (8 quarters), the last three
from statsmodels. The search is that of the space, with all its trials; the baselines are those of its report, made from
the whole history: the seasonal naive forecast has 1.57 and 2.49 on the airline tasks, with growth 0.44 and 1.80.

Run: ``python benchmarks/forecast.py``, with ``--seeds 3`` for a table of several. docs/families.md has what came out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from statsmodels.datasets import co2, macrodata, sunspots

import harness
from harness.data.sources.builtin import AIRLINE

AIRLINE_TASK = {"forecast": str(AIRLINE), "time": "month", "target": "passengers", "transform": "log"}


def main() -> None:
    """Search each task and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, task in tasks(Path(folder)).items():
            for seed in range(options.seeds):
                print(f"{name:24} seed {seed} {row(task, seed, options.trials, Path(folder))}", flush=True)


def tasks(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the tasks by name; the files of those that are not harness's own are written to ``folder``."""
    monthly = co2.load_pandas().data["co2"].resample("MS").mean()
    gdp = macrodata.load_pandas().data
    months = gdp["quarter"].astype(int) * 3 - 2
    quarters = pd.to_datetime(pd.DataFrame({"year": gdp["year"].astype(int), "month": months, "day": 1}))
    frames = {
        "co2": pd.DataFrame({"time": monthly.index, "value": monthly.to_numpy()}),
        "sunspots": sunspots.load_pandas().data.set_axis(["time", "value"], axis="columns"),
        "gdp": pd.DataFrame({"time": quarters, "value": gdp["realgdp"]}),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    own = {name: {"forecast": str(folder / f"{name}.csv"), "time": "time", "target": "value"} for name in frames}
    return {
        "airline, 12 months": {**AIRLINE_TASK, "horizon": 12},
        "airline, 24 months": {**AIRLINE_TASK, "horizon": 24},
        "co2, 12 months": {**own["co2"], "horizon": 12},
        "sunspots, 11 years": {**own["sunspots"], "horizon": 11, "season": 11},
        "gdp, 8 quarters": {**own["gdp"], "horizon": 8, "transform": "log"},
    }


def row(task: dict[str, Any], seed: int, trials: int | None, folder: Path) -> str:
    """Return the test MASE of the winner and of each baseline, and the CPU seconds of this process."""
    started = time.process_time()
    result = harness.search(
        "forecast",
        overrides=[f"task={json.dumps(task)}"],
        trials=trials,
        seed=seed,
        device="cpu",
        workers=0,
        out=folder,
    )
    seconds = time.process_time() - started
    best = result.best
    assert best is not None
    told = {f"{next(iter(best['candidate']['architecture']))} (winner)": result.test["mase"]}
    told |= {each["name"]: (each["test"] or {}).get("mase", float("nan")) for each in result.stats["baselines"]}
    return f"{', '.join(f'{name} {mase:.2f}' for name, mase in told.items())}; {seconds:.0f} CPU s"


if __name__ == "__main__":
    main()
