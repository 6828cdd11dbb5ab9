"""Standard output and error that take only some letters, are closed, or are full: never a traceback."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import search

SPACE = """
task: {csv: d.csv, target: y}
budget: {trials: 1, epochs: 1}
search: {baselines: false, checks: false}
training: {final: keep}
space: {architecture: {mlp: {depth: 1, width: 8}}}
"""
FULL = "/dev/full"

pytestmark = pytest.mark.skipif(not Path(FULL).exists(), reason="needs /dev/full")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a table and a space whose search takes a second; it is the current one."""
    (tmp_path / "d.csv").write_text("a,y\n" + "".join(f"{i % 7},{'日' if i % 2 else 'ä'}\n" for i in range(60)))
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(*arguments, **options):
    """Start the command line as a process of its own."""
    words = [sys.executable, "-m", "harness", *map(os.fspath, arguments)]
    path = os.pathsep.join(filter(None, sys.path))
    env = {**os.environ, "PYTHONPATH": path, **options.pop("env", {})}
    return subprocess.Popen(words, env=env, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def finished(*arguments, **options):
    """Run the command line as a process and return its exit code and what it wrote."""
    process = started(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def closed_pipe():
    """Return the writing end of a pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


def the_run(out):
    (run,) = out.iterdir()
    status = json.loads((run / "status.json").read_text(encoding="utf-8"))
    assert status["state"] == "complete"
    assert (run / "manifest.json").is_file()
    return run


COMMANDS = [
    "--help",
    "--version",
    "-h",
    "tasks",
    "tasks --json",
    "spaces list",
    "spaces schema",
    "spaces show digits",
    "spaces validate digits",
    "devices",
    "devices --json",
    "search -h",
    "search space.yaml --dry-run",
    "search space.yaml --dry-run --json",
    "report RUN",
    "bench list",
    "bench report A",
    "bench compare A B",
    "bench compare A B --json",
    "bench compare A B --html page.html",
]
ODD = os.fsdecode(b"\xff-\xe6\x97\xa5")
"""A folder's name that is no text, and a letter that few encodings have."""


@pytest.fixture(scope="module")
def ready(tmp_path_factory, bench_runs):
    """A folder with a table, a space, a finished search and two benchmarks, each below a folder of an odd name."""
    top = tmp_path_factory.mktemp("ready")
    (top / "d.csv").write_text("a,y\n" + "".join(f"{i % 7},{'日' if i % 2 else 'ä'}\n" for i in range(60)))
    (top / "space.yaml").write_text(SPACE)
    for number, name in enumerate("AB"):
        bench_runs.write_run(top / ODD / name, bench_runs.usual_rows(number), bench_runs.CPU)
    result = search(str(top / "space.yaml"), workers=0, out=top / ODD)
    result.run.rename(top / ODD / "RUN")
    return top


@pytest.fixture
def run_in(ready, harness, monkeypatch):
    """Run a command line in that folder: its words RUN, A and B are the folders."""
    monkeypatch.chdir(ready)
    return lambda line: harness(*(f"{ODD}/{word}" if word in ("RUN", "A", "B") else word for word in line.split()))


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_leaves_a_full_output_with_five_and_one_line(line, run_in, monkeypatch):
    with open(FULL, "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        done = run_in(line)
    assert done.code == 5
    assert done.err.startswith("harness: error: standard output: No space left on device")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("line", COMMANDS)
def test_a_reader_that_has_gone_is_no_error_of_any_command(line, run_in, monkeypatch):
    with open(closed_pipe(), "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert (run_in(line).code, pipe.closed) == (0, False)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_writes_what_an_ascii_terminal_can_take(line, run_in, monkeypatch):
    streams = [io.TextIOWrapper(io.BytesIO(), "ascii") for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    code = run_in(line).code
    out, err = (stream.buffer.getvalue() for stream in streams)
    assert (code, err) == (0, b"")
    assert out.isascii()
    if "--json" in line:
        json.loads(out)
    elif "RUN" in line or "A B" in line:
        assert rb"\xff-\u65e5" in out


def test_a_process_ends_without_a_word_when_its_reader_has_gone():
    pipe = closed_pipe()
    code, _, err = finished("tasks", stdout=pipe)
    os.close(pipe)
    assert (code, err) == (0, b"")


def test_a_process_says_once_that_its_output_is_full():
    with open(FULL, "wb") as full:
        code, _, err = finished("tasks", stdout=full)
    assert (code, err.count(b"\n")) == (5, 1)


@pytest.mark.parametrize(("arguments", "code"), [(("tasks",), 0), (("spaces", "show", "digitz"), 2)])
@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&- <&-", f"2>{FULL}", f">&- 2>{FULL}"])
def test_streams_that_are_not_there_change_no_exit_code(arguments, code, closing):
    words = f'exec "{sys.executable}" -m harness {" ".join(arguments)} {closing}'
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(["sh", "-c", words], capture_output=True, env=env, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr + done.stdout
    assert b"Exception" not in done.stderr + done.stdout


@pytest.mark.slow
def test_a_search_goes_on_to_its_end_when_both_readers_have_gone(folder):
    process = started("search", "space.yaml", "--workers", "0", "--out", "runs", stderr=subprocess.STDOUT)
    first = process.stdout.readline()
    process.stdout.close()
    assert first.startswith(b"run folder: runs/")
    assert process.wait(120) == 0
    the_run(folder / "runs")


@pytest.mark.slow
def test_a_search_on_an_ascii_terminal_and_a_full_disk_below_stdout(folder):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    arguments = ("search", "space.yaml", "--workers", "0", "--out", "Läufe/日")
    with open(FULL, "wb") as full:
        code, _, err = finished(*arguments, stdout=full, env=env)
    run = the_run(folder / "Läufe" / "日")
    assert code == 5
    assert err.isascii()
    assert b"Traceback" not in err
    assert err.splitlines()[-1].startswith(b"harness: error: standard output: No space left on device")
    assert "Läufe/日" in json.loads((run / "environment.json").read_text(encoding="utf-8"))["argv"]


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"L\xe4ufe/\u65e5"), ("latin-1", r"Läufe/\u65e5")])
def test_letters_that_a_stream_does_not_have_are_escaped(encoding, shown, harness, folder, monkeypatch):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    code = harness("search", "space.yaml", "--out", "Läufe/日").code
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    assert code == 0, err
    assert re.search(rf"^Report: {re.escape(shown)}/\S+/report.html$", out, re.MULTILINE)
    assert f"run folder: {shown}/{the_run(folder / 'Läufe' / '日').name}\n" in err


def test_json_for_a_stream_without_letters_is_the_same_json(harness, folder, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    done = harness("search", "space.yaml", "--out", "Läufe", "--json")
    assert done.code == 0, done.err
    assert json.loads(stream.buffer.getvalue())["run"] == str(the_run(folder / "Läufe").relative_to(folder))


def test_a_table_stays_in_line_where_letters_are_escaped(monkeypatch):
    from harness.cli.console import print_table

    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    print_table([{"name": "R²", "µs": 1}, {"name": "ascii", "µs": 22}])
    stream.flush()
    lines = [line.strip(" |") for line in stream.buffer.getvalue().decode("ascii").splitlines()]
    rows = [line for line in lines if line.endswith(("1", "22"))]
    assert [re.split("[ |]+", row) for row in rows] == [[r"R\xb2", "1"], ["ascii", "22"]]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.slow
def test_bytes_in_names_that_are_no_text_end_up_as_escapes(harness, folder):
    odd = os.fsdecode(b"\xff")
    (folder / odd).mkdir()
    for name in ("d.csv", "space.yaml"):
        (folder / name).rename(folder / odd / name)
    done = harness("search", f"{odd}/space.yaml", "--out", f"runs{odd}", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["run"].startswith(r"runs\xff/")
    run = the_run(folder / f"runs{odd}")
    for path in run.rglob("*"):
        if path.suffix in (".json", ".yaml", ".md", ".html", ".csv"):
            path.read_text(encoding="utf-8")
    assert r"runs\xff" in json.loads((run / "environment.json").read_text(encoding="utf-8"))["argv"]
    resumed = harness("search", "--resume", run, "--trials", 2, "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["trials"] == {"complete": 2}
