"""Make the tables that ``benchmarks/regret.py`` replays: candidates of the shipped spaces, each trained once.

Run: ``OMP_NUM_THREADS=1 python benchmarks/regret_tables.py [NAME...]``, minutes of a core for each table. Candidates
are drawn at random and, where the optimum is looked for, by two searches by TPE without first candidates. Each is
trained on one holdout as a trial is, by a plan by rule, and nothing else is measured of it. A row has the parameters,
as JSON by path, the best epoch's validation objective and that of every epoch. ``schedule-*`` are the same candidates
under three schedules, to tell how early epochs rank them. Stored as Parquet in benchmarks/reference/regret/.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.data import derive_seed
from harness.errors import TrialEnd
from harness.records import Outcome, TrialRecord
from harness.spec import Candidate, candidate_at, load_spec
from harness.spec.parameters import Scalar
from harness.study import Request, open_search
from harness.study.decide.mirror import Mirror
from harness.study.job import Job
from harness.study.trial.building import build_model, make_fit, place_evaluation, place_training, plan_training
from harness.train.loop import never

FOLDER = Path(__file__).parent / "reference" / "regret"
PERCEPTRONS = [
    """space={
    architecture: {mlp: {depth: {int: [0, 4]}, width: {int: [16, 512], log: true}, shape: [constant, pyramid],
        activation: [relu, gelu, silu, tanh], norm: [batch, layer, none], dropout: {float: [0.0, 0.6]},
        residual: [true, false], numeric: [plain, piecewise_linear]}},
    optimizer: {
        adamw: {lr: {float: [1e-4, 3e-2], log: true}, weight_decay: {float: [1e-4, 3.0], log: true}},
        sgd: {lr: {float: [1e-3, 0.5], log: true}, momentum: {float: [0.8, 0.98]}, nesterov: true}},
    schedule: {cosine: {warmup_epochs: 0.5}}, epochs: {int: [5, 60], log: true}, batch_size: [32, 64, 128, 256],
    clip_norm: [0.0, 1.0]}""",
    "budget={trials: 40, epochs: 60}",
]
"""What the shipped space for tables was when the tables were made."""
SPACES = {
    "diabetes": ("tabular", ["task=diabetes", *PERCEPTRONS]),
    "breast-cancer": ("tabular", ["task=breast-cancer", *PERCEPTRONS]),
    "wine": ("tabular", ["task=wine", *PERCEPTRONS]),
    "digits": ("digits", ["budget.epochs=10"]),
    "clothes": ("digits", ["task={builtin: fashion-mnist, limit: 1000}", "budget.epochs=10"]),
}
PLAIN = ("search.first=[]", "evaluation.folds=null")
DRAWN, SEARCHED, SEEDS = 120, 30, (101, 102)
"""Trials by chance, trials of each search by TPE, and the seeds of these."""
SCHEDULES = {"cosine": "{cosine: {warmup_epochs: 0.5}}", "wsd": "{wsd: {}}", "constant": "{constant: {}}"}
RANKED, EPOCHS = 40, 20
"""Candidates of a table of schedules, and the epochs of each."""


def main() -> None:
    """Make the tables that are named, or all."""
    tables = [*SPACES, *(f"schedule-{space}" for space in ("digits", "diabetes", "breast-cancer"))]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=tables, help=f"of {', '.join(tables)}")
    asked = parser.parse_args().tables
    if unknown := set(asked) - set(tables):
        parser.error(f"no table named {min(unknown)!r}; there are {', '.join(tables)}")
    for name in asked:
        rows = list(ranked(name.removeprefix("schedule-")) if name.startswith("schedule-") else searched(name))
        FOLDER.mkdir(parents=True, exist_ok=True)
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        types = {"curve": pa.list_(pa.float32()), "value": pa.float64()}
        table = pa.table({key: pa.array(column, types.get(key)) for key, column in columns.items()})
        pq.write_table(table, FOLDER / f"{name}.parquet", compression="zstd")
        print(f"{name}: {len(rows)} rows", flush=True)


def searched(name: str) -> Iterator[dict[str, object]]:
    """Yield the rows of a space: by chance, then those of searches, which lie where it is good."""
    space, overrides = SPACES[name]
    yield from trained(space, overrides, sampler="random", trials=DRAWN, seed=100)
    for seed in SEEDS:
        yield from trained(space, overrides, sampler="tpe", trials=SEARCHED, seed=seed)


def ranked(name: str) -> Iterator[dict[str, object]]:
    """Yield the same candidates under each schedule; of the digits MLPs only, which cost little."""
    space, overrides = SPACES[name]
    if name == "digits":
        overrides = [*overrides, "space.architecture={mlp: {depth: {int: [1, 3]}, width: {int: [32, 256], log: true}}}"]
    else:
        overrides = [*overrides, f"space.epochs={EPOCHS}"]
    for schedule, text in SCHEDULES.items():
        options = [*overrides, f"budget.epochs={EPOCHS}", f"space.schedule={text}"]
        for row in trained(space, options, sampler="random", trials=RANKED, seed=200):
            yield {"schedule": schedule, **row}


def trained(space: str, overrides: list[str], *, sampler: str, trials: int, seed: int) -> Iterator[dict[str, object]]:
    """Search a space and yield what each candidate comes to; one that diverges is left out."""
    spec = load_spec(space, [*PLAIN, *overrides, f"search.sampler={sampler}", f"search.seed={seed}"])
    job = open_search(Request(spec=spec, device="cpu")).job
    mirror, objective = Mirror(job.spec, job.objectives), job.objectives[0]
    for number in range(trials):
        params = mirror.ask().params
        try:
            curve = learning_curve(job, candidate_at(job.spec, params), derive_seed(seed, "trial", number))
        except TrialEnd:
            mirror.tell(record(number, Outcome.DIVERGED, params), [])
            continue
        value = max(curve) if objective.maximize else min(curve)
        mirror.tell(record(number, Outcome.COMPLETE, params, values=(value,)), [])
        yield {"sampler": sampler, "seed": seed, "params": json.dumps(params), "value": value, "curve": curve}


def record(number: int, outcome: Outcome, params: Mapping[str, Scalar], **found: Any) -> TrialRecord:
    """Return what a sampler is told of a trial."""
    return TrialRecord(trial=number, outcome=outcome, reason="trained", candidate={}, params=params, **found)


def learning_curve(job: Job, candidate: Candidate, seed: int) -> list[float]:
    """Train a candidate and return its objective on validation after every epoch."""
    data = job.dataset
    model = build_model(job, candidate, data, seed)
    train, validation = place_training(job, candidate, data, seed), place_evaluation(data.validation, job.device)
    plan = plan_training(job, candidate, data, train, by_rule=True)
    fit = make_fit(job, candidate, data, model, train, validation, plan, seed=seed, trial=0, stop=never)
    return [epoch.validation[job.objectives[0].metric] for epoch in fit]


if __name__ == "__main__":
    main()
