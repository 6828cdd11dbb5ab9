"""Comparisons from Python: what a folder holds, what is resumed, and that equals are seldom told apart."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

import harness
from harness.cli.compare import _show
from harness.comparison import _of_runs
from harness.errors import DataError, InputError, StorageError
from harness.report.compare_result import ComparisonResult
from harness.store import RunFolder, read_status
from harness.store.run import changed_files
from harness.study import Observer
from harness.study.comparison.asked import Asked
from harness.study.comparison.openings import Openings, read_openings
from harness.study.comparison.story import Watch
from harness.study.comparison.winners import winner_of

WINE = {
    "task": "wine",
    "objective": "accuracy",
    "budget": {"trials": 1, "epochs": 3},
    "search": {"pruner": "none", "baselines": False, "checks": False, "deterministic": True, "sampler": "random"},
    "training": {"precision": "fp32", "batch_size": 64, "final": "keep"},
    "space": {"architecture": {"mlp": {"depth": 1, "width": 8}}, "optimizer": {"adamw": {"lr": 0.03}}},
}
ALIKE = {"first": "mlp", "second": "mlp"}


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real", "without_charts")]
"""Trainings in this process that do not measure speed."""


class Looks(Watch):
    """Remembers the looks, and may do something at one."""

    def __init__(self, at=None, do=None):
        self.looks, self.stages, self._at, self._do = [], [], at, do

    def stage(self, what, _):
        self.stages.append(what)
        return nullcontext(Observer())

    def look(self, pairs, next_look, _):
        self.looks.append((pairs, next_look))
        if pairs == self._at:
            self._do()


def compare(out, space=WINE, **options):
    return harness.compare(space, workers=0, out=out, **options)


def told(folder):
    """Return what two comparisons of one seed have in common."""
    content = json.loads((folder / "comparison.json").read_text())
    kept = ("name", "values", "seeds", "params", "mean", "low", "high", "parameters", "trial")
    families = [{key: family[key] for key in kept} for family in content["families"]]
    return {"families": families, "pairs": content["pairs"], "design": content["design"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A comparison of one architecture under two names, with its looks."""
    looks = Looks()
    result = compare(tmp_path_factory.mktemp("whole"), families=ALIKE, watch=looks)
    return result, looks


def test_a_design_is_written_before_the_first_look_and_kept(whole):
    result, looks = whole
    design = json.loads((result.folder / "design.json").read_text())
    assert design["families"] == ALIKE
    assert result.content["design"]["looks"] == [7, 10, 20]
    pairs = [pairs for pairs, _ in looks.looks]
    assert pairs == [7, 10, 20][: len(pairs)]
    assert looks.looks[-1][1] is None
    assert result.content["design"]["pairs_used"] == pairs[-1]
    assert [stage.split(":")[0] for stage in looks.stages[:2]] == ["search 1 of 2", "search 2 of 2"]


def test_one_architecture_under_two_names_differs_by_chance_alone(whole):
    result, _ = whole
    first, second = result.content["families"]
    assert first["params"] == second["params"] == {}
    assert first["seeds"] == second["seeds"]
    assert first["values"] != second["values"]


def test_the_result_is_frames_and_words(whole):
    result, _ = whole
    assert list(result.families["name"]) == ["first", "second"]
    assert result.families["device_seconds"].gt(0).all()
    assert len(result.pairs) == 1
    assert result.verdict.startswith(result.content["cheapest_not_worse"])
    assert "<table>" in result._repr_html_()
    assert str(result.folder) in repr(result)


