from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from harness.errors import StorageError
from harness.report import build
from harness.report.wording import NOT_MEASURED

ATTACK = '</script><script>alert(1)</script><img src=x onerror="alert(2)"><a href="javascript:alert(3)">&lt;'
VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}


class Page(HTMLParser):
    """A page as a browser would see it: tags with attributes, text, and the contents of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.unclosed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        assert self.unclosed.pop() == tag

    def handle_data(self, data):
        if self.unclosed[-1:] == ["script"]:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif self.unclosed[-1:] != ["style"]:
            self.text += data

    def figures(self) -> dict[str, dict]:
        return {str(attrs["data-chart"]): json.loads(text) for attrs, text in self.scripts if "data-chart" in attrs}

    def attribute(self, name: str) -> list[str]:
        return [str(attrs[name]) for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def page(usual_texts) -> Page:
    return Page(usual_texts["report.html"])


def test_the_page_is_well_formed_and_every_name_is_used_once(page):
    assert page.unclosed == []
    assert max(Counter(page.attribute("id")).values()) == 1
    links = {link.removeprefix("#") for link in page.attribute("href")}
    assert links <= set(page.attribute("id"))


def test_the_page_needs_nothing_from_outside(page):
    assert not page.attribute("src")
    assert all(link.startswith("#") for link in page.attribute("href"))
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]


def test_plotly_stands_in_the_page_once(page):
    running = [text for attrs, text in page.scripts if "type" not in attrs]
    assert len(running) == 2
    assert running[0].lstrip().startswith("/**\n* plotly.js")


def test_the_policy_allows_exactly_the_scripts_of_the_page(page):
    policy = next(str(attrs["content"]) for tag, attrs in page.tags if attrs.get("http-equiv"))
    running = [text for attrs, text in page.scripts if "type" not in attrs]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_every_chart_has_its_place_and_its_data(page):
    figures = page.figures()
    places = [attrs for tag, attrs in page.tags if attrs.get("class") == "plot"]
    assert [attrs["id"] for attrs in places] == list(figures)
    assert all(attrs["role"] == "img" and str(attrs["aria-label"]).startswith("Chart: ") for attrs in places)
    assert all(figure["data"] for figure in figures.values())
    assert {name.rsplit("-", 1)[0] for name in figures} == {
        "chart-search",
        "chart-curves",
        "chart-importances",
        "chart-trade-offs",
        "chart-test",
        "chart-outcomes",
        "chart-gates",
        "chart-telemetry",
    }


def test_the_data_of_a_chart_cannot_end_its_script_and_has_one_way_to_be_written(page):
    for attrs, text in page.scripts:
        if "data-chart" in attrs:
            assert not set(text) & set("<>&")
            assert list(json.loads(text)) == sorted(json.loads(text))


def test_figures_leave_the_colours_of_the_page_to_the_page(page):
    for figure in page.figures().values():
        assert not {"template", "paper_bgcolor", "plot_bgcolor", "font"} & set(figure["layout"])


def test_tables_have_captions_and_headers(page):
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["table"] == tags["caption"] == tags["thead"] >= 12
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.tags if tag == "th")


def test_the_page_says_what_the_meters_could_not_tell(page):
    assert "sm_clock_mhz" in page.text
    assert "no NVIDIA GPU on this machine" in page.text
    meters = [figure for name, figure in page.figures().items() if "telemetry" in name][1:]
    assert [trace["name"] for figure in meters for trace in figure["data"]] == ["cpu", "memory rss"]


@pytest.mark.parametrize("kind", ["classes", "architectures", "reason", "note"])
def test_text_from_outside_is_shown_and_never_acts(make_run, page, kind):
    wishes = {
        "classes": {"classes": [ATTACK, "other"]},
        "architectures": {"architectures": (ATTACK,)},
        "reason": {"reason": ATTACK},
        "note": {"note": ATTACK},
    }
    hostile = Page(build(make_run(trials=11, **wishes[kind]))["report.html"])
    assert "<img src=x onerror=" in hostile.text or "<script>alert(1)" in hostile.text
    assert len([attrs for attrs, _ in hostile.scripts if "type" not in attrs]) == 2
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in page.tags}
    assert not [name for _, attrs in hostile.tags for name in attrs if name.startswith("on")]
    assert all(link.startswith("#") for link in hostile.attribute("href"))
    raw = json.dumps(hostile.figures(), ensure_ascii=False)
    assert not re.search(r"<(?!br>|extra></extra>|/extra>)", raw), "Plotly acts on tags in its texts"


def test_text_in_the_files_cannot_end_the_element_it_stands_in(make_run):
    folder = make_run(trials=3, outcomes="complete")
    (folder / "space.yaml").write_text(f"task: '{ATTACK}</pre>'\n", "utf-8")
    (folder / "hardware.json").write_text(json.dumps({ATTACK: {"x": [ATTACK]}}), "utf-8")
    page = Page(build(folder)["report.html"])
    assert page.unclosed == []
    assert len([attrs for attrs, _ in page.scripts if "type" not in attrs]) == 2
    assert "img" not in {tag for tag, _ in page.tags}


def with_mistakes(folder, *found):
    """Record mistakes of the final model in a run."""
    path = folder / "stats.json"
    stats = json.loads(path.read_text("utf-8"))
    stats["test"]["mistakes"] = list(found)
    path.write_text(json.dumps(stats), "utf-8")
    return folder


WRONG = {"index": 7, "name": f"{ATTACK}.png", "target": ATTACK, "predicted": "dog", "confidence": 0.75}


def test_the_worst_mistakes_are_shown_and_their_names_never_act(make_run, page):
    pictured = WRONG | {"picture": base64.b64encode(b"png").decode()}
    shown = Page(build(with_mistakes(make_run(trials=3), pictured))["report.html"])
    assert shown.attribute("src") == [f"data:image/png;base64,{pictured['picture']}"]
    assert shown.attribute("alt") == [f"dog instead of {ATTACK[:23]}…"]
    assert {tag for tag, _ in shown.tags} - {tag for tag, _ in page.tags} == {"img"}
    assert not [name for _, attrs in shown.tags for name in attrs if name.startswith("on")]
    assert "75.0 % sure" in shown.text
    assert f"{ATTACK}.png"[:39] in shown.text


def test_a_picture_that_is_no_base64_is_refused(make_run):
    folder = with_mistakes(make_run(trials=3), WRONG | {"picture": '"><script>alert(1)</script>'})
    with pytest.raises(StorageError, match="mistakes"):
        build(folder)


def test_mistakes_without_a_picture_are_rows_in_both_forms(make_run):
    row = {"predicted": "5", "alcohol": "13.2"}
    values = {"index": 3, "target": 2.5, "predicted": 1.0, "confidence": None, "row": row}
    pages = build(with_mistakes(make_run(trials=3, kind="regression", objective={"rmse": "minimize"}), values))
    assert "| sample | actual | predicted | predicted | alcohol |" in pages["report.md"]
    assert "| 3 | 2.5 | 1 | 5 | 13.2 |" in pages["report.md"]
    assert "The largest errors, of the final model on the test samples; 1 sample." in pages["report.md"]
    assert "The largest errors" in Page(pages["report.html"]).text


def test_an_answer_that_is_no_number_is_a_dash(make_run):
    folder = make_run(trials=3, kind="regression", objective={"rmse": "minimize"})
    path = folder / "predictions.parquet"
    samples = pd.read_parquet(path)
    samples.loc[0, "predicted"] = np.inf
    samples.loc[1, "predicted"] = np.nan
    samples.to_parquet(path)
    pages = build(with_mistakes(folder, {"index": 0, "target": 2.5, "predicted": None, "confidence": None}))
    assert f"| 0 | 2.5 | {NOT_MEASURED} |" in pages["report.md"]


def test_unicode_names_reach_tables_and_charts(make_run):
    names = ["猫", "niño", "Ελλάδα", "👩‍🚀 crew", "עברית"]
    page = Page(build(make_run(trials=4, outcomes="complete", classes=names))["report.html"])
    assert all(name in page.text for name in names)
    assert page.figures()["chart-test-0"]["layout"]["xaxis"]["ticktext"] == names
