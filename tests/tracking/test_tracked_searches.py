"""Searches that are told to TensorBoard and MLflow: what these hold is what the run folder holds."""

import math
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

import harness
from harness.errors import HardwareError, InputError
from harness.store import read_json
from harness.store.run import changed_files, listing
from harness.store.runs import list_runs
from harness.tracking import check_track

SPACE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"epochs": 2, "trials": 2},
    "search": {"baselines": False, "checks": False, "sampler": "random", "pruner": "none", "deterministic": True},
    "training": {"final": "refit", "precision": "fp32"},
    "evaluation": {"folds": None},
    "space": {"architecture": {"mlp": {"width": {"int": [8, 64]}, "activation": ["relu", "gelu"]}}},
}


@pytest.fixture(autouse=True, scope="module")
def _without_pages():
    """A report takes longer than these searches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.api.write_report", lambda run: [(run / "report.html").write_text("<p>")])
        yield


def search(out, **options):
    return harness.search(SPACE, out=out, workers=0, device="cpu", **options)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A search that TensorBoard was told of."""
    return search(tmp_path_factory.mktemp("runs"), track="tensorboard")


def scalars(folder):
    """Return what TensorBoard reads in a folder: values by tag and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: {each.step: each.value for each in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def close(value):
    """Event files keep 32 bits of a number."""
    return pytest.approx(value, rel=1e-6)


def test_event_files_hold_every_epoch_and_every_result(watched):
    folder = watched.run.parent / "tensorboard" / watched.run.name
    assert sorted(path.name for path in folder.iterdir()) == ["final", "trial-000000", "trial-000001"]
    trials = watched.trials.set_index("trial")
    for trial, epochs in watched.epochs.groupby("trial"):
        told = scalars(folder / f"trial-{trial:06d}")
        for part in ("train", "validation"):
            for metric in ("loss", "accuracy", "f1_macro"):
                known = dict(zip(epochs["epoch"], epochs[f"{part}_{metric}"], strict=True))
                assert told[f"{part}/{metric}"] == close(known)
        assert told["epoch/train_s"] == close(dict(zip(epochs["epoch"], epochs["train_s"], strict=True)))
        row = trials.loc[trial]
        assert told["objective/accuracy"] == close({2: row["value"]})
        assert told["result/loss"] == close({2: row["validation_loss"]})
        assert told["cost/seconds"] == close({2: row["seconds"]})
        assert "cost/power_w" not in told or not math.isnan(row["power_w"])
    final = scalars(folder / "final")
    assert final["test/accuracy"] == close({0: watched.test["accuracy"]})
    refit = final["refit/train/loss"]
    assert list(refit) == list(range(1, len(refit) + 1))
    assert all(math.isfinite(loss) for loss in refit.values())


def test_event_files_hold_the_hyperparameters_for_their_page(watched):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder = watched.run.parent / "tensorboard" / watched.run.name / "trial-000001"
    events = EventAccumulator(str(folder))
    events.Reload()
    stored = events.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(stored["_hparams_/session_start_info"]).session_start_info
    row = watched.trials.iloc[1]
    assert start.hparams["architecture.mlp.width"].number_value == row["param.architecture.mlp.width"]
    assert start.hparams["architecture.mlp.activation"].string_value == row["param.architecture.mlp.activation"]
    assert "_hparams_/session_end_info" in stored


def test_a_tracked_run_is_sealed_without_it_and_listed_alone(watched):
    assert changed_files(watched.run) == []
    assert not [name for name in listing(watched.run) if "tfevents" in name]
    found, skipped = list_runs(watched.run.parent)
    assert [each.run for each in found] == [watched.run]
    assert skipped == []
    assert read_json(watched.run / "environment.json")["asked"]["track"] == ["tensorboard"]


@pytest.mark.slow
def test_a_tracker_that_cannot_write_changes_nothing_of_the_search(watched, tmp_path, capsys):
    (tmp_path / "file").touch()
    result = search(tmp_path / "runs", track=[f"tensorboard={tmp_path / 'file' / 'events'}"])
    assert result.state == "complete"
    assert result.trials["params"].tolist() == watched.trials["params"].tolist()
    assert result.trials["value"].tolist() == watched.trials["value"].tolist()
    assert result.test == watched.test
    first, last = capsys.readouterr().err.splitlines()
    assert "Not a directory" in first
    assert "not sent: 2 trials begun, 4 epochs, 2 trials ended, " in last


@pytest.mark.slow
def test_one_candidate_is_tracked_and_a_resumed_run_goes_on_in_its_folder(tmp_path, capsys):
    events = tmp_path / "events"
    tracked = {"track": f"tensorboard={events}", "workers": 0, "device": "cpu"}

    def tired(epoch):
        if epoch.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    params = {"architecture.mlp.width": 16, "architecture.mlp.activation": "relu"}
    cut = harness.train_candidate(SPACE, params=params, out=tmp_path / "runs", on_epoch=tired, **tracked)
    assert cut.state == "interrupted"
    result = harness.train_candidate(resume=cut.run, **tracked)
    assert result.state == "complete"
    told = scalars(events / result.run.name / "trial-000000")
    assert told["validation/accuracy"] == close(dict(enumerate(result.epochs["validation_accuracy"], start=1)))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("track", "words"),
    [
        ("mlfow", "did you mean 'mlflow'"),
        ("tensorboard=", "nothing follows the ="),
        (["mlflow", "mlflow=http://host"], "named twice"),
    ],
)
def test_what_is_no_tracker_is_told_before_anything_is_written(track, words, tmp_path):
    with pytest.raises(InputError, match=words):
        check_track(track)
    with pytest.raises(InputError, match=words):
        search(tmp_path, track=track)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_told_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HardwareError, match=rf"--track {name} needs the package {name}.*automl\[{name}\]"):
        search(tmp_path, track=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_searches_of_a_comparison_are_runs_of_their_own(tmp_path):
    space = {**SPACE, "budget": {"epochs": 2, "trials": 1}}
    alike = {"first": "mlp", "second": "mlp"}
    result = harness.compare(space, families=alike, seeds=2, workers=0, out=tmp_path / "runs", track="tensorboard")
    folder = tmp_path / "runs" / "tensorboard" / result.folder.name
    trials = {path.relative_to(folder).parent.as_posix() for path in folder.rglob("trial-*")}
    assert trials == {"searches/first", "searches/second", "winners"}
    assert len(list((folder / "winners").glob("trial-*"))) == 4
    assert changed_files(result.folder) == []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def mlflow_server(folder, port):
    command = [sys.executable, Path(__file__).with_name("mlflow_server.py"), folder, str(port)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout.readline().strip() == str(port), (folder / "log").read_text()
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_server_holds_a_run_with_a_nested_run_for_each_trial_and_a_resumed_search_goes_on_in_it(tmp_path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    before = dict(os.environ)
    with mlflow_server(tmp_path, port):
        first = search(tmp_path / "runs", trials=2, track=f"mlflow={address}")
        result = search(tmp_path / "runs", trials=3, resume=first.run, track=f"mlflow={address}")
        parent, trials, curves, report = held(address, result)
    assert dict(os.environ) == before
    assert result.run == first.run
    assert (parent.info.run_name, parent.info.status) == (result.run.name, "FINISHED")
    assert parent.data.params["space.architecture.mlp.width.int"] == "[8, 64]"
    assert parent.data.params["search.seed"] == parent.data.params["task.split.seed"] == "0"
    assert parent.data.params["data.fingerprint"] == result.stats["task"]["fingerprint"]
    assert parent.data.params["machine.cores"] == str(read_json(result.run / "hardware.json")["cpu"]["usable_cores"])
    assert parent.data.metrics["test/accuracy"] == result.test["accuracy"]
    assert parent.data.tags["best_trial"] == str(result.best["trial"])
    assert report == (result.run / "report.html").read_text()
    assert sorted(trials) == ["final", "trial-000000", "trial-000001", "trial-000002"]
    for _, row in result.trials.iterrows():
        run = trials[f"trial-{row['trial']:06d}"]
        assert run.info.status == "FINISHED"
        assert (run.data.tags["outcome"], run.data.tags["reason"]) == (row["outcome"], row["reason"])
        assert run.data.params["architecture.mlp.width"] == str(row["param.architecture.mlp.width"])
        assert run.data.metrics["objective/accuracy"] == row["value"]
        assert run.data.metrics["cost/seconds"] == row["seconds"]
        assert not any(math.isnan(value) for value in run.data.metrics.values())
        epochs = result.epochs[result.epochs["trial"] == row["trial"]]
        assert curves[row["trial"]] == dict(zip(epochs["epoch"], epochs["validation_accuracy"], strict=True))


def held(address, result):
    """Return what a server holds of a run: it, its nested runs, the curves of the trials and the report."""
    from mlflow import MlflowClient, artifacts

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("wine").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    trials = {run.data.tags["harness.trial"]: run for run in nested}
    assert len(trials) == len(nested), "one run each"
    curves = {
        trial: {
            each.step: each.value
            for each in client.get_metric_history(trials[f"trial-{trial:06d}"].info.run_id, "validation/accuracy")
        }
        for trial in result.trials["trial"]
    }
    uri = f"{parent.info.artifact_uri}/report.html"
    report = Path(artifacts.download_artifacts(uri, tracking_uri=address)).read_text()
    return parent, trials, curves, report


@pytest.mark.slow
def test_a_search_whose_server_is_gone_completes_and_says_what_was_not_sent(watched, tmp_path, capsys):
    secret = token_hex(8)  # not one in this file: a run keeps what git has not committed
    result = search(tmp_path, track=f"mlflow=http://user:{secret}@127.0.0.1:{free_port()}")
    assert result.trials["value"].tolist() == watched.trials["value"].tolist()
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("harness: mlflow (http://user@127.0.0.1:")
    assert "not sent: 1 run, 2 trials begun, 4 epochs, 2 trials ended, " in last
    assert secret not in first + last
    kept = [path for path in result.run.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []
