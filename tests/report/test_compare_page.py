from __future__ import annotations

import csv
import io
import json
import re
import sys

import pytest

from harness.cli import main
from harness.errors import InputError, StorageError
from harness.report import write_report
from harness.report.compare_page import build_compare, compare_charts, compare_content, write_comparison
from harness.report.compare_plots import critical_difference, price, seed_scores
from harness.report.compare_tasks import build_tasks
from harness.statistics import critical_differences
from harness.store.run import changed_files, seal

ATTACK = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture(scope="module")
def usual(comparisons):
    return comparisons.document()


def table(content, anchor):
    (section,) = [each for each in content.sections if each.anchor == anchor]
    return [dict(zip(section.blocks[0].columns, row, strict=True)) for row in section.blocks[0].rows]


def test_the_cheapest_that_is_not_detectably_worse_is_named_first(usual):
    content = compare_content(usual)
    assert content.verdict[0].startswith(
        "mlp is the cheapest that is not detectably worse than the best: test accuracy 0.9"
    )
    assert content.verdict[1].startswith("The best mean is that of cnn")
    assert content.cards[0].value == "mlp"


def test_every_pair_has_its_words(usual):
    lines = compare_content(usual).verdict[2:]
    assert [line.partition(" (")[0] for line in lines] == [
        "cnn against mlp: no difference detected",
        "cnn against linear: better",
        "mlp against linear: better",
    ]
    rows = table(compare_content(usual), "differences")
    assert [row["pair"] for row in rows] == ["cnn minus mlp", "cnn minus linear", "mlp minus linear"]
    assert not re.search(r"\bequal\b", " ".join(compare_content(usual).verdict))


def test_the_best_mean_may_be_the_cheapest_itself(comparisons):
    content = compare_content(comparisons.document(means={"mlp": 0.953, "cnn": 0.947}))
    assert content.verdict[0].startswith(
        "mlp has the best mean, and is the cheapest that is not detectably worse: test accuracy"
    )
    assert len(content.verdict) == 2


def test_who_beats_all_others_is_said_to(comparisons):
    content = compare_content(comparisons.document(means={"mlp": 0.5, "cnn": 0.9, "linear": 0.4}))
    assert content.verdict[0].startswith("cnn is better than all 2 others: test accuracy 0.9")


def test_of_many_pairs_the_verdict_counts(comparisons):
    means = {name: 0.95 - 0.1 * place for place, name in enumerate("abcd")}
    assert compare_content(comparisons.document(means=means)).verdict[-1] == "6 pairs: 6 better."


def test_equivalence_names_the_margin(comparisons):
    near = comparisons.document(means={"mlp": 0.95, "cnn": 0.95}, margin=2.0, noise=0.002)
    assert "equivalent within 2 points" in compare_content(near).verdict[-1]
    (chart,) = compare_charts(near)["differences"]
    assert {shape.x0 for shape in chart.figure.as_plotly().layout.shapes} == {0, -0.02, 0.02}


def test_an_error_to_minimise_has_its_best_first_and_its_margin_in_its_units(comparisons):
    found = comparisons.document(
        means={"mlp": 3.0, "cnn": 2.0}, metric="rmse", direction="minimize", kind="regression", margin=0.5
    )
    content = compare_content(found)
    assert [row["architecture"] for row in table(content, "families")] == ["cnn", "mlp"]
    assert content.verdict[0].startswith("cnn is better than the other")
    assert compare_charts(found)["differences"][0].figure.as_plotly().layout.shapes[1].x0 == -0.5


def test_a_reopened_test_set_stands_at_the_top_and_in_the_log(comparisons):
    content = compare_content(comparisons.document(reopened=True))
    (alert,) = content.alerts
    assert alert.code == "reopened-test-set"
    assert "cnn, linear, mlp" in alert.text
    assert {row["reopened"] for row in table(content, "openings")} == {"yes"}
    assert compare_content(comparisons.document()).alerts == ()


def test_an_interrupted_comparison_says_so_and_has_no_verdict_before_its_first_look(comparisons):
    content = compare_content(comparisons.document(pairs=5, state="interrupted"))
    assert content.verdict == ("No verdict yet: the comparison has not come to its first look.",)
    assert [alert.code for alert in content.alerts] == ["not-complete"]
    assert {row["verdict"] for row in table(content, "differences")} == {"no verdict yet"}


def test_what_was_not_measured_has_no_column_and_its_reason_in_the_notes(usual):
    content = compare_content(usual)
    assert "energy (J)" not in table(content, "families")[0]
    notes = next(section.blocks[0].items for section in content.sections if section.anchor == "notes")
    assert "Not measured: energy (J): no meter of energy can be read (mlp, cnn, linear)" in notes


def test_the_scores_of_one_seed_are_joined(usual):
    figure = seed_scores(usual["families"], "accuracy")
    lines = [trace for trace in figure.as_plotly().data if trace.mode == "lines"]
    seeds = zip(*(family["values"] for family in usual["families"]), strict=True)
    assert [trace.y for trace in lines] == [pytest.approx(scores) for scores in seeds]


def test_the_front_is_what_no_other_beats_in_both(usual):
    figure = price(usual["families"], "accuracy", "latency_ms", "latency", maximize=True)
    front = next(trace for trace in figure.as_plotly().data if trace.name == "Pareto front")
    assert front.x == (0.05, 0.1)  # of the mlp and the cnn; the linear one is dearer and worse


