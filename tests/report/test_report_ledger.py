from __future__ import annotations

import json
import math
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import Outcome, TrialRecord
from harness.report import build
from harness.report.remarks import batch_text, remarks
from harness.report.wording import NOT_MEASURED
from harness.store import plain, trials_frame
from harness.store.ledger import Ledger, ledger

SECONDS = st.one_of(st.floats(0, 1000), st.just(math.nan))
ENDS = st.lists(st.tuples(st.sampled_from(list(Outcome)), SECONDS, st.floats(0, 50), st.booleans()), max_size=12)


def trial(number: int, outcome: str = "complete", **changes: object) -> TrialRecord:
    fields = {"reason": f"{outcome} at epoch {number}", "candidate": {}, "params": {}, "seconds": 1.0, **changes}
    return TrialRecord(trial=number, outcome=Outcome(outcome), **fields)


def book_of(*trials: TrialRecord) -> Ledger:
    return ledger(trials_frame(trials, ()))


def row(book: Ledger, what: str) -> dict[str, object]:
    return book.rows.set_index("what").loc[what].to_dict()


def test_the_ledger_has_a_row_for_every_kind_of_end_in_the_order_of_the_outcomes():
    book = book_of(*(trial(n, outcome) for n, outcome in enumerate(reversed(Outcome))))
    assert book.rows["what"].tolist() == list(Outcome)
    assert book.rows["share"].tolist() == pytest.approx([1 / 8] * 8)
    assert book.complete_s == 1.0


def test_lost_seconds_are_part_of_the_whole_and_no_part_of_an_outcome():
    book = book_of(trial(0, seconds=6.0, lost_s=3.0), trial(1, "crashed", seconds=0.0, lost_s=1.0), trial(2, "pruned"))
    assert (row(book, "lost")["trials"], row(book, "lost")["device_s"]) == (2, 4.0)
    assert book.device_s == 11.0
    assert row(book, "complete")["share"] == pytest.approx(6 / 11)
    assert row(book, "lost")["share"] == pytest.approx(4 / 11)


@pytest.mark.parametrize("recorded", [0.0, 5.0, math.nan], ids=["nothing", "as the original", "not measured"])
def test_a_repeat_costs_nothing_and_saves_what_its_original_cost(recorded):
    repeats = [trial(n, seconds=recorded, same_as=0) for n in (2, 3)]
    book = book_of(trial(0, seconds=5.0), trial(1, "pruned", seconds=3.0), *repeats)
    assert book.device_s == 8.0
    assert book.unrecorded == 0
    assert (row(book, "complete")["trials"], row(book, "complete")["device_s"]) == (3, 5.0)
    assert (row(book, "saved by repeats")["trials"], row(book, "saved by repeats")["device_s"]) == (2, 10.0)
    assert math.isnan(row(book, "saved by repeats")["share"])


def test_the_most_frequent_reason_is_told_numbers_aside_and_repeats_left_out():
    reasons = ["shapes 3 and 4 differ", "no such layer", "shapes 5 and 6 differ"]
    book = book_of(
        *(trial(n, "crashed", reason=reason) for n, reason in enumerate(reasons)),
        *(trial(n, "crashed", reason="same as trial 1", same_as=1) for n in range(3, 8)),
    )
    assert row(book, "crashed")["reason"] == "shapes 3 and 4 differ"


def test_seconds_that_were_not_recorded_are_not_counted_and_never_zero():
    book = book_of(trial(0, seconds=2.0), trial(1, seconds=math.nan), trial(2, "oom", seconds=math.nan))
    assert (book.device_s, book.complete_s, book.unrecorded) == (2.0, 2.0, 2)
    assert math.isnan(row(book, "oom")["device_s"])


def test_a_run_without_any_seconds_has_no_shares():
    assert book_of(trial(0, seconds=math.nan)).rows["share"].isna().all()
    assert math.isnan(book_of().as_dict()["complete_share"])


@settings(max_examples=25)
@given(ENDS)
def test_the_ledger_accounts_for_every_trial_and_every_second(ends):
    trials = [
        trial(number, outcome, seconds=seconds, lost_s=lost, same_as=0 if repeated and number else None)
        for number, (outcome, seconds, lost, repeated) in enumerate(ends)
    ]
    book = book_of(*trials)
    known = [t.seconds for t in trials if t.same_as is None and not math.isnan(t.seconds)]
    assert book.device_s == pytest.approx(sum(known) + sum(t.lost_s for t in trials))
    assert dict(zip(book.outcomes["what"], book.outcomes["trials"], strict=True)) == Counter(t.outcome for t in trials)
    assert book.rows["share"].sum() == pytest.approx(1.0 if book.device_s > 0 else 0.0)


