from __future__ import annotations

import json
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.report import build, ranked
from harness.report.blocks import Code, Content, Points, Section, Table
from harness.report.markdown import escaped, render_markdown

HOSTILE = st.text(alphabet=st.sampled_from("ab1 |<>&*_`#[]()!~\\\n\r\t-+=.$\N{LINE SEPARATOR}é"), max_size=30)


def reader() -> MarkdownIt:
    """Return an independent CommonMark reader with tables and strike-through."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def plain(text: str) -> str:
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text).split())


def content_with(*sections: Section) -> Content:
    return Content(title="t", subtitle="s", verdict=("v", "w"), cards=(), sections=sections)


@settings(max_examples=60)
@given(HOSTILE)
def test_any_text_reads_as_itself_in_a_table_cell(text):
    table = Table(caption="c", columns=("a", "b"), rows=((text, "end"),))
    tokens = reader().parse(render_markdown(content_with(Section(anchor="x", title="X", blocks=(table,)))))
    cells = [t for t in tokens if t.type == "inline"][-2:]
    assert "".join(child.content for child in cells[0].children) == plain(text)
    assert {child.type for child in cells[0].children} <= {"text", "text_special"}
    assert cells[1].content == "end"


@settings(max_examples=60)
@given(HOSTILE)
def test_any_text_reads_as_itself_in_a_list_and_in_a_paragraph(text):
    section = Section(anchor="x", title="X", text=(text,), blocks=(Points((text, "last")),))
    tokens = reader().parse(render_markdown(content_with(section)))
    assert not {token.type for token in tokens} & {
        "html_block",
        "code_block",
        "fence",
        "hr",
        "blockquote_open",
        "table_open",
    }
    read = ["".join(c.content for c in token.children) for token in tokens if token.type == "inline"]
    expected = [plain(text)] if plain(text) else []
    assert read[5:] in ([*expected, *expected, "last"], [*expected, "", "last"])


@settings(max_examples=40)
@given(st.text(alphabet=st.sampled_from("a`~\n -"), max_size=40))
def test_a_code_block_ends_where_its_text_ends(text):
    section = Section(anchor="x", title="X", blocks=(Code("yaml", text), Points(("after",))))
    tokens = reader().parse(render_markdown(content_with(section)))
    fences = [token for token in tokens if token.type == "fence"]
    assert [fence.content for fence in fences] == [text.rstrip() + "\n"]
    assert tokens[-3].type == "paragraph_close"


def test_ordinary_names_and_numbers_stay_readable():
    assert escaped("f1_macro 0.9123 (-5 %)") == "f1_macro 0.9123 (-5 %)"


def test_the_report_reads_top_down_from_the_verdict_to_reproduction(usual_texts):
    text = usual_texts["report.md"]
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert text.startswith(
        "# fashion-mnist\n\nClassification · maximize f1_macro · 30 trials\n\n**Winner: trial 18, cnn "
    )
    assert headings == [
        "Search",
        "Best candidates",
        "The winner",
        "All trials",
        "Hyperparameter importance",
        "Test set",
        "Trial outcomes",
        "Training plans",
        "Predicted and measured",
        "Notes on training",
        "Not measured",
        "Task and split",
        "Machine",
        "Space",
        "How to reproduce",
    ]
    assert "harness search 'fashion mnist.yaml' --trials 30" in text
    assert "/usr/local" not in text
    assert "| crashed | 1 |" in text
    assert "shapes cannot be multiplied \\| see log" in text
    assert "gradients vanish: norm 0.00002 at epoch 2 (trials 4, 13, 22)" in text
    assert "no NVIDIA GPU on this machine" in text
    assert "51,000 train, 9,000 validation, 600 test" in text


def test_every_table_of_a_report_has_as_many_cells_in_every_row(usual_texts):
    tokens = reader().parse(usual_texts["report.md"])
    widths, count = [], 0
    for token in tokens:
        if token.type in ("th_open", "td_open"):
            count += 1
        elif token.type == "tr_close":
            widths[-1].add(count)
            count = 0
        elif token.type == "table_open":
            widths.append(set())
    assert len(widths) >= 12
    assert all(len(width) == 1 for width in widths)


@pytest.mark.parametrize("name", ["a|b", "<b>x</b>", "two\nlines", "`code`", "[a](javascript:alert(1))", "日本|語"])
def test_class_names_cannot_change_the_table_they_stand_in(make_run, name):
    text = build(make_run(trials=4, outcomes="complete", classes=[name, "other"]))["report.md"]
    tokens = reader().parse(text)
    assert not [token for token in tokens if token.type == "html_block"]
    cells = ["".join(c.content for c in token.children) for token in tokens if token.type == "inline"]
    assert plain(name) in cells


def with_winner(folder, place, tied):
    """Make the trial at a place of the ranking the winner, out of the ``tied`` best ones."""
    stats = json.loads((folder / "stats.json").read_text("utf-8"))
    best = ranked(pd.read_parquet(folder / "trials.parquet"), stats["objective"])
    row = best.iloc[place]
    changes = {"trial": int(row["trial"]), "standard_error": 0.00934, "tied": [int(n) for n in best["trial"][:tied]]}
    (folder / "stats.json").write_text(json.dumps(stats | {"best": stats["best"] | changes}), "utf-8")
    return best, build(folder)["report.md"].replace("\\", "")


@pytest.mark.slow
def test_a_winner_that_is_not_the_best_says_why_it_won(make_run):
    best, text = with_winner(make_run(trials=20, outcomes="complete"), 11, 12)
    winner, leader = best.iloc[11], best.iloc[0]
    line = next(line for line in text.splitlines() if "Winner:" in line)
    assert f"trial {winner['trial']}, " in line
    assert f"validation f1_macro {winner['value']:.4f} (standard error 0.0093), the cheapest " in line
    assert f"({winner['parameters']:,.0f} parameters) of 12 trials within one standard error of the best " in line
    assert f"(trial {leader['trial']}, {leader['value']:.4f}, {leader['parameters']:,.0f} parameters)." in line
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| 1 | ", "| 10 | ", "| 12 | "))]
    assert [cells[:3] for cells in rows[:3]] == [
        ["| 1", "tied", str(leader["trial"])],
        ["| 10", "tied", str(best.iloc[9]["trial"])],
        ["| 12", "winner", str(winner["trial"])],
    ]


def test_a_winner_that_is_the_best_and_the_cheapest_says_both(make_run):
    best, text = with_winner(make_run(trials=8, outcomes="complete"), 0, 3)
    expected = (
        f"the best of 8 complete trials and the cheapest ({best.iloc[0]['parameters']:,.0f} parameters) of 3 trials"
    )
    assert f"{expected} within one standard error of it." in text


@pytest.mark.slow
def test_a_winner_that_stands_alone_is_the_best(make_run):
    _, text = with_winner(make_run(trials=8, outcomes="complete"), 0, 1)
    assert "(standard error 0.0093), the best of 8 complete trials." in text
