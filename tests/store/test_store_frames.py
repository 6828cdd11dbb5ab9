import dataclasses
import io
import json
import math

import pandas as pd
import pytest

from harness.records import (
    FIGURES,
    NAN,
    PREDICTED,
    TELEMETRY,
    EpochRecord,
    Outcome,
    Plan,
    TelemetryRecord,
    TrialRecord,
)
from harness.spec import parameters, parse_spec
from harness.store import TIMED_COLUMNS, decode, encode, epochs_frame, telemetry_frame, to_parquet, trials_frame

SPACE = """
task: digits
space:
  architecture: {mlp: {depth: {int: [1, 3]}, norm: [batch, none]}, cnn: {residual: [true, false]}}
  batch_size: [32, 64]
"""
PLAN = Plan(
    device="cpu",
    precision="fp32",
    precision_ratio=NAN,
    precision_reason="only choice",
    batch_size=32,
    layout="contiguous",
    layout_reason="no images",
    data_path="resident",
    data_reason="fits",
    threads=2,
)


def trial(number=0, **changes):
    fields = {
        "trial": number,
        "outcome": Outcome.COMPLETE,
        "reason": 'all epochs, "quoted",\nnext line',
        "candidate": {"architecture": {"mlp": {"depth": 2, "norm": "batch"}}, "optimizer": {"sgd": {}}},
        "params": {
            "architecture": "mlp",
            "architecture.mlp.depth": 2,
            "architecture.mlp.norm": "batch",
            "batch_size": 32,
        },
        "values": (0.5, 3.0),
        "validation": {"accuracy": 0.5, "loss": NAN},
        "plan": PLAN,
        "figures": {"parameters": 10.0, "power_w": NAN},
        "reasons": {"power_w": "no meter"},
        "notes": ("overfitting", "vanishing"),
        "seconds": 1.5,
    } | changes
    return TrialRecord(**fields)


def epoch(number=1):
    return EpochRecord(
        trial=0,
        epoch=number,
        train={"loss": 0.1},
        validation={},
        learning_rate=0.1,
        gradient_norm=math.inf,
        train_s=1.0,
        validation_s=0.1,
        train_samples_s=100.0,
    )


@pytest.fixture
def searched():
    return list(parameters(parse_spec(SPACE, origin="x").group))


def test_records_survive_json_with_nan_and_infinity():
    record, epochs = decode(encode(trial(), [epoch(1), epoch(2)]))
    assert encode(record, epochs) == encode(trial(), [epoch(1), epoch(2)])
    assert record.plan.threads == 2
    assert record.outcome is Outcome.COMPLETE
    assert math.isnan(record.validation["loss"])
    assert epochs[1].gradient_norm == math.inf
    assert decode(encode(trial(plan=None), []))[0].plan is None


def test_columns_and_dtypes_do_not_depend_on_the_rows(searched):
    rows = [trial(1), trial(0, plan=None, values=(), params={"architecture": "cnn"})]
    full = trials_frame(rows, searched, ["accuracy", "loss"])
    empty = trials_frame([], searched, ["accuracy", "loss"])
    assert list(full.columns) == list(empty.columns)
    assert full.dtypes.astype(str).to_dict() == empty.dtypes.astype(str).to_dict()
    assert list(full["trial"]) == [0, 1]
    assert {*FIGURES, "train_accuracy", "validation_accuracy", "train_loss", "validation_loss"} <= set(full.columns)


def test_metrics_have_columns_in_the_order_of_the_problem_and_then_of_what_was_measured(searched):
    rows = [trial(0), trial(1, train={"loss": 0.2}, validation={"loss": 0.1, "mine": 3.0})]
    columns = list(trials_frame(rows, searched, ["loss", "accuracy"]).columns)
    first, last = columns.index("train_loss"), columns.index("validation_mine")
    assert columns[first : last + 1] == [
        "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "validation_mine",
    ]  # fmt: skip
    epochs = epochs_frame([epoch(1)], ["loss", "accuracy"])
    assert epochs.loc[0, "train_loss"] == 0.1
    assert epochs[["train_accuracy", "validation_loss", "validation_accuracy"]].isna().all(axis=None)


def test_what_does_not_exist_is_missing_and_never_zero(searched):
    frame = trials_frame([trial(plan=None, values=(), params={"architecture": "cnn"}, figures={})], searched)
    row = frame.iloc[0]
    for name in ("value", "batch_size", "device", "energy_j", "param.architecture.mlp.depth", "param.batch_size"):
        assert pd.isna(row[name]), name
    assert row["param.architecture"] == "cnn"


def test_parameters_keep_their_types(searched):
    dtypes = trials_frame([trial()], searched).dtypes.astype(str)
    assert dtypes["param.architecture.mlp.depth"] == "Int64"
    assert dtypes["param.architecture.cnn.residual"] == "boolean"
    assert dtypes["param.batch_size"] == "float64"
    assert dtypes["param.architecture"].startswith("string")


