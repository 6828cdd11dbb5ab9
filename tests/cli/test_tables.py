"""Tables on narrow terminals: whole words and figures, no line too long, no column of single letters."""

import re
from collections import Counter

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli.table import WORD, column_widths

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def shown(harness, monkeypatch):
    """Run a command on a terminal of some width, or (0) into a pipe; return the lines of its output."""

    def show(width, *arguments):
        with monkeypatch.context() as patch:
            for name in ("NO_COLOR", "TERM"):
                patch.delenv(name, raising=False)
            if width:
                patch.setenv("FORCE_COLOR", "1")
                patch.setenv("COLUMNS", str(width))
            done = harness(*arguments)
        assert done.code == 0, done.err
        return ESCAPES.sub("", done.out).splitlines()

    return show


def words(lines):
    """Return the words that are not so long that they may be folded."""
    return Counter(word for line in lines for word in line.split() if len(word) <= WORD and set(word) - set("─-—━ "))


def check(shown, width, *arguments):
    wide, narrow = shown(0, *arguments), shown(width, *arguments)
    # Sentences below a table and paths above it are left to the terminal.
    tables = [line for line in narrow if not re.match(r"A space may|Report:|\d+ parameters,|[AB] /", line)]
    assert max(map(len, (line.rstrip() for line in tables))) <= width
    assert words(wide).keys() - words(narrow).keys() == set()
    return narrow


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", ["tasks", "spaces list", "spaces validate digits", "devices", "bench list"])
def test_no_word_is_cut(command, width, shown, monkeypatch):
    memory = psutil.virtual_memory()  # what is free is told, and changes from one command to the next
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    check(shown, width, *command.split())


@pytest.mark.parametrize("width", [80, 60])
def test_no_word_of_two_compared_benchmarks_is_cut(width, shown, bench_runs, tmp_path):
    for number, name in enumerate("ab"):
        rows = bench_runs.usual_rows(number, factor=1.0 + number / 10)
        bench_runs.write_run(tmp_path / name, rows, bench_runs.GPU)
    check(shown, width, "bench", "compare", tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("width", [80, 60])
def test_no_word_of_a_benchmark_is_cut(width, bench_runs, tmp_path, monkeypatch, capsys):
    from harness.bench.comparison.runs import load_bench
    from harness.cli.bench_run import show_run

    run = load_bench(bench_runs.write_run(tmp_path / "a", bench_runs.usual_rows(), bench_runs.GPU))
    show_run(run, json=False)
    wide = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    show_run(run, json=False)
    narrow = ESCAPES.sub("", capsys.readouterr().out).splitlines()
    rows = [line.rstrip() for line in narrow if re.match(r" *(matmul|copy|triad|train_step|launch)", line)]
    assert len(rows) >= 8
    assert max(map(len, rows)) <= width
    assert words(wide).keys() - words(narrow).keys() == set()


@pytest.mark.slow
def test_the_best_candidates_are_a_table_at_80_columns(shown, tiny, tmp_path):
    quick = ("--trials", 3, "--set", "budget.epochs=1", "--set", "training.final=keep")
    lines = shown(80, "search", tiny, "--out", tmp_path / "runs", *quick)
    start = next(number for number, line in enumerate(lines) if line.startswith("Best candidates"))
    head = next(line for line in lines[start + 1 :] if line.strip())
    assert head.split()[:2] == ["rank", "choice"] or head.split()[:2] == ["rank", "trial"]
    rows = [line for line in lines[start:] if re.match(r" *\d", line)]
    assert len(rows) == 3
    assert all("mlp, sgd" in row and re.search(r"\b0\.\d{2,4}\b", row) for row in rows)
    assert max(map(len, rows)) <= 80


texts = st.text(st.sampled_from("ab1.,é日 "), max_size=60)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(texts, min_size=n, max_size=n), min_size=2, max_size=5)))
def test_columns_hold_their_longest_words_and_fill_the_room(table):
    from rich.cells import cell_len

    names, *rows = table
    longest = [max(cell_len(w) for t in texts for w in (*t.split(), "")) for texts in zip(*table, strict=True)]
    whole = [max(map(cell_len, texts)) for texts in zip(*table, strict=True)]
    for room in (10, 40, 80, 400):
        widths = column_widths(names, rows, room)
        if widths is None:
            assert np.sum(whole) > room
            continue
        assert sum(widths) <= room
        for width, word, most in zip(widths, longest, whole, strict=True):
            assert min(word, WORD) <= width <= most
    assert column_widths(names, rows, sum(whole)) == whole
