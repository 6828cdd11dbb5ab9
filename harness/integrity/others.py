"""Comparisons and benchmarks: what they tell against what it follows from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import StorageError
from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differences, differing, same
from harness.integrity.frames import check_csv
from harness.store.files import read_object
from harness.store.loose import at
from harness.store.run import STATUS
from harness.store.runs import COMPARISON, DESIGN, OPENINGS, REPLICATES

WINNERS = "winners"
ROUNDED = 1e-12


def check_comparison(contents: Contents) -> None:
    """Note where ``comparison.json`` does not tell what its searches and trainings do."""
    told = contents.object(COMPARISON)
    if told is None:
        return
    families = told.get("families")
    rows: list[dict[str, Any]] = families if isinstance(families, list) else []
    for place, family in enumerate(rows):
        contents.note(_winner(contents.run, family))
        contents.note(_scores(contents.run, told, family, place, len(rows)))
    design, openings = contents.object(DESIGN), contents.object(OPENINGS)
    contents.note(
        differing(COMPARISON, f"design.seed is not that of {DESIGN}", at(design, "seed"), at(told, "design", "seed"))
    )
    if openings is not None:
        contents.note(differences(COMPARISON, OPENINGS, openings.get("openings"), told.get("openings"), "openings"))


def _winner(run: Path, family: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where a family is not the winner of its search, if that is in the comparison's folder."""
    name = str(family["run"])
    stats = run / name / "stats.json"
    if Path(name).is_absolute() or ".." in Path(name).parts or not stats.is_file():
        return
    best = _held(stats).get("best")
    for key in ("trial", "params"):
        what = f"families.{family['name']}.{key}"
        yield from differences(COMPARISON, f"{name}/stats.json", at(best, key), family.get(key), what)


def _scores(
    run: Path, told: Mapping[str, Any], family: Mapping[str, Any], place: int, families: int
) -> Iterator[Finding]:
    """Yield where the scores of a family are not those of its trainings, or their mean is another."""
    name, metric, values = family["name"], at(told, "task", "metric"), family["values"]
    if values and not same(float(np.mean(values)), family.get("mean"), rel=ROUNDED):
        what = f"families.{name}.mean is not that of its values"
        yield Finding(COMPARISON, what, repr(float(np.mean(values))), repr(family.get("mean")))
    if not (run / WINNERS / REPLICATES).is_file():
        return
    listed = at(_held(run / WINNERS / REPLICATES), "trials") or []
    pair_of = {each["split"]: trial // families for trial, each in enumerate(listed) if trial % families == place}
    for seed, value in zip(family["seeds"], values, strict=True):
        file = f"{WINNERS}/test/trial-{pair_of[seed] * families + place:06d}.json"
        found = at(_held(run / file), "metrics", metric) if (run / file).is_file() else math.nan
        yield from differing(COMPARISON, f"families.{name}.values of seed {seed} is not that of {file}", found, value)


def _held(path: Path) -> dict[str, Any]:
    """Return a JSON object of an inner run; what is wrong with it is told by the inner run's own verification."""
    try:
        return read_object(path)
    except StorageError:
        return {}


def check_bench(contents: Contents) -> None:
    """Note where a benchmark's rows are not those of its CSV and its blocks."""
    from harness.bench.frames import read_bench

    try:
        bench, blocks, _ = read_bench(contents.run)
    except StorageError as error:
        path, _, what = str(error).partition(": ")
        contents.note([Finding(Path(path).name, what)])
        return
    check_csv(contents, "bench.csv", "bench.parquet")
    keys = [name for name in blocks.columns if name not in ("schema_version", "round", "block", "seconds")]
    middles = blocks.groupby(keys, sort=False, dropna=False)["seconds"].agg(["median", "size"]).to_dict("index")
    for row in bench.to_dict("records"):
        case = tuple(row[key] for key in keys)
        if case in middles and middles[case]["size"] == row["n_blocks"]:
            middle = float(middles[case]["median"])
            if not same(middle, row["t_median_s"], rel=ROUNDED):
                what = f"t_median_s of {row['bench']} {row['shape']} is not that of blocks.parquet"
                contents.note([Finding("bench.parquet", what, repr(middle), repr(row["t_median_s"]))])


def inner_runs(run: Path) -> list[Path]:
    """Return the runs in the folder of a comparison."""
    patterns = (f"searches/*/{STATUS}", f"{WINNERS}/{STATUS}")
    return sorted(path.parent for pattern in patterns for path in run.glob(pattern))