@pytest.mark.parametrize("kind", ["trials", "epochs", "telemetry"])
def test_parquet_and_csv_bring_the_frame_back(kind, searched):
    frame = {
        "trials": lambda: trials_frame([trial(0), trial(1, params={"architecture": "cnn"})], searched),
        "epochs": lambda: epochs_frame([epoch(2), epoch(1)]),
        "telemetry": lambda: telemetry_frame([TelemetryRecord(1.5, {"cpu_percent": 99.0}, 3)]),
    }[kind]()
    data = to_parquet(frame)
    assert data == to_parquet(frame), "the same frame gives the same bytes"
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(data)), frame)
    text = frame.to_csv(index=False, lineterminator="\n")
    back = pd.read_csv(io.StringIO(text), dtype=frame.dtypes.to_dict(), keep_default_na=False, na_values=[""])
    for name in frame.columns:
        for read, wrote in zip(back[name], frame[name], strict=True):
            nothing = pd.isna(wrote) or wrote == ""  # one and the same in CSV
            assert pd.isna(read) if nothing else read == wrote, name


def test_rows_hold_what_the_record_says(searched):
    row = trials_frame([trial()], searched).iloc[0]
    assert (row["value"], json.loads(row["values"])) == (0.5, [0.5, 3.0])
    assert (row["architecture"], row["optimizer"], row["precision"]) == ("mlp", "sgd", "fp32")
    assert row["notes"] == "overfitting; vanishing"
    assert json.loads(row["reasons"]) == {"power_w": "no meter"}
    assert json.loads(row["candidate"])["architecture"]["mlp"]["depth"] == 2


def test_a_whole_batch_is_one_micro_batch(searched):
    plans = [PLAN, dataclasses.replace(PLAN, micro_batch=8), None]
    frame = trials_frame([trial(n, plan=plan) for n, plan in enumerate(plans)], searched)
    assert frame["micro_batch"].tolist() == [32, 8, pd.NA]
    assert list(frame.columns).index("micro_batch") == list(frame.columns).index("batch_size") + 1


def test_attempts_and_repeats_have_columns_of_whole_numbers(searched):
    frame = trials_frame([trial(0, lost_s=2.5, attempts=3, shared_with=7), trial(1, same_as=0)], searched)
    assert frame["attempts"].tolist() == [3, 1]
    assert frame["shared_with"].tolist() == [7, 0]
    assert frame["lost_s"].tolist() == [2.5, 0.0]
    assert frame["same_as"].tolist() == [pd.NA, 0]
    assert frame.dtypes.astype(str)[["attempts", "same_as", "micro_batch", "shared_with"]].tolist() == ["Int64"] * 4


def test_predictions_stand_after_the_figures_and_are_empty_where_there_are_none(searched):
    predicted = {"latency_ms": 5.0, "memory_mb": NAN}
    frame = trials_frame([trial(0, predicted=predicted), trial(1)], searched)
    names = [f"predicted_{name}" for name in PREDICTED]
    first = list(frame.columns).index(names[0])
    assert list(frame.columns)[first - 1 : first + len(names)] == [FIGURES[-1], *names]
    assert frame["predicted_latency_ms"].tolist() == pytest.approx([5.0, NAN], nan_ok=True)
    assert frame[names[1:]].isna().all(axis=None)


def test_only_times_and_the_machine_may_differ_between_two_runs_of_one_seed(searched):
    measured = dict.fromkeys(set(FIGURES) - {"parameters", "flops", "value_se", "value_sd"}, 1.0)
    undisturbed = trial(seconds=1.0, started_unix_s=5.0)
    resumed = trial(
        seconds=2.0,
        started_unix_s=9.0,
        lost_s=0.5,
        attempts=2,
        figures={"parameters": 10.0, **measured},
        predicted=dict.fromkeys(PREDICTED, 1.0),
    )
    one, other = (trials_frame([record], searched) for record in (undisturbed, resumed))
    differ = {name for name in one if not one[name].equals(other[name])}
    foretold = {f"predicted_{name}" for name in PREDICTED}
    assert differ == {"seconds", "started_unix_s", "lost_s", "attempts", *measured, *foretold}
    assert differ <= set(TIMED_COLUMNS)
    assert not {"same_as", "micro_batch"} & set(TIMED_COLUMNS)


def test_telemetry_has_every_column():
    frame = telemetry_frame([TelemetryRecord(1.0, {"power_w": 5.0})])
    assert list(frame.columns) == ["time_unix_s", "trial", *TELEMETRY]
    assert frame.iloc[0]["trial"] == -1
    assert math.isnan(frame.iloc[0]["cpu_percent"])