def test_the_same_records_give_the_same_files_in_a_sealed_folder_too(comparisons, tmp_path):
    folder = comparisons.write(tmp_path)
    (tmp_path / "space.yaml").write_text("task: digits\n")
    (tmp_path / "environment.json").write_text(json.dumps({"argv": ["/bin/harness", "compare", "digits"]}))
    write_comparison(folder)
    first = {name: (folder / name).read_bytes() for name in ("compare.html", "compare.md", "comparison.csv")}
    seal(folder, {})
    (folder / "compare.md").write_text("torn")
    write_comparison(folder)
    assert {name: (folder / name).read_bytes() for name in first} == first
    assert changed_files(folder) == []
    assert "harness compare digits" in first["compare.md"].decode()
    assert "task: digits" in first["compare.md"].decode()


def test_the_csv_has_every_family_with_its_scores(comparisons, usual, tmp_path):
    rows = list(csv.DictReader(io.StringIO(build_compare(comparisons.write(tmp_path))["comparison.csv"])))
    assert [row["name"] for row in rows] == ["mlp", "cnn", "linear"]
    assert rows[0]["energy_j"] == ""
    for row, family in zip(rows, usual["families"], strict=True):
        assert float(row["mean"]) == family["mean"]
        assert [float(row[f"seed_{seed}"]) for seed in family["seeds"]] == family["values"]


def test_no_name_is_a_formula_in_the_csv(comparisons, tmp_path):
    folder = comparisons.write(tmp_path, means={'=HYPERLINK("x")': 0.9, "cnn": 0.95})
    rows = list(csv.DictReader(io.StringIO(build_compare(folder)["comparison.csv"])))
    assert [row["name"] for row in rows] == ['\'=HYPERLINK("x")', "cnn"]


def test_every_format_is_written_where_it_is_wanted(comparisons, tmp_path):
    folder = comparisons.write(tmp_path / "compared")
    (folder / "status.json").write_text(json.dumps({"state": "complete", "pid": 1}))
    seal(folder, {})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    written = write_report(folder, ["md", "html", "csv", "tex", "json"], tmp_path / "out")
    names = ["compare.md", "compare.html", "comparison.csv", "compare.tex", "comparison.json"]
    assert written == [tmp_path / "out" / name for name in names]
    assert "\\end{longtable}" in (tmp_path / "out" / "compare.tex").read_text()
    assert (tmp_path / "out" / "comparison.json").read_bytes() == before["comparison.json"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert write_report(folder, ["json"]) == [folder / "comparison.json"]
    assert changed_files(folder) == []


def test_before_its_first_look_it_is_to_be_resumed(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"state": "interrupted", "pid": 1}))
    (tmp_path / "design.json").write_text("{}")
    with pytest.raises(InputError, match="harness compare --resume"):
        write_report(tmp_path)


def test_hostile_names_stay_text(comparisons, tmp_path):
    folder = comparisons.write(tmp_path, means={ATTACK: 0.9, "cnn": 0.95}, name=ATTACK)
    assert "<script>alert" not in build_compare(folder)["compare.html"]
    assert "<img" not in build_compare(folder)["compare.md"]


def test_a_folder_that_is_no_comparison_is_refused(comparisons, tmp_path):
    with pytest.raises(InputError, match=r"no comparison\.json in it"):
        build_compare(tmp_path)
    folder = comparisons.write(tmp_path)
    content = json.loads((folder / "comparison.json").read_text())
    (folder / "comparison.json").write_text(json.dumps({**content, "schema": 2}))
    with pytest.raises(StorageError, match="schema 2, this harness reads"):
        build_compare(folder)


# Several tasks.


def test_over_several_tasks_ranks_and_scores_are_told(comparisons, tmp_path):
    text = build_tasks(comparisons.on_tasks(tmp_path, 6, margin=1.0))["tasks.md"]
    assert "cnn has the best mean rank, 1." in text
    assert "Friedman's test: ranks differ" in text
    assert "interquartile mean" in text
    assert "both are within 1 point" in text


def test_several_comparisons_are_one_report_of_the_command(comparisons, tmp_path, capsys, monkeypatch):
    folders = comparisons.on_tasks(tmp_path / "runs", 3)
    monkeypatch.setattr(sys, "argv", ["harness", "report", *map(str, folders), "--out", str(tmp_path / "paper")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert capsys.readouterr().out.split() == [str(tmp_path / "paper" / f"tasks.{kind}") for kind in ("md", "html")]
    assert "mean rank" in (tmp_path / "paper" / "tasks.html").read_text()


def test_the_diagram_has_every_rank_and_a_bar_for_every_group():
    found = critical_differences({"a": [5, 6, 7, 8], "b": [4, 7, 6, 7], "c": [1, 1, 2, 1]})
    figure = critical_difference(found)
    names = [trace.text[1] for trace in figure.as_plotly().data if trace.text]
    assert names == [f"{name} {rank:.2f}" for name, rank in found.ranks.items()]
    bars = [trace for trace in figure.as_plotly().data if not trace.text]
    assert len(bars) == len(found.groups) > 0
    assert bars[0].x[0] < found.ranks[found.groups[0][0]] < found.ranks[found.groups[0][-1]] < bars[0].x[1]


def test_comparisons_that_are_no_several_tasks_are_refused(comparisons, tmp_path):
    one = comparisons.on_tasks(tmp_path / "one", 1)
    with pytest.raises(InputError, match="two tasks or more"):
        build_tasks(one)
    with pytest.raises(InputError, match=r"of the same data \(task 0\)"):
        build_tasks(one * 2)
    other = comparisons.write(tmp_path / "other", fingerprint="other", means={"mlp": 0.9, "tree": 0.8})
    with pytest.raises(InputError, match=r"1 architecture in common \(mlp\)"):
        build_tasks([*one, other])
