"""Inputs of the kinds that people bring, through the command line: each ends as it should, or says what it did."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

CASES = Path(__file__).parent.parent / "cases"


@pytest.fixture
def case(harness, tmp_path, monkeypatch):
    """Search with the data of a case in a folder of its own: ``case("label-NA", task, trials=2, epochs=2)``."""

    def run(name, task, *, space="tabular", trials=2, epochs=2, options=()):
        folder = tmp_path / name
        shutil.copytree(CASES / name, folder)
        monkeypatch.chdir(folder)
        budget = ("--set", f"budget.epochs={epochs}", "--trials", trials)
        sets = (*budget, "--set", "search.baselines=false") if epochs else ()
        sets += ("--set", f"task={task}") if task else ()
        sets += ("--set", "space.architecture={mlp: {depth: 2, width: 64}}") if space == "tabular" else ()
        done = harness("search", space, *sets, "--out", "out", *options)
        runs = list((folder / "out").iterdir()) if (folder / "out").is_dir() else []
        return Case(folder, done, runs[0] if runs else None)

    return run


class Case:
    def __init__(self, folder, done, run):
        self.folder, self.run = folder, run
        self.code, self.out, self.err = done.code, done.out, done.err

    @property
    def stats(self):
        return json.loads((self.run / "stats.json").read_text())

    @property
    def notes(self):
        return [line.removeprefix("note: ") for line in self.err.splitlines() if line.startswith("note: ")]

    def noted(self, *words):
        return any(all(word in note for word in words) for note in self.notes)

    @property
    def predictions(self):
        return pd.read_parquet(self.run / "predictions.parquet")

    @property
    def samples(self):
        """All samples; in a cross-validation each but those of the test is validation once."""
        parts = ("validation", "test") if "folds" in self.stats["evaluation"] else ("train", "validation", "test")
        return sum(self.stats["task"][part] for part in parts)


def refused(done, *words):
    assert done.code == 2, done.err
    assert done.run is None
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


def test_the_class_NA_is_a_class(case):
    done = case("label-NA", "{csv: sales.csv, target: region}")
    assert done.code == 0
    assert done.stats["task"]["classes"] == ["AS", "EU", "NA"]
    assert done.samples == 240
    assert done.noted("'NA' (77 times)", 'missing: ["NA"]')


def test_the_class_None_is_a_class(case):
    done = case("label-None", "{csv: symptoms.csv, target: severity}")
    assert len(done.stats["task"]["classes"]) == 3
    assert "None" in done.stats["task"]["classes"]
    assert done.samples == 240


def test_decimal_commas_are_numbers(case):
    done = case("decimal-comma", "{csv: ofen.csv, target: ertrag}")
    assert done.noted("'druck'", "decimal comma")
    assert done.noted("'zufluss'", "decimal comma")
    preprocessing = json.loads((done.run / "best" / "preprocessing.json").read_text())
    assert [fitted["column"] for fitted in preprocessing["numeric"]] == ["druck", "zufluss"]
    table = pd.read_csv(done.folder / "ofen.csv", decimal=",")
    druck = preprocessing["numeric"][0]
    assert table["druck"].min() < druck["mean"] < table["druck"].max()


def test_thousands_are_numbers(case):
    done = case("thousands", "{csv: households.csv, target: savings}")
    assert done.noted("'income'", "thousands")
    preprocessing = json.loads((done.run / "best" / "preprocessing.json").read_text())
    assert preprocessing["numeric"][0]["mean"] > 10_000


def test_percent_and_currency_are_numbers(case):
    done = case("percent-currency", "{csv: shop.csv, target: revenue}")
    assert done.noted("'discount'", "percent")
    assert done.noted("'price'", "$")
    assert json.loads((done.run / "best" / "preprocessing.json").read_text())["categorical"] == []


def test_semicolons_and_decimal_commas_are_found(case):
    done = case("semicolon", "{csv: export.csv, target: preis}")
    assert done.noted("semicolons")
    assert done.stats["task"]["kind"] == "regression"
    table = pd.read_csv(done.folder / "export.csv", sep=";", decimal=",")
    found = done.predictions
    assert found["target"].tolist() == table["preis"][found["index"]].tolist()


def test_codes_with_leading_zeros_are_categories(case):
    done = case("leading-zeros", "{csv: parcels.csv, target: delay}")
    preprocessing = json.loads((done.run / "best" / "preprocessing.json").read_text())
    assert "02134" in preprocessing["categorical"][0]["categories"]


def test_a_saved_index_is_not_learnt_from(case):
    done = case("saved-index", "{csv: flowers.csv, target: kind}", trials=3, epochs=20)
    assert done.noted("without a name", "not learnt from")
    assert done.stats["test"]["metrics"]["accuracy"] < 0.6
    found = done.predictions
    assert found["row"].tolist() == found["index"].astype(str).tolist()


def test_dates_are_refused_whatever_their_form(case):
    refused(case("us-dates", "{csv: visits.csv, target: waiting}"), "'day'", "dates", "`drop`")


def test_dates_can_be_learnt_from(case):
    done = case("us-dates", "{csv: visits.csv, target: waiting, dates: [day]}")
    assert done.code == 0
    assert done.noted("'day'", "split: {order: day}")


def test_copies_across_the_parts_are_told(case):
    done = case("duplicate-rows", "{csv: claims.csv, target: flag}")
    assert done.noted("of 60 test samples", "duplicates: together")


def test_copies_can_be_kept_together(case):
    task = "{csv: claims.csv, target: flag, split: {duplicates: together}}"
    done = case("duplicate-rows", task, trials=3, epochs=30)
    assert not done.noted("same inputs")
    assert done.stats["test"]["metrics"]["accuracy"] < 0.75


def test_dates_under_a_random_split_are_told(case):
    done = case("time-order", "{csv: meter.csv, target: load, drop: [day]}")
    assert done.noted("'day'", "split: {order: day}")


def test_rows_in_order_of_time_are_split_by_it(case):
    done = case("time-order", "{csv: meter.csv, target: load, drop: [day], split: {order: day}}")
    assert not done.noted("at random")
    assert sorted(done.predictions["index"]) == list(range(340, 400))


def test_predictions_speak_of_stars(case):
    done = case("labels-from-one", "{csv: stars.csv, target: stars}", epochs=10)
    stars = pd.read_csv(done.folder / "stars.csv")["stars"].astype(str)
    found = done.predictions
    assert found["target_name"].tolist() == stars[found["index"]].tolist()
    assert set(found["predicted_name"]) <= set("12345")


def test_answers_typed_in_several_ways_are_told(case):
    done = case("labels-spaces-case", "{csv: survey.csv, target: bought}", epochs=5)
    assert done.noted("differ only in case, blanks", "'Yes'", "'yes '")


def test_targets_far_from_zero_keep_their_values(case):
    done = case("large-offset-target", "{csv: arrivals.csv, target: unix_s, kind: regression}", epochs=30)
    seconds = pd.read_csv(done.folder / "arrivals.csv")["unix_s"]
    found = done.predictions
    assert found["target"].tolist() == seconds[found["index"]].tolist()
    rmse = np.sqrt(((found["predicted"] - found["target"]) ** 2).mean())
    assert rmse == pytest.approx(done.stats["test"]["metrics"]["rmse"], rel=1e-5)
    assert done.stats["test"]["metrics"]["r2"] > 0.9


def test_decimals_of_a_data_base_are_numbers(case):
    done = case("decimal-target", "{parquet: ratings.parquet, target: rating}")
    assert done.stats["task"]["kind"] == "regression"
    assert done.noted("'rating'", "values")


def test_icons_are_seen_through_their_alpha(case):
    done = case(
        "alpha-icons", "{images: icons, size: 16}", space="digits", epochs=6, options=("--set", "objective=accuracy")
    )
    assert done.noted("transparen")
    assert done.stats["test"]["metrics"]["accuracy"] > 0.7
    assert "file" in done.predictions


def test_a_column_that_is_constant_in_training_is_left_out(case):
    done = case("rare-outlier", "{csv: plant.csv, target: yield}", epochs=20)
    assert done.stats["test"]["metrics"]["r2"] > -2
    assert done.noted("'spill'", "left out")


def test_a_target_named_no_is_answered_with_quotes(case):
    refused(case("yaml-norway", "", space="space.yaml", epochs=0), "target", "quotes")


def test_a_warm_up_longer_than_the_training_is_refused(case):
    refused(case("warmup-too-long", "", space="space.yaml", epochs=0), "warmup_epochs", "10", "3")


def test_a_last_batch_of_one_ends_no_trial(case):
    done = case("last-batch-of-one", "", space="space.yaml", epochs=0)
    assert done.code == 0
    trials = pd.read_parquet(done.run / "trials.parquet")
    assert "crashed" not in set(trials["outcome"])
    alone = trials[trials["param.batch_size"] == 1].iloc[0]
    assert alone["outcome"] == "complete" or ("batch" in alone["reason"] and "norm" in alone["reason"])
    assert set(trials["outcome"][trials["param.batch_size"] != 1]) == {"complete"}


def test_a_column_that_is_nearly_an_identifier_is_told(case):
    done = case("only-categories", "{csv: clicks.csv, target: clicked}")
    assert done.code == 0
    assert done.noted("'visitor'", "identifier")


def test_the_best_mark_stands_where_a_value_is_best(case):
    done = case("best-mark", "", space="space.yaml", epochs=0)
    values = [line.split("rmse ")[1] for line in done.err.splitlines() if line.startswith("trial ")]
    best = np.inf
    for text in values:
        value = float(text.split()[0])
        assert ("(best)" in text) == (value < best)
        best = min(best, value)
    assert len(values) == 4


def test_a_plain_file_with_a_packed_name_is_read(case):
    done = case("plain-csv-named-gz", "{csv: data.csv.gz, target: y}", trials=1, epochs=1)
    assert done.code == 0


def test_rows_of_one_person_can_be_kept_in_one_part(case):
    task = "{csv: visits.csv, target: state, split: {group: person}}"
    done = case("same-person-many-rows", task, trials=3, epochs=20)
    persons = pd.read_csv(done.folder / "visits.csv")["person"]
    parts = pd.read_parquet(done.run / "splits.parquet")
    owners = parts.assign(person=persons[parts["index"]].to_numpy()).groupby("person")["part"].nunique()
    assert set(owners) == {1}


COMMAND = [sys.executable, "-m", "harness", "search", "space.yaml", "--workers", "0"]


@pytest.mark.parametrize(("encoding", "name"), [("ascii", "Läufe"), ("latin-1", "日")])
def test_a_terminal_that_takes_few_letters_is_written_to_all_the_same(tmp_path, encoding, name):
    shutil.copytree(CASES / "ascii-terminal", tmp_path / "case")
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"} if encoding == "ascii" else {}
    environment = {**os.environ, **settings, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*COMMAND, "--out", f"out/{name}"], cwd=tmp_path / "case", env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"report.html" in done.stdout.splitlines()[-1]


def test_a_reader_that_has_seen_enough_and_a_full_disk(tmp_path):
    shutil.copytree(CASES / "head-and-full", tmp_path / "case")
    command = " ".join(COMMAND)
    first = f"{command} --out out/a | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    script = f"{first}; {command} --out out/b >/dev/full; echo $?"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path / "case", capture_output=True, text=True, timeout=120)
    gone, full = map(int, done.stdout.split())
    assert gone in (0, 141)
    assert full == 5
    assert "Traceback" not in done.stderr
    for folder in ("a", "b"):
        (run,) = (tmp_path / "case" / "out" / folder).iterdir()
        assert (run / "manifest.json").is_file()
