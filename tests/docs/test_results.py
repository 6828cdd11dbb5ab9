"""docs/results.md describes every file of a run, and every column and key of it, once and with its unit."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import pytest

import harness
from harness.records import FIGURES, TELEMETRY
from harness.report.formats import FORMATS
from harness.report.stats import Stats
from harness.store.frames import EPOCH_DTYPES, METRICS, TELEMETRY_DTYPES, TRIAL_DTYPES
from harness.store.run import Status

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
METRIC_COLUMNS = ["train_*", "validation_*"]
UNITS = {
    "_samples_s": "samples/s",
    "_ms": "ms",
    "_mib": "MiB",
    "_mhz": "MHz",
    "_mb_s": "MB/s",
    "_percent": "%",
    "_w": "W",
    "_j": "J",
    "_j_per_sample": "J/sample",
    "_c": "°C",
    "unix_s": "s since 1970",
    "_s": "s",
}
"""Units that names end with, the longer ends before the shorter."""


def cells(heading, table=0):
    """Return the first and the second cells of a table below a heading."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[table].splitlines()[2:]
    return [line.split("|")[1:3] for line in lines]


def names(heading, table=0):
    """Return what the first cells name."""
    return [name for first, _ in cells(heading, table) for name in re.findall(r"`([^`]+)`", first)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as any search leaves it."""
    overrides = ["budget.epochs=1", "search.baselines=false", "training.final=keep", "evaluation.folds=2"]
    overrides.append("space={architecture: {mlp: {width: {int: [8, 16]}}}}")
    out = tmp_path_factory.mktemp("runs")
    return harness.search("wine", trials=1, workers=0, device="cpu", out=out, overrides=overrides).run


FRAMES = {
    "trials": (TRIAL_DTYPES, ["param.*"]),
    "epochs": (EPOCH_DTYPES, []),
    "telemetry": (TELEMETRY_DTYPES, []),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_every_column_is_described_once(frame):
    dtypes, others = FRAMES[frame]
    known = [name for key in dtypes for name in (METRIC_COLUMNS if key == METRICS else [key])]
    assert sorted(names(f"Columns of `{frame}`")) == sorted([*known, *others])


@pytest.mark.parametrize("frame", FRAMES)
def test_units_are_those_of_the_names(frame):
    described = {
        name: unit.strip() for first, unit in cells(f"Columns of `{frame}`") for name in re.findall(r"`([^`]+)`", first)
    }
    for name, unit in described.items():
        end = next((end for end in UNITS if name.endswith(end)), "")
        if end:
            assert unit in (UNITS[end], "% of a core", "device-seconds"), name
    measured = [name for name in (*FIGURES, *TELEMETRY) if name in described]
    assert [name for name in measured if not described[name]] in ([], ["parameters"])


def test_the_columns_of_a_run_are_the_described_ones(run):
    for frame in (*FRAMES, "predictions", "splits"):
        described = names(f"Columns of `{frame}`")
        for column in pd.read_parquet(run / f"{frame}.parquet"):
            found = column in described or any(fnmatchcase(column, pattern) for pattern in described)
            assert found, f"{column} of {frame}"
    assert set(names("Columns of `splits`")) == set(pd.read_parquet(run / "splits.parquet"))


def test_every_file_of_a_run_is_described(run):
    head = PAGE.split("\n## ")[0]
    patterns = re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in head.splitlines() if line[:2] == "| "))
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and path.name[0] != "."}
    assert files
    assert [file for file in sorted(files) if not any(fnmatchcase(file, pattern) for pattern in patterns)] == []
    always = {pattern for pattern in patterns if "*" not in pattern and not re.search("study.db-|residuals", pattern)}
    assert always <= files, "and no file is described that there is not"


def test_the_keys_of_json_files_are_described(run):
    stats, status, environment = (
        json.loads((run / f"{name}.json").read_text()) for name in ("stats", "status", "environment")
    )
    assert set(names("JSON files", 0)) == set(stats) == {*Stats.__annotations__, "ledger"}
    assert set(names("JSON files", 1)) == set(status) == set(Status.__annotations__)
    assert set(names("JSON files", 2)) == set(environment)
    manifest = json.loads((run / "manifest.json").read_text())
    assert all(f"`{key}`" in PAGE.split("Keys of `manifest.json`")[1] for key in manifest)


def test_states_and_formats_are_described():
    assert names("Finding runs") == ["running", "complete", "interrupted", "failed", "killed"]
    assert set(names("Formats of a report")) == set(FORMATS)
