import json
import math
from dataclasses import replace

import pytest

from harness.errors import StorageError
from harness.records import FIGURES, NAN, PREDICTED, EpochRecord, Outcome, Plan, TrialRecord
from harness.store import decode, encode

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
    micro_batch=16,
)
TRIAL = TrialRecord(
    trial=3,
    outcome=Outcome.COMPLETE,
    reason='all epochs, "quoted",\nü',
    candidate={"architecture": {"mlp": {"depth": 2, "norm": None, "bias": True}}},
    params={"architecture": "mlp", "lr": 1e-300},
    values=(0.5, -math.inf),
    seed=2**53 + 1,
    plan=PLAN,
    figures=dict.fromkeys(FIGURES, 1.5),
    predicted=dict.fromkeys(PREDICTED, 2.5),
    reasons={"power_w": "no meter"},
    notes=("one", "two"),
    lost_s=2.5,
    attempts=2,
    same_as=1,
)
EPOCH = EpochRecord(
    trial=3,
    epoch=1,
    train=dict.fromkeys(("loss", "accuracy", "mine"), 0.1 + 0.2),
    validation={},
    learning_rate=0.1,
    gradient_norm=math.inf,
    train_s=1.0,
    validation_s=5e-324,
    train_samples_s=100.0,
)


def test_records_come_back_as_they_were():
    plan = replace(PLAN, precision_ratio=1.5)
    trial, epochs = replace(TRIAL, plan=plan, started_unix_s=0.0, seconds=1.0), [EPOCH, replace(EPOCH, epoch=2)]
    assert decode(encode(trial, epochs)) == (trial, epochs)
    assert decode(encode(replace(trial, plan=None), ())) == (replace(trial, plan=None), [])
    unmeasured = decode(encode(TRIAL, [EPOCH]))[0]
    assert math.isnan(unmeasured.seconds)
    assert math.isnan(unmeasured.plan.precision_ratio)
    unpredicted = decode(encode(replace(TRIAL, predicted={"latency_ms": NAN}), []))[0]
    assert math.isnan(unpredicted.predicted["latency_ms"])


def test_what_is_no_text_does_not_make_a_record_unreadable():
    trial, _ = decode(encode(replace(TRIAL, reason="no file \udcff\x00", notes=("\ud83d",)), []))
    assert (trial.reason, trial.notes) == ("no file ?\x00", ("?",))


def test_what_an_older_record_lacks_has_its_default():
    value = json.loads(encode(TRIAL, []))
    for name in ("shared_with", "lost_s", "attempts", "same_as", "predicted"):
        del value["trial"][name]
    del value["trial"]["plan"]["micro_batch"], value["trial"]["plan"]["threads_reason"]
    trial, _ = decode(json.dumps(value))
    assert (trial.lost_s, trial.attempts, trial.same_as, trial.plan.micro_batch) == (0.0, 1, None, 0)
    assert trial.plan.threads_reason == ""
    assert trial.predicted == {}
    assert trial.shared_with == 0


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("trial",), None),
        (("trial",), []),
        (("epochs",), {}),
        (("epochs", 0), None),
        (("extra",), 1),
        (("trial", "extra"), 1),
        (("trial", "plan", "extra"), 1),
        (("epochs", 0, "extra"), 1),
        (("trial", "trial"), "3"),
        (("trial", "trial"), True),
        (("trial", "seed"), 1.0),
        (("trial", "outcome"), "won"),
        (("trial", "outcome"), None),
        (("trial", "reason"), 5),
        (("trial", "candidate"), []),
        (("trial", "values"), [None]),
        (("trial", "values"), "12"),
        (("trial", "plan"), []),
        (("trial", "plan", "threads"), None),
        (("trial", "plan", "device"), 0),
        (("trial", "figures"), {"flops": "many"}),
        (("trial", "figures"), {"flops": None}),
        (("trial", "predicted"), {"latency_ms": "5"}),
        (("trial", "predicted"), {"latency_ms": None}),
        (("trial", "predicted"), None),
        (("trial", "notes"), "one"),
        (("trial", "same_as"), 1.5),
        (("epochs", 0, "epoch"), None),
        (("epochs", 0, "train"), {"a\nb": {}}),
        (("epochs", 0, "gradient_norm"), [1.0]),
    ],
    ids=str,
)
def test_a_record_of_another_form_is_one_line(where, value):
    whole = json.loads(encode(TRIAL, [EPOCH]))
    inner = whole
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    _is_refused(json.dumps(whole))


@pytest.mark.parametrize("kind", ["trial", "epoch"])
def test_a_field_without_a_default_must_be_there(kind):
    whole = json.loads(encode(TRIAL, [EPOCH]))
    record = whole["trial"] if kind == "trial" else whole["epochs"][0]
    for name in (
        ("trial", "outcome", "reason", "candidate", "params") if kind == "trial" else set(record) - {"note", "fold"}
    ):
        kept = record.pop(name)
        _is_refused(json.dumps(whole))
        record[name] = kept
    assert decode(json.dumps(whole))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "5", "[" * 100_000, '{"trial": ' * 100_000, "\ud800", "\x00", '{"trial": {}, "epochs": []} x'],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_record_is_one_line(text):
    _is_refused(text)


def test_every_torn_record_is_one_line():
    text = encode(TRIAL, [EPOCH])
    for length in range(0, len(text), 7):
        _is_refused(text[:length])


def _is_refused(text):
    with pytest.raises(StorageError, match=r"^the record of a trial is damaged: ") as caught:
        decode(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
