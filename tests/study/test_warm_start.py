"""The best of earlier runs come first in a new one, and a run goes on in a space that has grown."""

import json

import pandas as pd
import pytest

import harness
from harness.errors import InputError
from harness.spec import canonical, load_spec, parse_spec
from harness.spec.first import fitted
from harness.study import warm_started

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = {
    "task": "wine",
    "objective": "loss",
    "budget": {"epochs": 2, "trials": 4},
    "search": {"baselines": False, "checks": False, "deterministic": True, "sampler": "random", "pruner": "none"},
    "training": {"precision": "fp32", "final": "keep"},
    "space": {
        "architecture": {"mlp": {"width": {"int": [4, 8]}, "depth": [0, 1]}},
        "optimizer": {"adamw": {"lr": {"float": [0.01, 0.1]}}},
        "batch_size": [16, 32],
    },
}


def search(folder, *overrides, **options):
    return harness.search(SPACE, overrides=overrides, workers=0, out=folder, device="cpu", **options)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    return search(tmp_path_factory.mktemp("earlier"))


def made_up(folder, name, rows, direction="minimize"):
    """Write what is looked at of a run: the outcome, value, candidate and parameters of each trial."""
    run = folder / name
    run.mkdir()
    (run / "status.json").write_text("{}")
    (run / "stats.json").write_text(json.dumps({"objective": [{"metric": "loss", "direction": direction}]}))
    columns = ["outcome", "value", "candidate", "params"]
    frame = pd.DataFrame(rows, columns=columns)
    frame[["candidate", "params"]] = frame[["candidate", "params"]].map(json.dumps)
    frame.insert(0, "trial", range(len(rows)))
    frame.to_parquet(run / "trials.parquet")
    return run


def mlp(width, **training):
    return {"architecture": {"mlp": {"width": width, "depth": 1}}, **training}


def test_of_each_run_the_best_comes_first_then_the_second_best_and_so_on(tmp_path):
    searched = {"architecture.mlp.width": 1, "batch_size": 1}
    low = made_up(
        tmp_path,
        "low",
        [
            ("complete", 0.9, mlp(4), searched),
            ("pruned", float("nan"), mlp(5), searched),
            ("complete", 0.1, mlp(6, batch_size=16), searched),
            ("complete", 0.2, {"architecture": {"cnn": {}}}, {}),
            ("complete", 0.3, mlp(64, batch_size=512), searched),
        ],
    )
    high = made_up(
        tmp_path,
        "high",
        [("complete", 0.5, mlp(6, batch_size=16), searched), ("complete", 0.7, mlp(7), searched)],
        "maximize",
    )
    spec, remarks = warm_started(load_spec({**SPACE, "search": {"first": [{"batch_size": 32}]}}), [low, high])
    assert spec.search.first == (
        mlp(6, batch_size=16),
        mlp(7),
        {"architecture": {"mlp": {"depth": 1}}},
        mlp(4),
        {"batch_size": 32},
    )
    assert remarks[0] == "a first candidate is trial 2 of low"
    assert remarks[2] == (
        "a first candidate is trial 4 of low; not of this space, so left out: architecture.mlp.width, batch_size"
    )
    # It can be read back, and that is the same.
    assert load_spec(canonical(spec)).first == spec.first


def test_there_are_five_at_most(tmp_path):
    rows = [("complete", float(width), mlp(width), {}) for width in (4, 5, 6, 7, 8)]
    runs = [made_up(tmp_path, "a", rows), made_up(tmp_path, "b", [*rows[3:], *rows[:3]], "maximize")]
    spec, _ = warm_started(load_spec(SPACE), runs)
    assert [each["architecture"]["mlp"]["width"] for each in spec.search.first] == [4, 8, 5, 7, 6]


def test_a_candidate_is_fitted_to_the_options_that_a_space_has():
    group = parse_spec(
        "task: digits\nspace: {architecture: {mlp: {depth: 2, norm: [batch, none]}, cnn: {}}, "
        "schedule: {wsd: {decay: [0.1, 0.2]}}, label_smoothing: {float: [0, 0.5]}}",
        origin="x",
    ).group
    candidate = {
        "architecture": {"mlp": {"depth": 2, "norm": "layer"}},
        "schedule": {"cosine": {}},
        "label_smoothing": 0,
        "ema": 0.9,
    }
    taken, kept = fitted(group, candidate)
    assert taken == {"architecture": {"mlp": {}}, "label_smoothing": 0.0}
    assert kept == {"architecture", "architecture.mlp.depth", "label_smoothing"}