def test_the_command_prints_the_verdict_first_and_json_alone(whole, capsys):
    result, _ = whole
    _show(result, json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == result.verdict.splitlines()[0]
    assert lines[-1] == f"Report: {result.report}"
    assert result.report.is_file()
    _show(result, json=True)
    assert json.loads(capsys.readouterr().out) == json.loads((result.folder / "comparison.json").read_text())


def test_a_comparison_that_ends_before_its_first_look_says_how_to_go_on(tmp_path, capsys):
    result = ComparisonResult(tmp_path, "interrupted", {}, signal.SIGINT)
    assert result.families.empty
    assert "No verdict yet" in result._repr_html_()
    _show(result, json=False)
    assert capsys.readouterr().out.splitlines() == [
        "No verdict yet.",
        f"Interrupted; go on with: harness compare --resume {tmp_path}",
    ]
    _show(result, json=True)
    assert json.loads(capsys.readouterr().out) == {}


def test_an_opening_is_noted_here_and_in_the_run_of_the_winner(whole):
    result, looks = whole
    openings = json.loads((result.folder / "openings.json").read_text())["openings"]
    assert openings == result.content["openings"]
    assert [row["family"] for row in openings] == ["first", "second"]
    for row in openings:
        assert not row["reopened"]
        assert len(row["seeds"]) == looks.looks[-1][0]
        assert read_status(result.folder / "searches" / row["family"])["test_opened"] == 1


def test_a_complete_comparison_that_is_resumed_trains_and_opens_nothing(whole):
    result, _ = whole
    before = told(result.folder), (result.folder / "openings.json").read_bytes()
    scores = {path: path.stat().st_mtime_ns for path in (result.folder / "winners" / "test").iterdir()}
    elapsed_s, sealed = read_status(result.folder)["elapsed_s"], []
    again_looks = Looks(7, lambda: sealed.append((result.folder / "manifest.json").exists()))
    again = compare(result.folder.parent, space=None, resume=result.folder, watch=again_looks)
    assert sealed == [False]
    assert (result.folder / "manifest.json").exists()
    assert read_status(result.folder)["elapsed_s"] > elapsed_s
    assert again.folder == result.folder
    assert (told(result.folder), (result.folder / "openings.json").read_bytes()) == before
    assert scores == {path: path.stat().st_mtime_ns for path in (result.folder / "winners" / "test").iterdir()}


def test_a_test_score_that_is_undefined_is_told_and_its_pair_not_replaced(whole, tmp_path):
    folder = shutil.copytree(whole[0].folder, tmp_path / "copy")
    path = folder / "winners" / "test" / "trial-000003.json"
    path.write_text(json.dumps({"trial": 3, "metrics": {"accuracy": None}, "reasons": {"accuracy": "one class only"}}))
    with pytest.raises(DataError, match=r"trial-000003.json: accuracy of trial 3 is not defined.*one class only"):
        compare(tmp_path, space=None, resume=folder)


def test_an_interrupted_comparison_goes_on_to_the_same_verdict(whole, tmp_path):
    result, looks = whole
    interrupting = Looks(7, lambda: os.kill(os.getpid(), signal.SIGINT))
    cut = compare(tmp_path, families=ALIKE, watch=interrupting)
    assert cut.signal == signal.SIGINT or looks.looks == [(7, None)]
    assert cut.content["design"]["pairs_used"] == 7
    assert read_status(cut.folder)["state"] == cut.state
    compare(tmp_path, space=None, resume=cut.folder)
    assert told(cut.folder) == told(result.folder)


@pytest.fixture(scope="module")
def runs(whole):
    result, _ = whole
    return [result.folder / "searches" / name for name in ALIKE]


def test_winners_that_were_scored_before_need_leave_to_be_scored_again(runs, tmp_path):
    with pytest.raises(InputError, match=r"opened for its winner already.*--reopen-test"):
        compare(tmp_path, space=runs, seeds=2)
    assert list(tmp_path.iterdir()) == []
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    result = compare(tmp_path / "out", space=copies, seeds=2, reopen_test=True)
    assert [row["reopened"] for row in result.content["openings"]] == [True, True]
    assert [row["opening"] for row in result.content["openings"]] == [2, 2]
    assert [family["name"] for family in result.content["families"]] == ["first", "second"]
    assert [family["run"] for family in result.content["families"]] == list(map(str, copies))
    assert "too few to find any difference" in " ".join(result.content["notes"])


def changed(run, name, change):
    path = run / name
    path.write_text(change(path.read_text()))
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["files"][name]
    (run / "manifest.json").write_text(json.dumps(manifest))


def _later(text):
    return json.dumps({**json.loads(text), "schema_version": 99})


def _other_data(text):
    contents = json.loads(text)
    contents["task"]["fingerprint"] = "f" * 64
    return json.dumps(contents)


def _no_winner(text):
    return json.dumps({**json.loads(text), "best": None})


def _state(text):
    return json.dumps({**json.loads(text), "state": "interrupted"})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("stats.json", _later, "schema version 99"),
        ("stats.json", _other_data, "the fingerprint of the data differs .*ffff"),
        ("stats.json", _no_winner, "none of its trials completed"),
        ("status.json", _state, "not a complete run; finish it with: harness search --resume"),
    ],
)
def test_runs_that_do_not_go_together_are_refused(name, change, said, runs, tmp_path):
    first, second = (shutil.copytree(run, tmp_path / run.name) for run in runs)
    changed(second, name, change)
    with pytest.raises(InputError, match=said):
        compare(tmp_path / "out", space=[first, second], reopen_test=True)
    assert not (tmp_path / "out").exists()


def _searched_on_other_data(text):
    return json.dumps({**json.loads(text), "fingerprint": "f" * 64})


