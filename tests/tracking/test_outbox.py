"""What an observer hears reaches its tracker in order, and a tracker that fails or hangs holds up nobody."""

import math
import threading
import time
from pathlib import Path

import pytest

from harness.records import EpochRecord, Outcome, Plan, TrialRecord
from harness.study import Finished, Objective
from harness.tracking.outbox import Outbox
from harness.tracking.told import About, of_epoch, of_trial, tags_of
from harness.tracking.tracker import Tracker

STATS = {"best": {"trial": 0, "validation": {"accuracy": 0.5}}, "test": None, "elapsed_s": 3.0}


class Fake(Tracker):
    """Remembers what it was told; fails or waits where it is told to."""

    def __init__(self):
        super().__init__("")
        self.calls, self.failing, self.closed = [], 0, False
        self.gate = threading.Event()
        self.gate.set()

    def _call(self, *told):
        self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise OSError("nobody there\nat all")
        self.calls.append(told)

    def begin(self, about):
        self._call("begin", about.name)

    def open(self, name, params, _):
        self._call("open", name, params)

    def rows(self, name, rows):
        self._call("rows", name, [(row.step, row.metrics["train/loss"]) for row in rows])

    def end(self, name, _record, _row, tags):
        self._call("end", name, tags.get("outcome", tags))

    def finish(self, state, row, *_):
        self._call("finish", state, dict(row.metrics))

    def close(self):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    known = About(home=Path("runs"), name="run", task="wine", params={}, several=False)
    monkeypatch.setattr("harness.tracking.outbox.about", lambda _run: known)
    monkeypatch.setattr("harness.tracking.outbox.GATHER_S", 0.0)
    monkeypatch.setattr("harness.tracking.outbox.PAUSE_S", 0.01)
    return Fake()


def epoch(number, trial=0, **changes):
    timed = {"train_s": 0.1, "validation_s": 0.1, "train_samples_s": 10.0, "learning_rate": 0.1, "gradient_norm": 1.0}
    return EpochRecord(trial=trial, epoch=number, train={"loss": 1.0 / number}, validation={}, **{**timed, **changes})


def ended(trial=0, outcome=Outcome.COMPLETE, **more):
    return TrialRecord(trial=trial, outcome=outcome, reason="so", candidate={}, params={}, **more)


def hear(box, trials=2, epochs=2):
    """Tell an observer of a whole search."""
    box.run_started(Path("runs/run"), (), Objective("accuracy", True), None)
    for trial in range(trials):
        box.trial_started(trial, {"width": trial})
        for number in range(1, epochs + 1):
            box.epoch_ended(epoch(number, trial))
        box.trial_ended(ended(trial))
    box.run_ended(Finished(Path("runs/run"), "complete", STATS, "", {}))


def flat(calls):
    """Return what was told with each epoch apart: how many go together is up to the clock."""
    for method, *rest in calls:
        if method == "rows":
            yield from ((method, rest[0], row) for row in rest[1])
        else:
            yield (method, *rest)


WHOLE = [
    ("begin", "run"),
    *(
        told
        for name, width in (("trial-000000", 0), ("trial-000001", 1))
        for told in (
            ("open", name, {"width": width}),
            ("rows", name, (1, 1.0)),
            ("rows", name, (2, 0.5)),
            ("end", name, "complete"),
        )
    ),
    ("finish", "complete", {"result/accuracy": 0.5, "cost/seconds": 3.0}),
]


def test_everything_is_told_once_and_in_order(fake, capsys):
    box = Outbox("fake", fake)
    hear(box)
    box.close()
    assert list(flat(fake.calls)) == WHOLE
    assert fake.closed
    assert capsys.readouterr().err == ""


def test_epochs_that_wait_go_together_but_not_those_of_two_trials(fake):
    fake.gate.clear()
    box = Outbox("fake", fake)
    hear(box, epochs=50)
    fake.gate.set()
    box.close()
    rows = [(call[1], len(call[2])) for call in fake.calls if call[0] == "rows"]
    assert rows == [("trial-000000", 50), ("trial-000001", 50)]


def test_a_tracker_that_fails_for_a_while_is_told_later_and_the_user_once(fake, capsys):
    fake.failing = 5
    box = Outbox("fake", fake)
    hear(box)
    until = time.monotonic() + 10
    while len(list(flat(fake.calls))) < len(WHOLE) and time.monotonic() < until:
        time.sleep(0.01)
    box.close()
    assert list(flat(fake.calls)) == WHOLE
    assert capsys.readouterr().err.splitlines() == [
        "harness: fake: not reached (nobody there); the search goes on, and what waits is sent later"
    ]


