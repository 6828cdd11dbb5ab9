"""What people meet first: typos, no space at all, -h, and completion, all of them quick and without torch."""

import json
import os
import re
import resource
import subprocess
import sys

import pytest

from harness.cli import completion
from harness.spec import TASKS, shipped_spaces

TYPOS = [
    ("search digitz", "did you mean 'digits'"),
    ("search wyne", "did you mean 'wine'"),
    ("search no/such.yaml", "no such file"),
    ("search digits --set task=digitz", "did you mean 'digits'"),
    ("search digits --set budget.trialz=3", "did you mean 'trials'"),
    ("search digits --set bugdet.trials=3", "command line: bugdet: unknown key; did you mean 'budget'"),
    ("search digits --set space.architecture=mpl", "did you mean 'mlp'"),
    ("search digits --set space.architecture.mlp.deph=3", "did you mean 'depth'"),
    ("search digits --set space.optimizer=adamww", "did you mean 'adamw'"),
    ("search digits --set space.batch_sise=3", "did you mean 'batch_size'"),
    ("search digits --set objective=acuracy", "did you mean 'accuracy'"),
    ("search digits --sampler tpee", "did you mean 'tpe'"),
    ("search digits --pruner medain", "did you mean 'median'"),
    ("search digits --precision fp8", "is not one of"),
    ("search digits --timeout soon", "not a duration"),
    ("search digits --trials 0", "budget.trials"),
    ("search digits --device gpu", "unknown device 'gpu'"),
    ("search digits --workers many", "--workers many"),
    ("search digits --executor rai", "did you mean 'ray'"),
    ("search digits --trails 3", "--trials"),
    ("search --resume no/such/run", "no such run"),
    ("serach digits", "search"),
    ("spaces validate digitz", "did you mean 'digits'"),
    ("spaces show digitz", "did you mean 'digits'"),
    ("tasks fetch fashion-mnis", "did you mean 'fashion-mnist'"),
    ("bench --only matmull", "did you mean 'matmul'"),
    ("bench --only matmul --device gpu", "unknown device 'gpu'"),
    ("report no/such/run", "no such run"),
    ("report no/such/run --format htm", "did you mean 'html'"),
    ("reproduce no/such/run", "no such run"),
    ("runs no/such", "no such folder"),
]
RUN_ALL = """
import contextlib, io, json, sys, time
started = time.perf_counter()
from harness.cli import main
done = []
for line in json.load(sys.stdin):
    sys.argv = ["harness", *line.split()]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    done.append((line, code, out.getvalue(), err.getvalue(), "torch" in sys.modules))
print(json.dumps(done))
"""


@pytest.mark.slow
def test_typos_are_told_without_loading_torch(tmp_path):
    lines = json.dumps([line for line, _ in TYPOS])
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL], input=lines, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    for (line, code, out, err, torch), (_, message) in zip(json.loads(done.stdout), TYPOS, strict=True):
        assert (code, out, torch) == (2, "", False), (line, err)
        assert message in err, line
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_typo_is_told_at_once(tmp_path):
    def spent_s():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = spent_s()
    words = [sys.executable, "-m", "harness", "search", "digitz"]
    assert subprocess.run(words, capture_output=True, check=False, cwd=tmp_path).returncode == 2
    # A second on an idle machine (benchmarks/startup.py); a core that is shared makes the same instructions cost more.
    assert spent_s() - before < 3.0


