"""The Python face gives the same objects as the command line."""

import pydoc
import signal
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest

import harness
from harness.errors import InputError

SPACE = ["space={architecture: {mlp: {width: {int: [8, 64]}}}}", "budget.epochs=2", "search.baselines=false"]


def test_a_search_from_python(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    result = harness.search("digits", overrides=SPACE, trials=2, out=tmp_path)
    assert isinstance(result, harness.SearchResult)
    assert result.state == "complete"
    assert list(result.trials["outcome"]) == ["complete", "complete"]
    assert list(result.epochs["trial"]) == [0, 0, 1, 1]
    assert result.best["trial"] in (0, 1)
    assert 0 < result.test["accuracy"] <= 1
    assert result.report.read_text().startswith("<!doctype html>")
    line = (
        f"<SearchResult complete: digits: 2 of 2 trials complete; winner: trial {result.best['trial']}; test accuracy"
    )
    assert repr(result).startswith(line)
    assert "\n" not in repr(result)
    assert result._repr_html_().count("<tr>") == 3
    assert f"Report: {result.report}" in result._repr_html_()
    assert signal.getsignal(signal.SIGINT) is before, "the program's own handler is back"
    resumed = harness.search(resume=result.run, trials=3, workers=0)
    assert len(resumed.trials) == 3


def test_a_search_in_a_thread_leaves_signals_alone(tmp_path):
    results = []
    thread = threading.Thread(
        target=lambda: results.append(harness.search("digits", overrides=SPACE, trials=1, out=tmp_path, workers=0))
    )
    thread.start()
    thread.join()
    assert results[0].state == "complete"


def test_what_is_public_is_seen_before_it_is_loaded():
    code = "import harness, sys; print(*dir(harness)); print('pandas' in sys.modules, harness.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, rest = done.stdout.splitlines()
    assert {"search", "SearchResult", "__version__"} <= set(names.split())
    assert rest == f"False {version('harness-automl')}"
    shown = pydoc.plain(pydoc.render_doc(harness))
    assert "search(space: " in shown
    assert "class SearchResult" in shown


def test_mistakes_are_exceptions(tmp_path):
    with pytest.raises(InputError, match="did you mean 'digits'"):
        harness.search("digitz", out=tmp_path)
    with pytest.raises(AttributeError, match="serach"):
        harness.serach  # noqa: B018