def test_what_a_tracker_refuses_is_left_out_and_the_rest_is_told(fake, capsys):
    fake.refuses = lambda error: "nobody" in str(error)
    fake.gate.clear()
    box = Outbox("fake", fake)
    hear(box)
    fake.failing = 1  # what the run is
    fake.gate.set()
    box.close()
    assert list(flat(fake.calls)) == WHOLE[1:]
    assert capsys.readouterr().err.splitlines() == [
        "harness: fake: refused (nobody there); the search goes on",
        "harness: fake: not sent: 1 run; the run folder has all of it",
    ]


def test_what_could_not_be_sent_is_counted_at_the_end(fake, capsys, monkeypatch):
    monkeypatch.setattr("harness.tracking.outbox.PAUSE_S", 60.0)
    monkeypatch.setattr("harness.tracking.outbox.MOST", 6)
    fake.failing = 10**6
    box = Outbox("fake", fake)
    started = time.monotonic()
    hear(box)
    box.close()
    assert time.monotonic() - started < 5.0
    assert fake.calls == []
    assert capsys.readouterr().err.splitlines()[-1] == (
        "harness: fake: not sent: 1 run, 2 trials begun, 4 epochs, 2 trials ended, 1 end of the run; "
        "the run folder has all of it"
    )


def test_a_tracker_that_hangs_holds_up_neither_the_search_nor_its_end(fake, capsys):
    fake.gate.clear()
    box = Outbox("fake", fake)
    started = time.perf_counter()
    hear(box, trials=100, epochs=10)
    heard_s = time.perf_counter() - started
    box.close(seconds=0.2)
    assert heard_s < 1.0, "1,200 pieces of news"
    assert time.perf_counter() - started < 5.0
    assert "not sent: 1 run, 100 trials begun, 1000 epochs" in capsys.readouterr().err
    fake.gate.set()


def test_the_trainings_of_the_final_model_are_told_apart(fake):
    box = Outbox("fake", fake)
    box.run_started(Path("runs/run"), (), Objective("accuracy", True), None)
    fake.rows = lambda name, rows: fake._call("rows", name, [(row.step, sorted(row.metrics)[-1]) for row in rows])
    for how, numbers in (("rehearse", (1, 2, 1)), ("refit", (1,))):
        box.final_started(how, 2, "")
        for number in numbers:
            box.epoch_ended(epoch(number))
    box.run_failed()
    box.close()
    assert list(flat(fake.calls))[1:] == [
        ("open", "final", {}),
        *(("rows", "final", (step, "rehearse/train/loss")) for step in (1, 2, 3)),
        ("rows", "final", (1, "refit/train/loss")),
        ("end", "final", {"stages": "rehearse, refit"}),
        ("finish", "failed", {}),
    ]


def test_names_and_what_was_not_measured():
    told = of_epoch(epoch(1, gradient_norm=math.nan, train_s=math.inf), several=False)
    assert sorted(told) == ["epoch/learning_rate", "epoch/train_samples_s", "epoch/validation_s", "train/loss"]
    assert "fold3/train/loss" in of_epoch(epoch(1, fold=3), several=True)
    figures = {"energy_j": math.nan, "parameters": 7.0, "value_se": 0.1}
    record = ended(values=(0.9, 12.0), validation={"accuracy": 0.9}, figures=figures, seconds=2.0)
    assert of_trial(record, "accuracy") == {
        "result/accuracy": 0.9,
        "objective/accuracy": 0.9,
        "objective/value_se": 0.1,
        "cost/parameters": 7.0,
        "cost/seconds": 2.0,
        "cost/lost_s": 0.0,
        "epochs": 0.0,
        "best_epoch": 0.0,
    }
    assert "objective/accuracy" not in of_trial(ended(outcome=Outcome.PRUNED), "accuracy")


def test_how_a_trial_was_trained_is_told_in_words():
    plan = Plan(
        device="cpu", precision="bf16", precision_ratio=1.5, precision_reason="", batch_size=32, layout="contiguous",
        layout_reason="", data_path="resident", data_reason="", threads=2,
    )  # fmt: skip
    tags = tags_of(ended(outcome=Outcome.DIVERGED, plan=plan, same_as=3, notes=("one", "two"), seed=5))
    assert (tags["outcome"], tags["reason"], tags["seed"]) == ("diverged", "so", "5")
    assert (tags["plan.precision"], tags["plan.threads"], tags["same_as"]) == ("bf16", "2", "3")
    assert tags["notes"] == "one; two"
