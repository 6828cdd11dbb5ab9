"""Several runs side by side: what each reached, what they differ in, and why they may not be compared."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest

from harness.errors import InputError, StorageError
from harness.report import build_side_by_side, write_side_by_side
from harness.report.side_plots import best_curves, best_over_seconds, best_over_trials
from harness.report.sides import caveats, read_sides
from harness.store import seal


def settle(run, state="complete"):
    """Give a made-up run its status and its seal."""
    (run / "status.json").write_text(json.dumps({"state": state, "pid": 1, "boot_id": "x", "elapsed_s": 5.0}))
    seal(run, {})
    return run


def change(run, name, edit):
    value = json.loads((run / name).read_text("utf-8"))
    edit(value)
    (run / name).write_text(json.dumps(value), "utf-8")


@pytest.fixture(scope="module")
def pair(tmp_path_factory, write_run, wish):
    parent = tmp_path_factory.mktemp("pair")
    one, two = (write_run(parent / name, wish(trials=12, seed=seed)) for seed, name in enumerate(("one", "two")))
    text = (two / "space.yaml").read_text().replace("width: {int: [32, 512]", "width: {int: [32, 256]")
    (two / "space.yaml").write_text(text)
    change(two, "hardware.json", lambda machine: machine["cpu"].update(model="Another CPU"))
    return settle(one), settle(two)


def reached(run):
    """Return what a run reached, from its own files."""
    stats = json.loads((run / "stats.json").read_text())
    trials = pd.read_parquet(run / "trials.parquet")
    return {
        "validation": trials["value"].max(),
        "test": stats["test"]["metrics"]["f1_macro"],
        "complete": int((trials["outcome"] == "complete").sum()),
        "device_s": trials["seconds"].sum() + trials["lost_s"].sum(),
    }


def test_what_each_run_reached_stands_in_a_table_and_in_data(pair):
    pages = build_side_by_side(pair, ("md", "html", "csv", "json", "tex"))
    told = json.loads(pages["runs.json"])
    rows = pd.read_csv(io.StringIO(pages["runs.csv"])).set_index("run")
    for run, row in zip(pair, told["runs"], strict=True):
        expected = reached(run)
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert {name: rows.loc[run.name, name] for name in expected} == pytest.approx(expected)
        line = next(line for line in pages["runs.md"].splitlines() if line.startswith(f"| {run.name} |"))
        assert f"{expected['validation']:.4f}" in line
        assert f"{expected['test']:.4f}" in line
        assert f"{expected['complete']} of 12" in line
    best = max(pair, key=lambda run: reached(run)["validation"])
    scores = f"{reached(best)['validation']:.4f} ({reached(best)['test']:.4f} on its test samples)"
    assert f"{best.name} has the best validation f1_macro, {scores}." in pages["runs.md"]
    assert "\\toprule" in pages["runs.tex"]


def test_what_differs_is_told_and_nothing_else(pair):
    told = json.loads(build_side_by_side(pair, ["json"])["runs.json"])["differences"]
    key = "space.architecture.mlp.width.int"
    assert told["space"] == {key: {"one": "32, 512", "two": "32, 256"}}
    assert list(told["machine"]) == ["CPU"]
    assert told["machine"]["CPU"]["two"] == "Another CPU"
    assert told["data"] == {}
    text = build_side_by_side(pair)["runs.md"]
    assert f"| {key} | 32, 512 | 32, 256 |" in text.replace("\\_", "_").replace("\\", "")


def test_the_page_draws_the_best_so_far_over_trials_and_seconds(pair):
    page = build_side_by_side(pair, ["html"])["runs.html"]
    figures = [json.loads(text) for text in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page)]
    assert [figure["layout"]["xaxis"]["title"]["text"] for figure in figures] == ["trials", "device-seconds"]
    for figure in figures:
        assert [trace["name"] for trace in figure["data"]] == ["one", "two"]
        for run, trace in zip(pair, figure["data"], strict=True):
            assert trace["y"][-1] == pytest.approx(reached(run)["validation"], rel=1e-5)
            known = [value for value in trace["y"] if value is not None]
            assert known == sorted(known)
    assert figures[1]["data"][0]["x"][-1] == pytest.approx(reached(pair[0])["device_s"], rel=1e-5)


def test_the_best_so_far_by_hand():
    trials = pd.DataFrame(
        {
            "outcome": ["complete", "pruned", "complete", "complete", "complete"],
            "value": [0.5, np.nan, 0.4, 0.9, 0.9],
            "seconds": [10.0, 2.0, 1.0, 5.0, 0.0],
            "lost_s": [0.0, 0.5, 0.0, 0.0, 0.0],
            "started_unix_s": [100.0, 101.0, 102.0, 111.0, 116.0],
            "same_as": pd.array([None, None, None, None, 3], dtype="Int64"),
        }
    )
    spent, best = best_over_trials(trials, maximize=True)
    assert spent.tolist() == [1, 2, 3, 4, 5]
    assert best.tolist() == [0.5, 0.5, 0.5, 0.9, 0.9]
    spent, best = best_over_seconds(trials, maximize=False)
    assert spent.tolist() == [2.5, 3.5, 13.5, 18.5, 18.5], "in the order in which they ended"
    assert best.tolist()[1:] == [0.4, 0.4, 0.4, 0.4]
    assert np.isnan(best[0])


def test_a_line_of_steps_is_drawn_by_its_corners():
    nan = float("nan")
    best = np.array([nan, nan, 0.5, 0.5, 0.9, 0.9, 0.9])
    curves = {"a": (np.arange(1.0, 8.0), best), "b": (np.arange(1.0, 3.0), np.array([nan, 0.7]))}
    first, second = best_curves(curves, {"a": 0, "b": 1}, "trials", "accuracy").as_plotly().data
    assert (first.x, first.y) == ((3, 5, 7), (0.5, 0.9, 0.9))
    assert (second.x, second.mode) == ((2,), "lines+markers"), "one corner is no line"


def codes(runs):
    return [code for code, _ in caveats(read_sides(runs))]


def test_why_runs_may_not_be_compared(pair, make_run):
    assert codes(pair) == []
    regression = settle(make_run(trials=3, kind="regression", objective={"rmse": "minimize"}))
    assert codes([pair[0], regression]) == ["different-tasks", "different-objectives"]
    other = make_run(trials=3)
    change(other, "stats.json", lambda stats: stats["task"].update(fingerprint="00" * 32))
    assert codes([pair[0], settle(other, "interrupted")]) == ["incomplete", "different-data"]
    split = make_run(trials=3)
    text = (split / "space.yaml").read_text().replace("task: fashion-mnist", "task: {builtin: x, split: {seed: 3}}")
    (split / "space.yaml").write_text(text)
    assert codes([pair[0], settle(split)]) == ["different-split"]
    page = build_side_by_side([pair[0], regression])
    assert "Warning, different-tasks:" in page["runs.md"]
    assert page["runs.html"].count('class="plot"') == 4, "each objective by itself"


def test_a_run_without_tables_is_shown_by_its_name(pair, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "status.json").write_text('{"state": "running", "pid": 1, "boot_id": "x"}')
    told = json.loads(build_side_by_side([*pair, killed], ["json"])["runs.json"])
    assert told["runs"][2] == {"run": "killed", "state": "killed"}
    assert told["caveats"][0]["code"] == "incomplete"
    assert told["differences"]["data"] == {}
    only = build_side_by_side([killed, *pair])["runs.md"]
    assert "| killed | killed |" in only


def test_a_run_in_which_no_trial_completed_has_its_place(pair, make_run):
    failed = settle(make_run(trials=4, outcomes="crashed"))
    text = build_side_by_side([failed, pair[0]])["runs.md"]
    assert "| 0 of 4 |" in text


def test_bad_input_is_told(pair, tmp_path, bench_runs):
    one, two = pair
    with pytest.raises(InputError, match="name two runs at least"):
        read_sides([one])
    with pytest.raises(InputError, match="named twice"):
        read_sides([one, two, two.parent / "one" / ".." / "two"])
    with pytest.raises(InputError, match="not a run folder"):
        read_sides([one, tmp_path])
    bench = bench_runs.write_run(tmp_path / "bench", bench_runs.usual_rows(0), bench_runs.GPU)
    with pytest.raises(InputError, match="a run of harness bench"):
        read_sides([one, bench])


def test_a_damaged_run_ends_it_and_nothing_is_written(pair, make_run, tmp_path):
    torn = settle(make_run(trials=3))
    (torn / "trials.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=r"trials\.parquet"):
        write_side_by_side([pair[0], torn], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_are_text_in_every_format(pair, make_run):
    evil = settle(make_run(trials=3))
    (evil / "status.json").unlink()
    renamed = settle(evil.rename(evil.parent / "=cmd<script>alert(1)<"))
    pages = build_side_by_side([pair[0], renamed], ("md", "html", "csv", "tex"))
    assert "<script>alert" not in pages["runs.html"]
    assert "<script>alert" not in pages["runs.md"]
    assert "\n'=cmd" in pages["runs.csv"]
    assert "=cmd\\textless{}script\\textgreater{}" in pages["runs.tex"]
