from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import InputError, StorageError
from harness.records import PREDICTED, EpochRecord, Outcome, TelemetryRecord, TrialRecord
from harness.report import build, load_run, summary_table
from harness.report.load import parameter_columns
from harness.spec import parameters, parse_spec
from harness.store import epochs_frame, telemetry_frame, trials_frame

REQUIRED = (
    "trials.parquet",
    "epochs.parquet",
    "telemetry.parquet",
    "space.yaml",
    "hardware.json",
    "environment.json",
    "stats.json",
)

SPACE = """
task: digits
objective: {f1_macro: maximize}
space:
  architecture:
    mlp: {depth: {int: [1, 3]}, norm: [batch, none]}
  optimizer:
    adamw: {lr: {float: [0.001, 0.1], log: true}}
"""


def edit_stats(run: Path, **changes: object) -> None:
    file = run / "stats.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")


def edit_trials(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(run / "trials.parquet")).to_parquet(run / "trials.parquet")


def test_a_whole_run_folder_is_read_as_it_was_written(usual_run):
    run = load_run(usual_run)
    assert run.trials["trial"].tolist() == list(range(30))
    assert run.stats["search"]["trials"] == 30
    assert run.predictions is not None
    assert len(run.predictions) == 600
    assert run.space.startswith("task: fashion-mnist")
    assert run.environment["argv"][1] == "search"
    assert "param.architecture.mlp.depth" in parameter_columns(run.trials)


def test_rows_are_read_in_the_order_of_the_trials(make_run):
    folder = make_run(trials=5, outcomes="complete")
    edit_trials(folder, lambda trials: trials.iloc[::-1])
    assert load_run(folder).trials["trial"].tolist() == [0, 1, 2, 3, 4]


def test_a_folder_without_any_file_of_a_run_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        load_run(tmp_path)


def test_a_path_that_does_not_exist_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        load_run(tmp_path / "nowhere")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named_with_the_fix(make_run, name):
    folder = make_run(trials=3, outcomes="complete")
    (folder / name).unlink()
    with pytest.raises(StorageError, match=f"{name}: missing; .*copy the folder again"):
        load_run(folder)


@pytest.mark.parametrize("name", [*(name for name in REQUIRED if name != "space.yaml"), "predictions.parquet"])
@pytest.mark.parametrize("kept", [0.0, 0.6])
def test_a_torn_file_is_named(make_run, name, kept):
    folder = make_run(trials=3, outcomes="complete")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(StorageError, match=f"{name}: cannot be read"):
        load_run(folder)


def test_a_space_that_is_not_utf8_is_named(make_run):
    folder = make_run(trials=1, outcomes="complete")
    (folder / "space.yaml").write_bytes(b"task: \xff\xfe")
    with pytest.raises(StorageError, match=r"space\.yaml: cannot be read"):
        load_run(folder)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("{latency_ms: -1}", "limits: latency_ms: Input should be greater than 0; "),
        ("{latency: 1}", "limits: latency: Extra inputs are not permitted; "),
        ("5", "limits: Input should be a valid dictionary"),
        ("{latency_ms: ", r"not valid YAML: .*; the run was cut short"),
        ("!!python/name:os.system {}", "the tag .* is refused"),
    ],
)
def test_limits_that_no_space_has_are_one_line(make_run, limits, words):
    with pytest.raises(StorageError, match=rf"space\.yaml.*: {words}") as caught:
        load_run(make_run(trials=1, outcomes="complete", limits=limits))
    assert "\n" not in str(caught.value)


def test_limits_are_read_from_the_space_as_a_search_reads_them(make_run):
    folder = make_run(trials=1, outcomes="complete", limits="{flops: 1e6, latency_ms: 5, train_seconds: 2m}")
    limits = load_run(folder).limits
    assert (limits.flops, limits.latency_ms, limits.train_seconds, limits.memory_mb) == (1e6, 5.0, 120.0, None)


def test_a_run_without_a_winner_needs_no_predictions(make_run):
    folder = make_run(trials=3, outcomes="crashed")
    assert load_run(folder).predictions is None


def test_another_schema_version_names_both_versions(make_run):
    folder = make_run(trials=1, outcomes="complete")
    edit_stats(folder, schema_version=7)
    with pytest.raises(StorageError, match=r"schema version 7, this harness reads 1"):
        load_run(folder)


def test_a_wrong_value_in_the_stats_is_named_by_its_path(make_run):
    folder = make_run(trials=1, outcomes="complete")
    edit_stats(folder, search={"sampler": "tpe", "pruner": "none", "seed": 0, "trials": "many", "size": None})
    with pytest.raises(StorageError, match=r"stats\.json: search\.trials: "):
        load_run(folder)


def test_stats_that_are_no_object_are_refused(make_run):
    folder = make_run(trials=1, outcomes="complete")
    (folder / "stats.json").write_text("[1, 2]", "utf-8")
    with pytest.raises(StorageError, match=r"stats\.json: is not a JSON object"):
        load_run(folder)


