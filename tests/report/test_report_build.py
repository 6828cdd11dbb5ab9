from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from harness.report import analyse, build, load_run

SCRIPT = """
import hashlib, sys
from pathlib import Path
from harness.report import analyse, build, load_run
texts = build(Path(sys.argv[1]))
print(*(hashlib.sha256(texts[name].encode()).hexdigest() for name in sorted(texts)))
assert "<table>" in analyse(load_run(Path(sys.argv[1])))._repr_html_()
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("torch", "optuna")))
"""


@pytest.mark.slow
def test_the_same_files_give_the_same_bytes_in_any_process_without_torch_or_optuna(usual_run, usual_texts):
    expected = " ".join(hashlib.sha256(usual_texts[name].encode()).hexdigest() for name in sorted(usual_texts))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(usual_run)],
        env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    digests, foreign = done.stdout.split("\n")[:2]
    assert digests == expected
    assert foreign == ""


def test_building_writes_nothing_into_the_run(make_run):
    folder = make_run(trials=2, outcomes="complete")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(build(folder)) == {"report.md", "report.html"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


TWO = {"f1_macro": "maximize", "latency_ms": "minimize"}
EDGES = {
    "all crashed": ({"trials": 6, "outcomes": "crashed"}, ["No winner: none of the 6 trials", "ended as crashed (6)"]),
    "only pruned": ({"trials": 3, "outcomes": "pruned"}, ["No winner", "Test: not evaluated."]),
    "one trial": (
        {"trials": 1, "outcomes": "complete"},
        ["the best of 1 complete trial.", "too few complete trials: 1"],
    ),
    "one parameter": ({"trials": 12, "single_parameter": True}, ["validation f1_macro", "settings"]),
    "regression": ({"kind": "regression", "objective": {"rmse": "minimize"}}, ["minimize rmse", "interval of rmse"]),
    "two objectives": (
        {"objective": TWO},
        ["Pareto front: 3 of 18 complete candidates are non-dominated", "| front |"],
    ),
    "unicode": ({"trials": 9, "classes": ["猫", "ñ"]}, ["猫", "ñ"]),
    "many classes": ({"trials": 9, "classes": [f"c{n}" for n in range(60)]}, ["60: c0, c1", "and 40 more"]),
}


@pytest.mark.parametrize("name", list(EDGES))
def test_unusual_runs_still_get_a_whole_report(make_run, name):
    wishes, sayings = EDGES[name]
    texts = build(make_run(**wishes))
    assert all(saying in texts["report.md"] for saying in sayings)
    assert texts["report.html"].rstrip().endswith("</html>")
    assert "nan" not in texts["report.md"].lower().replace("became nan", "")


def test_a_run_that_ended_before_its_first_trial_gets_a_report(make_run):
    folder = make_run(trials=1, outcomes="crashed")
    trials = pd.read_parquet(folder / "trials.parquet")
    trials.iloc[:0].to_parquet(folder / "trials.parquet")
    text = build(folder)["report.md"]
    assert "No winner: none of the 0 trials completed." in text


@pytest.mark.slow
def test_five_hundred_trials_stay_one_readable_page(make_run):
    texts = build(make_run(trials=500))
    assert len(texts["report.md"]) < 20_000
    assert "45 trials: 4, 13, 22" in texts["report.md"]


def test_a_test_set_opened_twice_is_said_to_flatter(make_run):
    folder = make_run(trials=2, outcomes="complete")
    file = folder / "stats.json"
    stats = json.loads(file.read_text("utf-8"))
    stats["test"]["opened"] = 2
    file.write_text(json.dumps(stats), "utf-8")
    assert "opened 2 times, so this score is optimistic" in build(folder)["report.md"]


def test_without_predictions_the_recorded_interval_is_shown(make_run):
    folder = make_run(trials=2, outcomes="complete")
    (folder / "predictions.parquet").unlink()
    assert analyse(load_run(folder)).interval is None
    file = folder / "stats.json"
    stats = json.loads(file.read_text("utf-8"))
    stats["test"]["interval"] = {"accuracy": [0.8, 0.9]}
    file.write_text(json.dumps(stats), "utf-8")
    assert "95 % interval of accuracy: 0.8000 to 0.9000 (as recorded)" in build(folder)["report.md"]


def test_a_note_on_the_final_score_is_passed_on(make_run):
    folder = make_run(trials=2, outcomes="complete")
    file = folder / "stats.json"
    stats = json.loads(file.read_text("utf-8"))
    stats["test"]["note"] = "the refit diverged; the winner is kept"
    file.write_text(json.dumps(stats), "utf-8")
    assert "\nthe refit diverged; the winner is kept\n" in build(folder)["report.md"]


def test_missing_provenance_is_said_not_guessed(make_run):
    folder = make_run(trials=2, outcomes="complete")
    (folder / "environment.json").write_text('{"harness": null, "git": null}', "utf-8")
    text = build(folder)["report.md"]
    assert "The command was not recorded." in text
    assert "| git commit | not from a git checkout |" in text


def test_notes_that_differ_in_numbers_only_are_told_once(make_run):
    folder = make_run(trials=4, outcomes="complete")
    trials = pd.read_parquet(folder / "trials.parquet")
    notes = [f"overfitting from epoch {n}; loss {n}.5e-3" for n in range(4)]
    trials.assign(notes=notes).to_parquet(folder / "trials.parquet")
    text = build(folder)["report.md"]
    assert "- overfitting from epoch 0 (trials 0, 1, 2, 3)\n" in text
    assert "epoch 1 " not in text
