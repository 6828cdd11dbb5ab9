"""A report's figures from Python: those of the page, by the same functions."""

import json

import plotly.graph_objects as go
import pytest

import harness
from harness.errors import InputError, StorageError
from harness.report import Plots, analyse, load_run
from harness.report.charts import draw
from harness.store import seal

METHODS = {
    "history": ("search", None),
    "learning_curves": ("curves", None),
    "importance": ("importances", "Permutation importance"),
    "parallel": ("importances", "Parallel coordinates"),
    "pareto": ("trade-offs", None),
    "test": ("test", "Confusion matrix"),
    "telemetry": ("telemetry", None),
}


@pytest.fixture(scope="module")
def drawn(usual_run):
    return draw(analyse(load_run(usual_run)))


@pytest.fixture(scope="module")
def plot(usual_run):
    return Plots(usual_run)


def data(figure):
    return json.loads(figure.to_json())["data"]


@pytest.mark.parametrize("method", METHODS)
def test_a_figure_is_that_of_the_page(method, plot, drawn):
    section, title = METHODS[method]
    charts = [chart for chart in drawn[section] if chart.figure is not None and title in (None, chart.title)]
    if not charts:
        with pytest.raises(InputError, match=f"no figure of {title}"):
            getattr(plot, method)()
        return
    figure = getattr(plot, method)()
    assert isinstance(figure, go.Figure)
    assert data(figure) == charts[0].figure.data
    assert figure.layout.title.text == charts[0].title
    assert charts[0].figure.as_plotly().layout.title.text is None, "the page's own figure is left as it is"


def test_one_of_several_figures_is_asked_for_by_its_title(plot, drawn):
    titles = [chart.title for chart in drawn["curves"]]
    assert len(titles) > 1
    for title in titles:
        assert plot.learning_curves(title).layout.title.text == title
    path = next(chart.title for chart in drawn["importances"] if "." in chart.title)
    assert plot.slice(path).layout.title.text == path
    assert plot.telemetry("Memory").layout.title.text == "Memory"


def test_every_figure_of_the_page_has_a_name(plot, drawn):
    figures = [chart for charts in drawn.values() for chart in charts if chart.figure is not None]
    assert len(plot.names) == len(figures) == len(set(plot.names))
    assert data(plot[plot.names[-1]]) == figures[-1].figure.data
    assert plot.names[0] in repr(plot)
    assert plot._repr_html_().count("<li>") == len(figures)


def test_what_there_is_no_figure_of_is_told(plot, make_run):
    with pytest.raises(InputError, match=r"did you mean 'accuracy'|known: "):
        plot.learning_curves("acuracy")
    with pytest.raises(InputError, match="no figure 'search: x'"):
        plot["search: x"]
    with pytest.raises(InputError, match="no figure of trade-offs"):
        Plots(make_run(trials=3, outcomes="crashed")).pareto()


@pytest.mark.slow
def test_with_several_objectives_the_front_is_of_both(front_run):
    figure = Plots(front_run).pareto()
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("latency_ms", "f1_macro")


def test_a_run_is_opened_from_disk(make_run, tmp_path):
    run = make_run(trials=5)
    (run / "status.json").write_text('{"state": "interrupted", "pid": 1, "boot_id": "x"}')
    seal(run, {})
    result = harness.open_run(str(run))
    assert isinstance(result, harness.SearchResult)
    assert (result.run, result.state, result.signal) == (run, "interrupted", 0)
    assert result.best["trial"] in set(result.trials["trial"])
    assert result.test["f1_macro"] == json.loads((run / "stats.json").read_text())["test"]["metrics"]["f1_macro"]
    assert isinstance(result.plot, Plots)
    assert "<table>" in result._repr_html_()
    with pytest.raises(InputError, match="no such run"):
        harness.open_run(tmp_path / "nowhere")
    (run / "stats.json").write_text(json.dumps({"schema_version": 99}))
    seal(run, {})
    with pytest.raises(StorageError, match="schema version 99"):
        harness.open_run(run)