def test_a_search_for_nothing_says_what_there_is_and_searches_nothing(harness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (("search",), ("search", "--trials", 3), ("search", "--dry-run"), ("search", "--json")):
        done = harness(*arguments)
        assert (done.code, done.out) == (2, "")
        for name in shipped_spaces():
            assert f"\n  {name} " in done.err
        assert len([line for line in done.err.splitlines() if line.startswith("  harness search ")]) == 2
        assert max(map(len, done.err.splitlines())) <= 120
    assert list(tmp_path.iterdir()) == []


def test_python_names_the_spaces_too():
    import harness
    from harness.errors import InputError

    with pytest.raises(InputError, match="digits, fashion-mnist, forecast, images, series, tabular-all, tabular, text"):
        harness.search()


QUICK = (
    "--trials",
    1,
    "--set",
    "budget.epochs=1",
    "--set",
    "search.baselines=false",
    "--set",
    "search.checks=false",
    "--set",
    "training.final=keep",
)


@pytest.mark.slow
def test_a_task_is_searched_by_its_name_and_a_line_says_how(harness, tmp_path):
    done = harness("search", "wine", "--out", tmp_path, "--json", *QUICK)
    assert done.code == 0, done.err
    assert "note: wine is a task: it is searched with the shipped space tabular\n" in done.err
    assert "-wine-" in json.loads(done.out)["run"]
    resumed = harness("search", "--resume", json.loads(done.out)["run"], "--trials", 2, "--json")
    assert json.loads(resumed.out)["trials"] == {"complete": 2}


@pytest.mark.parametrize(
    "command",
    [
        *("", "search", "runs", "report", "devices"),
        *("bench", "bench compare", "bench report", "bench list", "tasks", "tasks fetch"),
        *("spaces", "spaces list", "spaces show", "spaces validate", "spaces schema"),
    ],
)
def test_h_is_help_everywhere(command, harness):
    short, long = (harness(*command.split(), option) for option in ("-h", "--help"))
    assert (short.code, short.out) == (0, long.out)
    assert re.match(rf"Usage: (\S.* )?harness {command}".rstrip() + r" ", short.out)
    assert "-h, --help" in short.out


def test_what_a_system_does_not_measure_is_told_before_a_search(harness, tmp_path, monkeypatch):
    from harness.hardware import not_measured_here

    assert not_measured_here("linux") == ""
    for system, name in (("darwin", "macOS"), ("win32", "Windows"), ("freebsd14", "freebsd14")):
        assert f"on {name} these are not measured" in not_measured_here(system)
    monkeypatch.setattr("harness.hardware.not_measured_here", lambda: not_measured_here("darwin"))
    done = harness("search", "digits", "--device", "cuda:99", "--out", tmp_path)
    assert done.code == 4
    assert done.err.startswith("harness: harness is tested on Linux alone; on macOS ")


def completed(words, folder):
    """Return what bash would be offered for the last of ``words``, which is incomplete."""
    code = (
        "import sys; sys.argv = ['harness']\nfrom harness.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules, file=sys.stderr)"
    )
    env = {
        **os.environ,
        "_HARNESS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=folder)
    assert done.stderr.strip() == "False", done.stderr
    return done.stdout.split()


def test_a_shell_completes_spaces_tasks_and_runs_without_torch(tmp_path):
    (tmp_path / "digger.yaml").touch()
    run = tmp_path / "results" / "20260101-digits-ab"
    run.mkdir(parents=True)
    (run / "space.yaml").touch()
    assert completed("harness search di", tmp_path) == ["diabetes", "digits", "digits-series", "digger.yaml"]
    assert completed("harness search --resume ", tmp_path) == ["results/20260101-digits-ab"]
    assert completed("harness tasks fetch ", tmp_path) == ["fashion-mnist"]


def test_what_is_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bench, plain = tmp_path / "results" / "b", tmp_path / "results" / "plain"
    for folder in (bench, plain, tmp_path / ".hidden"):
        folder.mkdir(parents=True)
    (bench / "env.json").touch()
    (tmp_path / "notes.txt").touch()
    assert completion.spaces("") == [*sorted({*shipped_spaces(), *TASKS}), "results/"]
    assert completion.spaces(".h") == [".hidden/"]
    assert completion.spaces("no/where/") == []
    assert completion.bench_runs("") == ["results/b"]
    assert completion.bench_runs("res") == ["results/"]
    assert completion.bench_runs("results/") == ["results/b"]
    assert completion.search_runs("results/p") == ["results/plain/"]
    assert completion.samplers("c") == ["cmaes"]
    assert completion.pruners("h") == ["hyperband"]
    assert completion.benchmarks("ma") == ["matmul"]