def test_data_that_changed_since_the_runs_are_refused(runs, tmp_path):
    """Both runs agree with each other, but not with what their task reads now."""
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    for copy in copies:
        changed(copy, "stats.json", _other_data)
        changed(copy, "status.json", _searched_on_other_data)
    with pytest.raises(InputError, match=r"has changed since .*fingerprint ffff"):
        compare(tmp_path / "out", space=copies, reopen_test=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"overrides": ["task.split.seed=9"]}, "task.split.seed differs"),
        ({"overrides": ["task=digits"]}, "task.* differs"),
        ({"overrides": ["budget.epochs=1"]}, "budget.epochs differs"),
        ({"overrides": ["objective={loss: minimize}"]}, "objective.* differs"),
        ({"trials": 3}, "budget.trials differs"),
        ({"sampler": "tpe"}, "search.sampler differs"),
        ({"precision": "bf16"}, "training.precision differs"),
    ],
)
def test_what_decided_the_winners_of_runs_cannot_be_changed(options, said, runs, tmp_path):
    with pytest.raises(InputError, match=said):
        compare(tmp_path / "out", space=runs, reopen_test=True, **options)
    assert not (tmp_path / "out").exists()


def test_runs_of_before_the_split_had_a_seed_are_scored_on_their_own_test_samples(runs, tmp_path):
    """Their spaces do not say it: it was that of the search."""
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    for copy in copies:
        changed(
            copy, "space.yaml", lambda text: text.replace("    seed: 0\n", "").replace("  seed: 0\n", "  seed: 5\n")
        )
        changed(copy, "status.json", lambda text: text.replace("spec_sha256", "of_another_seed"))
    with pytest.raises(InputError, match=r"task\.split\.seed differs"):
        compare(tmp_path / "out", space=copies, reopen_test=True, overrides=["task.split.seed=0"])
    design = _of_runs(copies, Asked(), {"seed": 3, "overrides": ()})
    assert (design.base.spec.task.split.seed, design.base.spec.search.seed) == (5, 3)


@pytest.mark.parametrize("chosen", [[0], [0, 0], []])
def test_fewer_than_two_runs_are_no_comparison(chosen, runs, tmp_path):
    with pytest.raises(InputError, match="at least two runs, each once"):
        compare(tmp_path, space=[runs[number] for number in chosen])


@pytest.mark.parametrize(
    "options",
    [
        {"families": ["mlp"]},
        {"seeds": 9},
        {"margin": 1.0},
        {"trials": 3},
        {"seed": 0},
        {"retries": 0},
        {"deterministic": False},
        {"overrides": ["search.seed=1"]},
        {"trial_timeout_s": 5.0},
        {"metrics": ["f1_macro"]},
        {"reopen_test": True},
    ],
)
def test_what_was_fixed_before_the_first_look_cannot_be_changed(options, whole):
    with pytest.raises(InputError, match="fixed before its first look"):
        compare("unused", space=None, resume=whole[0].folder, **options)


def test_the_time_of_searches_that_are_not_finished_cannot_be_changed(whole, tmp_path):
    folder = shutil.copytree(whole[0].folder, tmp_path / "copy")
    (folder / "searches" / "second" / "manifest.json").unlink()
    with pytest.raises(InputError, match="--time: the time of each search was fixed"):
        compare(tmp_path, space=None, resume=folder, time_s=60.0)


def test_data_that_changed_since_the_searches_are_refused(whole, tmp_path):
    folder = shutil.copytree(whole[0].folder, tmp_path / "copy")
    changed(folder / "searches" / "second", "status.json", _searched_on_other_data)
    with pytest.raises(InputError, match=r"second: the data of task 'wine' has changed since"):
        compare(tmp_path, space=None, resume=folder)


def test_seeds_whose_split_would_lack_a_class_are_refused_before_anything_is_trained(tmp_path):
    """Three of 100 groups have samples of the rare class, and a validation part takes two groups."""
    person = np.repeat(np.arange(100), 2)
    columns = {"person": person, "x": np.random.default_rng(0).normal(size=200), "y": np.where(person < 3, "a", "b")}
    pd.DataFrame(columns).to_csv(tmp_path / "people.csv", index=False)
    split = {"group": "person", "validation": 0.02, "test": 0.1, "seed": 1}
    space = {**WINE, "task": {"csv": str(tmp_path / "people.csv"), "target": "y", "split": split}}
    with pytest.raises(DataError, match=r"cannot be split anew for every seed of the winners.*class 'a'.*validation"):
        compare(tmp_path / "out", space, families=ALIKE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["storage", "on_epoch", "on_trial", "timeout_s"])
def test_arguments_that_only_a_search_has_are_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"{name}: a comparison does not take it"):
        compare(tmp_path, **{name: "x"})