def test_a_winner_that_is_not_among_the_trials_is_refused(make_run):
    folder = make_run(trials=4, outcomes="complete")
    winner = json.loads((folder / "stats.json").read_text("utf-8"))["best"]["trial"]
    edit_trials(folder, lambda trials: trials[trials["trial"] != winner])
    with pytest.raises(StorageError, match=f"best trial {winner} is not in trials.parquet"):
        load_run(folder)


@pytest.mark.parametrize("column", ["value", "latency_p50_ms", "architecture", "reasons"])
def test_a_missing_column_is_named(make_run, column):
    folder = make_run(trials=2, outcomes="complete")
    edit_trials(folder, lambda trials: trials.drop(columns=column))
    with pytest.raises(StorageError, match=f"trials.parquet: has no column '{column}'"):
        load_run(folder)


LATER = ["micro_batch", "most_epochs", "shared_with", "lost_s", "attempts", "same_as"]
LATER += ["epoch_s", "energy_j_per_sample", "idle_power_w", "gate_s"]
LATER += [f"predicted_{name}" for name in PREDICTED]
LATER_METERS = ["cpu_pressure_percent", "cpu_energy_j", "memory_reserved_mib", "power_instant_w", "pcie_tx_mb_s"]


def test_a_run_of_an_older_version_is_reported_on_without_the_columns_it_lacks(make_run):
    folder = make_run(gated=False)
    edit_trials(folder, lambda trials: trials.assign(epoch_s=math.nan))
    today = build(folder)["report.md"]
    edit_trials(folder, lambda trials: trials.drop(columns=LATER))
    samples = pd.read_parquet(folder / "telemetry.parquet").drop(columns=LATER_METERS)
    samples.to_parquet(folder / "telemetry.parquet")
    run = load_run(folder)
    assert run.trials[LATER].isna().all(axis=None)
    assert run.telemetry[LATER_METERS].isna().all(axis=None)
    assert build(folder)["report.md"] == today


@pytest.mark.parametrize("column", LATER)
def test_texts_in_a_later_column_are_refused(make_run, column):
    folder = make_run(trials=2, outcomes="complete")
    edit_trials(folder, lambda trials: trials.assign(**{column: "none"}))
    with pytest.raises(StorageError, match=f"column '{column}' holds str"):
        load_run(folder)


def test_texts_where_numbers_belong_are_refused(make_run):
    folder = make_run(trials=2, outcomes="complete")
    edit_trials(folder, lambda trials: trials.assign(seconds="soon"))
    with pytest.raises(StorageError, match="column 'seconds' holds str"):
        load_run(folder)


@pytest.mark.parametrize(
    ("column", "cell"), [("values", "{}"), ("params", "[1"), ("reasons", "null"), ("candidate", None)]
)
def test_a_cell_without_the_json_it_should_hold_is_refused(make_run, column, cell):
    folder = make_run(trials=2, outcomes="complete")
    edit_trials(folder, lambda trials: trials.assign(**{column: pd.Series([cell] * 2, dtype="str")}))
    with pytest.raises(StorageError, match=f"column '{column}' does not hold a JSON"):
        load_run(folder)


def test_an_unknown_outcome_is_refused(make_run):
    folder = make_run(trials=2, outcomes="complete")
    edit_trials(folder, lambda trials: trials.assign(outcome="exploded"))
    with pytest.raises(StorageError, match="'exploded'; known: complete"):
        load_run(folder)


def test_the_frames_of_the_store_are_accepted_and_ranked(make_run):
    folder = make_run(trials=1, outcomes="complete")
    spec = parse_spec(SPACE, origin="space.yaml")
    found = TrialRecord(
        trial=0,
        outcome=Outcome.COMPLETE,
        reason="trained",
        candidate={"architecture": {"mlp": {"depth": 2, "norm": "batch"}}, "optimizer": {"adamw": {"lr": 0.01}}},
        params={"architecture.mlp.depth": 2, "architecture.mlp.norm": "batch", "optimizer.adamw.lr": 0.01},
        values=(0.75,),
        figures={"parameters": 10.0},
    )
    lost = TrialRecord(trial=1, outcome=Outcome.CRASHED, reason="why", candidate={}, params={})
    trials = trials_frame([lost, found], list(parameters(spec.group)), ["loss", "f1_macro"])
    trials.to_parquet(folder / "trials.parquet")
    spent = {"train_s": 1.0, "validation_s": 1.0, "train_samples_s": 1.0}
    epoch = EpochRecord(trial=0, epoch=1, train={}, validation={}, learning_rate=0.1, gradient_norm=1.0, **spent)
    epochs_frame([epoch], ["loss", "f1_macro"]).to_parquet(folder / "epochs.parquet")
    telemetry_frame([TelemetryRecord(0.0, {})]).to_parquet(folder / "telemetry.parquet")
    run = load_run(folder)
    row = {"rank": 1, "trial": 0, "architecture": "mlp", "optimizer": "adamw", "f1_macro": 0.75, "parameters": 10.0}
    assert row.items() <= summary_table(run.trials, run.stats)[0].items()
