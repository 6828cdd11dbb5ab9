import csv
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main
from harness.report import write_report
from harness.store import TIMED_COLUMNS, sha256_file


def rows(run, *, timed=False):
    """Return trials.csv as text cells, without the columns that measure time or the machine."""
    with (Path(run) / "trials.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if timed or k not in TIMED_COLUMNS} for row in csv.DictReader(file)]


@pytest.fixture
def search(harness, tmp_path, monkeypatch):
    """Run a search in JSON and return its object; its report has no charts, which would take as long again."""

    monkeypatch.setattr("harness.api.write_report", lambda run: write_report(run, ["md"]))

    def run(*arguments):
        done = harness("search", *arguments, "--out", tmp_path / "runs", "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return run


@pytest.fixture(scope="module")
def found(tiny_text, tmp_path_factory):
    """What the command says in JSON of a search whose run several tests look at, and none may change."""
    folder = tmp_path_factory.mktemp("found")
    (folder / "tiny.yaml").write_text(tiny_text)
    words = ["harness", "search", str(folder / "tiny.yaml"), "--workers", "0", "--out", str(folder / "runs"), "--json"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return json.loads(out.getvalue())


@pytest.fixture
def copy(found, tmp_path):
    """A copy of its run."""
    return shutil.copytree(found["run"], tmp_path / "copy")


def test_a_search_leaves_a_whole_run(found):
    result, run = found, Path(found["run"])
    assert result["trials"] == {"complete": 4}
    assert set(result["best"]) == {"trial", "params", "validation", "standard_error", "tied"}
    assert 0.5 < result["test"]["accuracy"] <= 1.0
    assert 0.5 < result["test"]["f1_macro"] <= 1.0
    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["files"]) >= {
        "best/candidate.json",
        "best/model.safetensors",
        "best/preprocessing.json",
        "environment.json",
        "epochs.parquet",
        "hardware.json",
        "predictions.parquet",
        "report.html",
        "report.md",
        "space.yaml",
        "splits.parquet",
        "stats.json",
        "status.json",
        "study.db",
        "telemetry.parquet",
        "trials.csv",
        "trials.parquet",
    }
    for name, digest in manifest["files"].items():
        assert sha256_file(run / name) == digest, name
    assert not [path for path in run.rglob("*") if path.name.endswith(("-wal", "-shm", ".tmp"))]


def test_the_winner_is_the_cheapest_of_the_best_on_validation_and_its_predictions_give_its_test_score(found):
    from sklearn.metrics import accuracy_score, f1_score

    result, run = found, Path(found["run"])
    trials = pd.read_parquet(run / "trials.parquet")
    accuracy = trials["validation_accuracy"]
    samples = json.loads((run / "stats.json").read_text())["task"]["validation"]
    share = (accuracy * samples + 2) / (samples + 4)
    error = (share * (1 - share) / (samples + 4)) ** 0.5
    assert trials["value_se"].to_list() == pytest.approx(error.to_list())
    tied = trials[accuracy >= (accuracy - error).max()]
    assert result["best"]["tied"] == tied["trial"].to_list()
    winner = tied.sort_values(["parameters", "trial"]).iloc[0]
    assert result["best"]["trial"] == winner["trial"]
    assert result["best"]["standard_error"] == winner["value_se"]
    predictions = pd.read_parquet(run / "predictions.parquet")
    splits = pd.read_parquet(run / "splits.parquet")
    assert set(predictions["index"]) == set(splits.loc[splits["part"] == "test", "index"])
    assert result["test"]["accuracy"] == pytest.approx(accuracy_score(predictions["target"], predictions["predicted"]))
    macro = f1_score(predictions["target"], predictions["predicted"], average="macro")
    assert result["test"]["f1_macro"] == pytest.approx(macro)
    assert json.loads((run / "stats.json").read_text())["test"]["opened"] == 1


def test_the_saved_winner_predicts_what_it_predicted(search, tiny):
    import torch
    from pydantic import TypeAdapter
    from safetensors.torch import load_file

    from harness.data import load
    from harness.models import build
    from harness.records import Named, TaskShape
    from harness.spec.task import BuiltinTask

    run = Path(search(tiny, "--set", "training.final=refit")["run"])
    saved = json.loads((run / "best" / "candidate.json").read_text())
    shape = TypeAdapter(TaskShape).validate_python(saved["shape"])
    model = build(Named(*next(iter(saved["candidate"]["architecture"].items()))), shape)
    model.load_state_dict(load_file(run / "best" / "model.safetensors"))
    test = load(BuiltinTask(builtin="digits"), seed=0).for_refit().open_test()
    with torch.inference_mode():
        codes = model.eval()(*test.tensors(torch.device("cpu"))).argmax(dim=1)
    assert codes.tolist() == pd.read_parquet(run / "predictions.parquet")["predicted"].tolist()


@pytest.mark.slow
def test_one_seed_gives_one_result_and_another_seed_another(search, tiny):
    first, second = (search(tiny, "--seed", 5) for _ in range(2))
    assert rows(first["run"]) == rows(second["run"])
    assert first["test"] == second["test"]
    assert rows(first["run"], timed=True) != rows(second["run"], timed=True), "times are measured"
    assert rows(search(tiny, "--seed", 6)["run"]) != rows(first["run"])


@pytest.mark.slow
def test_a_search_in_two_parts_is_the_search_in_one_go(search, tiny):
    whole = search(tiny, "--trials", 6)
    part = search(tiny, "--trials", 2)
    resumed = search("--resume", part["run"], "--trials", 6)
    assert resumed["run"] == part["run"]
    assert rows(resumed["run"]) == rows(whole["run"])
    assert resumed["test"] == whole["test"]
    stats = json.loads((Path(resumed["run"]) / "stats.json").read_text())
    looks = 1 if part["best"]["trial"] == resumed["best"]["trial"] else 2
    assert stats["test"]["opened"] == looks, "the first part looked at the test samples as well, and the report says so"


def test_resuming_a_finished_run_changes_nothing_and_looks_at_no_test_sample(search, found, copy):
    before = {name: (copy / name).read_bytes() for name in ("trials.csv", "epochs.parquet", "predictions.parquet")}
    assert search("--resume", copy) == {**found, "run": str(copy), "report": str(copy / "report.html")}
    assert {name: (copy / name).read_bytes() for name in before} == before
    assert json.loads((copy / "status.json").read_text())["test_opened"] == 1


def test_the_same_records_give_the_same_report(copy, harness):
    names = ("report.md", "report.html", "manifest.json")
    before = {name: (copy / name).read_bytes() for name in names}
    for name in ("report.md", "report.html"):
        (copy / name).unlink()
    assert harness("report", copy).code == 0
    assert {name: (copy / name).read_bytes() for name in names} == before


def test_several_objectives_give_a_front(search, tiny):
    result = search(tiny, "--set", "objective=[accuracy, parameters]", "--sampler", "nsga2", "--trials", 5)
    stats = json.loads((Path(result["run"]) / "stats.json").read_text())
    trials = pd.read_parquet(Path(result["run"]) / "trials.parquet").set_index("trial")
    for number in stats["best"]["pareto"]:
        better = (trials["validation_accuracy"] > trials.loc[number, "validation_accuracy"]) & (
            trials["parameters"] < trials.loc[number, "parameters"]
        )
        assert not better.any()


def test_a_limit_on_parameters_is_checked_before_training(search, tiny):
    result = search(tiny, "--set", "limits.parameters=1000", "--trials", 8, "--sampler", "random")
    trials = pd.read_parquet(Path(result["run"]) / "trials.parquet")
    assert set(trials["outcome"]) == {"complete", "infeasible"}
    infeasible = trials[trials["outcome"] == "infeasible"]
    assert (infeasible["parameters"] > 1000).all()
    assert (infeasible["epochs"] == 0).all()
    assert infeasible["reason"].str.contains("> limit 1,000").all()
    assert (trials.loc[trials["outcome"] == "complete", "parameters"] <= 1000).all()


@pytest.mark.slow
def test_a_grid_ends_when_every_candidate_was_tried(search, tiny):
    space = "space={architecture: {mlp: {depth: [0, 1]}}, batch_size: [64, 128]}"
    result = search(tiny, "--set", space, "--sampler", "grid", "--trials", 99)
    assert result["trials"] == {"complete": 4}


def test_diverging_trials_do_not_end_the_search(search, tiny):
    space = "space={architecture: {mlp: {}}, optimizer: {sgd: {lr: [0.1, 100]}}}"
    result = search(tiny, "--set", space, "--sampler", "random", "--trials", 6)
    assert result["trials"]["diverged"] >= 1
    assert result["trials"]["complete"] >= 1
    trials = pd.read_parquet(Path(result["run"]) / "trials.parquet")
    assert trials.loc[trials["outcome"] == "diverged", "value"].isna().all()
    assert trials["reason"].str.len().min() > 0


def test_no_complete_trial_is_exit_code_three_with_the_first_reason(harness, tiny, tmp_path):
    space = "space={architecture: {mlp: {}}, optimizer: {sgd: {lr: 100}}}"
    done = harness("search", tiny, "--set", space, "--trials", 2, "--out", tmp_path / "runs")
    assert done.code == 3
    assert "no trial completed; trial 0 diverged" in done.err
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "report.html").exists(), "what happened can be looked at"


@pytest.mark.slow
def test_the_time_is_a_budget_for_everything(harness, tiny, tmp_path):
    importlib.import_module("harness.study.part")  # or most of the time would go to that
    started = time.monotonic()
    done = harness("search", tiny, "--timeout", "10s", "--trials", 100000, "--out", tmp_path / "runs", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert sum(result["trials"].values()) < 100000
    assert result["test"]["accuracy"] > 0.5
    assert time.monotonic() - started < 120  # on a busy machine; the trials asked for take hours


@pytest.mark.slow
def test_keeping_the_winner_scores_the_weights_of_the_search(search, tiny):
    result = search(tiny, "--set", "training.final=keep")
    stats = json.loads((Path(result["run"]) / "stats.json").read_text())
    assert stats["test"]["final"] == "keep"
    assert result["test"]["accuracy"] > 0.5


@pytest.mark.slow
def test_a_csv_of_ones_own(search, tmp_path):
    frame = pd.DataFrame({"size": range(120), "town": ["a", "b", None] * 40})
    frame["price"] = frame["size"] * 3.0 + frame["town"].map({"a": 50.0}).fillna(0.0)
    frame.to_csv(tmp_path / "houses.csv", index=False)
    task = f"task={{csv: {tmp_path / 'houses.csv'}, target: price}}"
    result = search("tabular", "--set", task, "--trials", 2, "--set", "budget.epochs=40")
    assert result["test"]["r2"] > 0.5
    assert "houses" in result["run"]


@pytest.mark.slow
def test_a_module_of_ones_own_needs_trust(harness, tiny, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    (tmp_path / "my_models.py").write_text(
        f"open({str(trace)!r}, 'w').close()\nfrom torch import nn\n"
        "def build(shape, width):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, shape.outputs))\n"
    )
    monkeypatch.chdir(tmp_path)
    space = "space={architecture: {mine: {family: 'my_models:build', width: [16, 32]}}}"
    arguments = ("search", tiny, "--set", space, "--trials", 2, "--out", tmp_path / "runs")
    refused = harness(*arguments)
    assert refused.code == 2
    assert "--trust" in refused.err
    assert not trace.exists()
    assert not (tmp_path / "runs").exists()
    assert harness(*arguments, "--trust").code == 0
    assert trace.exists()


def test_a_dry_run_shows_space_and_cost_and_writes_nothing(harness, tiny, tmp_path):
    done = harness("search", tiny, "--dry-run", "--out", tmp_path / "runs")
    assert done.code == 0
    assert "architecture.mlp.depth" in done.out
    assert "4 trials of up to 2 epochs" in done.out
    assert not (tmp_path / "runs").exists()
    cost = json.loads(harness("search", tiny, "--dry-run", "--json").out)
    assert cost["architectures"][0]["architecture"] == "mlp"
    assert 0 < cost["least_s"] <= cost["total_s"] <= cost["most_s"] < 600
    assert "An estimate, no bound" in done.out
    assert "at most" not in done.out
    assert "Those of mlp that have one structure are trained together" in done.out
    alone = json.loads(harness("search", tiny, "--dry-run", "--json", "--workers", 1).out)
    assert alone["at_once"] == 1
    refused = harness("search", tiny, "--dry-run", "--workers", 9999)
    assert refused.code == 2
    assert "--workers 9999: this machine has" in refused.err


@pytest.mark.slow
def test_the_table_for_people_names_scores_and_report(harness, tiny, tmp_path):
    done = harness("search", tiny, "--out", tmp_path / "runs")
    assert done.code == 0
    assert "Best candidates" in done.out
    assert "Test score of the winner, trial " in done.out
    assert "report.html" in done.out
    assert done.err.count("trial ") >= 4, "progress is on stderr"
    assert "\x1b[" not in done.out + done.err


@pytest.mark.slow
def test_baselines_stand_beside_the_winner_and_doubts_are_told(harness, tiny, tmp_path):
    arguments = (tiny, "--set", "task=wine", "--set", "space.optimizer={sgd: {lr: 1e-5}}", "--trials", 2)
    done = harness("search", *arguments, "--set", "search.baselines=true", "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    (run,) = (tmp_path / "runs").iterdir()
    stats = json.loads((run / "stats.json").read_text())
    assert [row["name"] for row in stats["baselines"]] == ["class prior", "logistic regression", "gradient boosting"]
    assert all(row["test"]["accuracy"] > 0.3 and row["note"] == "" for row in stats["baselines"])
    assert stats["test"]["opened"] == json.loads((run / "status.json").read_text())["test_opened"] == 1
    assert "Best baseline beside it (" in done.out
    told = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert any(line.startswith("warning: worse-than-baseline: Test accuracy ") for line in told)
    again = harness("search", "--resume", run, "--json")
    assert [warning["code"] for warning in json.loads(again.out)["warnings"]] == [line.split(": ")[1] for line in told]
    assert json.loads((run / "stats.json").read_text())["baselines"] == stats["baselines"], "not fitted again"
    off = harness("search", "--resume", run, "--set", "search.baselines=false", "--json")
    assert off.code == 0, off.err
    assert json.loads((run / "stats.json").read_text())["baselines"] == []


COMMAND = [sys.executable, "-m", "harness", "search"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_signal_ends_cleanly_and_the_run_goes_on_as_if_undisturbed(search, tiny, tmp_path):
    """With the trials in the process that is told to end; tests/cli/test_cli_processes.py has those with workers."""
    arguments = [tiny, "--trials", "5", "--set", "budget.epochs=30", "--workers", "0"]
    command = [*COMMAND, *arguments, "--out", tmp_path / "killed"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stderr.readline()  # the run folder
    line = process.stderr.readline()
    assert line.startswith("trial   0"), line + process.stderr.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT, err
    assert "go on with: harness search --resume" in out
    assert "Traceback" not in err
    (run,) = (tmp_path / "killed").iterdir()
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    resumed, whole = search("--resume", run), search(*arguments)
    assert rows(resumed["run"]) == rows(whole["run"])
    assert resumed["test"] == whole["test"]


@pytest.mark.slow
def test_nothing_runs_on_more_threads_than_asked(tiny, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*COMMAND, tiny, "--trials", "1", "--out", tmp_path, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    trials = pd.read_parquet(Path(json.loads(done.stdout)["run"]) / "trials.parquet")
    assert trials["threads"].tolist() == [1]


@pytest.mark.slow
def test_candidates_of_the_space_come_first_and_their_order_is_kept(search, tiny):
    given = "search.first=[{batch_size: 128}, {architecture: {mlp: {depth: 1, width: 32, dropout: 0}}, batch_size: 64}]"
    whole = search(tiny, "--set", given)
    trials = pd.read_parquet(Path(whole["run"]) / "trials.parquet")
    assert trials["param.batch_size"].to_list()[:2] == [128, 64]
    assert trials.loc[1, ["param.architecture.mlp.depth", "param.architecture.mlp.width"]].to_list() == [1, 32]
    shallow = trials["param.architecture.mlp.depth"] == 0
    assert trials["param.architecture.mlp.width"].isna().to_list() == shallow.to_list()
    part = search(tiny, "--set", given, "--trials", 1)
    assert rows(search("--resume", part["run"], "--trials", 4)["run"]) == rows(whole["run"])


@pytest.mark.slow
def test_the_winner_is_named_though_others_score_better(harness, tiny, tmp_path):
    alike = ["depth=1", "width={int: [60, 64]}", "dropout=0.0"]
    overrides = [f"space.architecture.mlp.{item}" for item in alike] + ["space.optimizer.sgd.lr=0.1"]
    given = [word for item in overrides for word in ("--set", item)]
    done = harness("search", tiny, *given, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    stats = json.loads(next((tmp_path / "runs").glob("*/stats.json")).read_text())
    assert len(stats["best"]["tied"]) > 1, "a few units more or less make no difference"
    said = f"Winner: trial {stats['best']['trial']}, the cheapest of {len(stats['best']['tied'])} trials within one"
    assert said in done.out
    (row,) = [line.split() for line in done.out.splitlines() if line.split()[1:2] == ["winner"]]
    assert row[2] == str(stats["best"]["trial"])


@pytest.mark.slow
def test_a_first_candidate_that_the_command_line_took_out_is_told(harness, tiny, tmp_path):
    text = tiny.read_text().replace("pruner: none", "pruner: none, first: [{architecture: {mlp: {depth: 0}}}]")
    tiny.write_text(text)
    done = harness("search", tiny, "--set", "space.architecture.mlp.depth=1", "--trials", 1, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "note: search.first.0.architecture.mlp.depth: the space has only 1 here, not 0" in done.err


def test_a_dry_run_tells_what_is_noticed_of_the_data(harness, tmp_path):
    rows = range(60)
    table = "\n".join(f"{100 + row},{row * 7 % 11},{row * 5 % 13 * 0.5}" for row in rows)
    (tmp_path / "d.csv").write_text(f"number,x,y\n{table}\n")
    space = tmp_path / "space.yaml"
    space.write_text("task: {csv: d.csv, target: y}\nspace: {architecture: {mlp: {width: [8, 16]}}}\n")
    done = harness("search", space, "--dry-run")
    assert done.code == 0
    assert "note: d: column 'number' rises from each row to the next in all 51 samples" in done.out
    told = json.loads(harness("search", space, "--dry-run", "--json").out)
    assert any("'number' rises" in note for note in told["notes"])