def test_what_cannot_be_a_start_is_refused_in_a_line(tmp_path, earlier):
    with pytest.raises(InputError, match="no such run"):
        warm_started(load_spec(SPACE), [tmp_path / "none"])
    with pytest.raises(InputError, match="a grid visits every candidate in an order of its own"):
        warm_started(load_spec(SPACE, ["search.sampler=grid"]), [earlier.run])
    other = load_spec("digits", ["space.architecture={cnn: {}}", "search.first=[]"])
    with pytest.raises(InputError, match=r"no complete trial of .* has an architecture of this space \(cnn\)"):
        warm_started(other, [earlier.run])
    unfinished = made_up(tmp_path, "unfinished", [])
    (unfinished / "trials.parquet").unlink()
    with pytest.raises(InputError, match="has no table of trials; end it first with --resume"):
        warm_started(load_spec(SPACE), [unfinished])
    with pytest.raises(InputError, match="is resumed, and has its first candidates already"):
        harness.search(resume=earlier.run, warm_start=earlier.run)


@pytest.mark.slow
def test_a_warm_start_is_counted_remembered_and_resumed(earlier, tmp_path):
    best = earlier.trials[earlier.trials["outcome"] == "complete"].sort_values("value")
    started = search(tmp_path, "search.seed=1", warm_start=earlier.run, trials=2)
    assert list(started.trials["params"]) == list(best["params"][:2])
    notes = started.stats["search"]["notes"]
    assert f"a first candidate is trial {best['trial'].iloc[0]} of {earlier.run.name}" in notes
    for space in (None, SPACE):  # the file of the space has no warm start, and is that of the run
        overrides = ["search.seed=1"] if space else []
        started = harness.search(space, overrides=overrides, resume=started.run, trials=3, workers=0)
    assert list(started.trials["params"]) == list(best["params"][:3])
    assert started.stats["search"]["notes"] == notes


@pytest.mark.slow
def test_a_run_goes_on_in_a_space_that_has_grown(earlier, tmp_path):
    first = search(tmp_path)
    before = first.trials
    assert list(before["params"]) == list(earlier.trials["params"])
    wider = "space.architecture.mlp.width={int: [4, 12]}"
    grown = harness.search(resume=first.run, overrides=[wider, "space.batch_size=[16, 32, 64]"], trials=7, workers=0)
    for same in ("params", "value", "candidate", "seed"):
        assert list(grown.trials[same])[:4] == list(before[same])
    assert grown.stats["task"] == first.stats["task"]
    assert "from trial 4 on, the space has grown: space.batch_size: 64 is new" in grown.stats["search"]["notes"]
    assert "from 4 to 8 before, from 4 to 12 now" in (grown.run / "report.md").read_text()
    # What is written down is the space as it is now, whose trials these are: the run can be checked and resumed.
    assert load_spec(str(grown.run / "space.yaml")).group.items["batch_size"].choices == (16, 32, 64)
    with pytest.raises(InputError, match=r"space\.batch_size: 64 is missing; lists may gain values"):
        harness.search(resume=grown.run, overrides=["space.batch_size=[16, 32]"])
    with pytest.raises(InputError, match=r"search\.seed differs; of a run only its budget may change"):
        harness.search(resume=grown.run, overrides=["search.seed=5"])


@pytest.mark.slow
def test_a_space_that_was_cut_off_while_it_grew_is_still_the_runs(tmp_path):
    run = search(tmp_path, trials=1).run
    status = json.loads((run / "status.json").read_text())
    text = (run / "space.yaml").read_text()
    grown = harness.search(resume=run, overrides=["space.batch_size=[16, 32, 64]"], trials=1, workers=0)
    grows_to = json.loads((run / "status.json").read_text())["spec_sha256"]
    assert grows_to != status["spec_sha256"]
    # As it is between the two files: with the earlier space still, and with the later one already.
    (run / "status.json").write_text(json.dumps({**status, "grows_to": grows_to}))
    assert harness.search(resume=run, trials=1, workers=0).state == "complete"
    (run / "status.json").write_text(json.dumps({**status, "grows_to": grows_to}))
    (run / "space.yaml").write_text(text)
    assert harness.search(resume=grown.run, trials=2, workers=0).state == "complete"


@pytest.mark.slow
def test_a_search_that_stagnates_says_so(tmp_path):
    result = search(tmp_path, "budget.stagnation=1", "space.architecture.mlp.width=4", trials=30)
    ended_by = result.stats["search"]["ended_by"]
    assert ended_by.startswith("none of ")
    assert ended_by.endswith("(budget.stagnation)")
    assert len(result.trials) < 30
    assert f"The search ended early: {ended_by}" in (result.run / "report.md").read_text()