def test_families_are_those_of_a_space(runs, tmp_path):
    with pytest.raises(InputError, match="families: of runs the winners are compared"):
        compare(tmp_path, space=runs, families=["mlp"])


def test_a_search_is_no_comparison_to_go_on_with(runs):
    with pytest.raises(InputError, match="not a comparison"):
        compare("unused", space=None, resume=runs[0])


def test_a_winner_of_before_there_were_all_columns_is_the_same(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "copy")
    now = winner_of("first", run)
    trials = pd.read_parquet(run / "trials.parquet")
    trials.drop(columns=["same_as", "lost_s"]).to_parquet(run / "trials.parquet")
    assert winner_of("first", run) == now


def test_runs_are_remembered_wherever_the_comparison_is_gone_on_with(runs, tmp_path, monkeypatch):
    """Two runs of one architecture in folders of one name are told apart by their paths."""
    for place, run in zip("ab", runs, strict=True):
        shutil.copytree(run, tmp_path / place / "run")
    monkeypatch.chdir(tmp_path)
    plan = _of_runs(["a/run", "b/run"], Asked(), {"overrides": ()})
    assert plan.asked.runs == {f"{place}/run": str(tmp_path / place / "run") for place in "ab"}


def test_the_log_of_openings_never_forgets_one(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / "run")
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "test_opened": 0}))
    winner = winner_of("first", run)
    folder = RunFolder.create(tmp_path, "x", tmp_path / "comparison")
    try:
        first = Openings(folder, [winner])
        first.note([1, 2])
        first.note([1, 2, 3])
        # Killed after the run said so, and before its manifest did.
        (run / "status.json").write_text(json.dumps({**status, "test_opened": 1}, indent=1))
        assert changed_files(run) == ["status.json"]
        again = Openings(folder, [winner])
        again.note([1, 2])
        assert again.rows == first.rows == read_openings(folder.path)
        assert again.rows[0]["seeds"] == [1, 2, 3]
        assert (again.rows[0]["opening"], again.rows[0]["reopened"]) == (1, False)
        assert changed_files(run) == []
        for damaged in ({}, {"openings": [{"family": "first"}]}, {"openings": [{**first.rows[0], "seeds": "1"}]}):
            folder.write_json("openings.json", damaged)
            with pytest.raises(StorageError, match=r"openings\.json: openings.*the file is damaged"):
                Openings(folder, [winner])
    finally:
        folder.close()


def test_nothing_tells_equals_apart(tmp_path, monkeypatch):
    """One architecture under two names, in comparisons with seeds of their own; their pages are not drawn.

    How often chance does is held by tests/statistics/test_design.py; here nothing but chance may.
    """
    monkeypatch.setattr("harness.api.write_report", lambda _: None)
    monkeypatch.setattr("harness.comparison.write_comparison", lambda _: None)
    results = [compare(tmp_path, families=ALIKE, seed=seed, seeds=7) for seed in range(4)]
    assert sum(result.pairs["verdict"].item() == "better" for result in results) <= 1


def test_a_killed_comparison_goes_on_to_the_same_verdict(whole, tmp_path):
    """SIGKILL in a search, and again among the trainings of the winners; what is trained is not trained again."""
    space = tmp_path / "wine.yaml"
    space.write_text(json.dumps(WINE))
    code = (
        "import harness, sys; space, out, resume = (each or None for each in sys.argv[1:]); "
        f"harness.compare(space, workers=0, out=out, resume=resume, families=space and {ALIKE!r})"
    )

    def command(resume=""):
        return [sys.executable, "-c", code, "" if resume else str(space), str(tmp_path / "cut"), str(resume)]

    def killed(arguments, pattern):
        """Kill once there is such a file, and return the folder of the comparison."""
        process = subprocess.Popen(arguments, start_new_session=True)
        while not list((tmp_path / "cut").glob(pattern)):
            time.sleep(0.02)
            assert process.poll() is None
        process.kill()
        process.wait()
        return next((tmp_path / "cut").iterdir())

    folder = killed(command(), "*/searches/second/study.db")
    first = (folder / "searches" / "first" / "trials.parquet").read_bytes()
    assert killed(command(folder), "*/winners/checkpoints/trial-000006.safetensors") == folder
    written = sorted(folder.glob("winners/checkpoints/trial-*.safetensors"))
    # A pair is trained together: the weights of the last ones were written, and perhaps not yet their records.
    trained = {path: path.stat().st_mtime_ns for path in written[:-2]}
    assert len(trained) >= 5
    subprocess.run(command(folder), check=True)
    assert told(folder) == told(whole[0].folder)
    assert trained == {path: path.stat().st_mtime_ns for path in trained}
    assert (folder / "searches" / "first" / "trials.parquet").read_bytes() == first