def test_gates_save_the_training_that_they_predicted_and_no_other():
    foretold = {"train_seconds": 40.0}
    book = book_of(
        trial(0, predicted=foretold, figures={"gate_s": 0.25}, epochs=3, seconds=9.0),
        trial(1, "infeasible", predicted=foretold, figures={"gate_s": 0.5}),
        trial(2, "infeasible", predicted={"train_seconds": 60.0}),
        trial(3, "infeasible"),
        trial(4, "infeasible", predicted=foretold, epochs=3, seconds=8.0),
        trial(5, "infeasible", predicted=foretold, figures={"gate_s": 0.5}, seconds=0.0, same_as=1),
    )
    saved = row(book, "saved by gates, as predicted")
    assert (saved["trials"], saved["device_s"]) == (2, 100.0)
    assert math.isnan(saved["share"])
    assert "predicted, not measured" in saved["reason"]
    assert (book.rejected, book.unpredicted, book.gates_s) == (3, 1, 0.75)
    assert book.as_dict()["gates_share"] == pytest.approx(0.75 / 20)
    assert (row(book, "infeasible")["trials"], row(book, "infeasible")["device_s"]) == (5, 11.0)


def test_a_run_without_gates_has_no_cost_of_gates_rather_than_none():
    book = book_of(trial(0), trial(1, "infeasible"))
    assert book.rows["what"].tolist() == ["complete", "infeasible"]
    assert math.isnan(book.gates_s)
    assert math.isnan(book.as_dict()["gates_share"])


def test_the_ledger_of_the_stats_is_strict_json():
    book = book_of(trial(0, lost_s=0.5), trial(1, "oom", seconds=math.nan), trial(2, same_as=0))
    read = json.loads(json.dumps(plain(book.as_dict()), allow_nan=False))
    assert {key: read[key] for key in ("device_s", "complete_s", "complete_share", "trials_without_seconds")} == {
        "device_s": 1.5,
        "complete_s": 1.0,
        "complete_share": pytest.approx(2 / 3),
        "trials_without_seconds": 1,
    }
    assert [(r["what"], r["trials"], r["device_s"]) for r in read["rows"]] == [
        ("complete", 2, 1.0),
        ("oom", 1, None),
        ("lost", 1, 0.5),
        ("saved by repeats", 1, 1.0),
    ]


CELLS = {
    18: {"batch_size": 512, "micro_batch": 64, "attempts": 2, "lost_s": 3.25},
    4: {"attempts": 3, "lost_s": 10.0},
    17: {"seconds": math.nan},
    5: {"shared_with": 7, "most_epochs": 3},
}


@pytest.fixture
def eventful(make_run):
    """A run with repeats, micro-batches, lost attempts and a trial whose time is unknown."""
    return make_run(repeats={20: 3, 24: 10, 26: 18, 27: 2}, cells=CELLS)


def test_the_report_says_where_the_time_went_and_what_is_not_counted(eventful):
    text = build(eventful)["report.md"]
    book = ledger(pd.read_parquet(eventful / "trials.parquet"))
    shown = f"{book.complete_s:.1f} of {book.device_s:.1f} device-seconds ({book.complete_s / book.device_s:.1%}"
    assert f"{shown[:-1]} %) led to a complete trial. Not counted because no time was recorded: 1 trial." in text
    assert "| lost | 2 | 13.2 s |" in text
    assert "| saved by repeats | 4 |" in text
    assert f"| oom | 1 | {NOT_MEASURED} | {NOT_MEASURED} | one sample does not fit" in text


def test_repeats_parts_of_batches_and_later_starts_are_remarked(eventful):
    text = build(eventful)["report.md"]
    assert "- same as trial 3, so not trained again (trial 20)\n" in text
    assert "- started 3 times (trial 4)\n" in text
    assert "- trained for 3 epochs: there was no time for all that were asked for (trial 5)\n" in text
    assert "- one of 8 in a program; seconds, energy and memory are its share (trial" in text
    assert "| batch, layout | 512 in parts of 64, channels_last |" in text
    winner = next(line for line in text.splitlines() if line.startswith("| 1 | 18 |"))
    assert "| batches of 512 in parts of 64; started 2 times; repeated as trial 26 |" in winner
    assert "complete trials (3 of them repeated)." in text


def test_a_run_without_any_of_it_has_no_column_of_remarks(usual_texts):
    assert "| remarks |" not in usual_texts["report.md"]
    assert "saved by repeats" not in usual_texts["report.md"]


def test_a_run_whose_times_were_never_recorded_says_so(make_run):
    folder = make_run(trials=2, outcomes="complete", cells={n: {"seconds": math.nan} for n in range(2)})
    text = build(folder)["report.md"]
    assert "No device time was recorded. Not counted because no time was recorded: 2 trials." in text


def test_what_is_not_known_of_a_trial_is_not_remarked():
    row = trials_frame([trial(0)], ()).iloc[0]
    assert list(remarks(row)) == []
    assert batch_text(row) == NOT_MEASURED
