"""Every command that the documents show is run here on a small budget, or named below with the reason why not.

A command that no rule covers fails. What stands in running text is parsed: its commands and options exist.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main
from sklearn.datasets import load_wine

import harness as package
from harness.cli import app, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")] + sorted(
    ROOT.glob("docs/*.md")
)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(harness [^`]+)`")

PARSED = {
    r"harness bench( --only matmul --only copy| --threads 2)?$": "minutes; tests/bench runs its parts, a slow test all",
    r"harness search my-space.yaml --executor ray": "needs Ray; tests/study/test_ray_cluster.py starts a cluster",
    r"harness compare (digits|RUN_A RUN_B)": "minutes; tests/study/test_comparison.py, tests/cli/test_cli_compare.py",
    r"harness ensemble results/RUN": "takes several trials; tests/cli/test_cli_ensemble.py makes them",
    r"harness threshold RUN": "takes two classes; tests/cli/test_cli_decisions.py sets all of them",
    r"harness predict RUN (houses\.csv|photos/|history\.csv) ": "needs a run of its kind; tests/prediction has them",
    r"harness search text --set 'task=\{csv: reviews\.csv": "needs reviews; tests/data/test_text_sources.py reads some",
    r"harness search images --set 'task=\{audio:": "needs recordings; tests/data/test_audio.py makes some",
    r"harness report COMPARISON_A": "tests/report/test_compare_page.py writes the page",
    r"harness search series --set 'task=\{ts: GunPoint": "needs files; tests/data/test_ts_file.py has some",
    r"harness export RUN --out wine\.onnx|harness export RUN --format torch": "tests/exporting exports every kind",
    r"harness search digits --trials 5 --track mlflow=": "needs a server; tests/tracking/test_tracked_searches.py",
    r"harness dashboard RUN$": "serves until it is told to end; tests/test_dashboard.py",
    r"harness --install-completion$": "writes to the start-up file of the user's shell",
}
"""Commands whose names and options are checked and that are not run."""

OTHERS = {
    r"python3 -m venv \.venv && \.venv/bin/pip install -q -c constraints\.txt": "CI starts with it, word for word",
    r"source \.venv/bin/activate$": "makes the environment active",
    r"\.ci/run$": "this is what CI runs",
    r"\.venv/bin/pytest -m 'not slow' tests/spec$": "part of the tests",
    r"\.venv/bin/python benchmarks/step_overhead\.py$": "a benchmark; that the file exists is checked below",
    r"\.venv/bin/mkdocs build --strict$": "tests/docs/test_site.py builds the site",
    r"pip install -c constraints\.txt '\.\[(ray|onnx|dashboard|mlflow,tensorboard|text)\]'$": "needs an index",
    r"tensorboard --logdir results/tensorboard$": "serves until it is told to end; tests/tracking reads the files",
    r"python benchmarks/families\.py (fashion|text)$": "an hour; that the file exists is checked below",
    r"python benchmarks/gpu_check\.py( --rehearse| --only nvml,memory)?$": "minutes; tests/hardware/test_gpu_check.py",
    r"ray start --(head --port 6379|address=HEAD:6379)$": "tests/study/test_ray_cluster.py starts nodes",
}
"""Commands of other programs."""

SLOW = re.compile(r"harness search (?!.*--dry-run)|reproduce RUN|--warm-start|--workers|--seeds|harness train")
"""What takes over a few seconds even on a small budget: a large data set, worker processes."""


def lines_of(text):
    """Return the commands of a page's blocks, without their comments."""
    lines = (line.split(" #")[0].strip() for block in BLOCK.findall(text) for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


SHOWN = sorted({line for page in PAGES for line in lines_of(page.read_text())})
SPANS = sorted({span for page in PAGES for span in SPAN.findall(page.read_text())})
RUN = [line for line in SHOWN if line.startswith("harness ") and not any(re.match(rule, line) for rule in PARSED)]


def marked(line):
    return pytest.param(line, marks=pytest.mark.slow) if SLOW.search(line) else line


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory, bench_runs):
    """The top of a clone as the documents assume it, with a search and two benchmarks already made."""
    top = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", top / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(top / "examples" / "houses.yaml", top / "my-space.yaml")
    shutil.copy(top / "examples" / "houses.csv", top)
    for number, name in enumerate("AB"):
        folder = bench_runs.write_run(top / "results" / name, bench_runs.usual_rows(number), bench_runs.GPU)
        shutil.copytree(folder, top / name)
    overrides = ["search.baselines=false", "search.checks=false", "training.final=keep", "budget.epochs=1"]
    run = package.search("wine", trials=1, workers=0, out=top / "made", overrides=overrides).run
    load_wine(as_frame=True).data.to_csv(top / "new.csv", index=False)
    for name in ("RUN", "OTHER"):
        shutil.copytree(run, top / "results" / name)
    return top


def with_value(words, option, value):
    """Return the words with another value of an option, where they have it."""
    return [value if before == option else word for before, word in pairwise(["", *words])]


def reduced(words):
    """Return a search or a training with a budget of seconds."""
    if words[0] == "reproduce":
        return with_value(words, "--trial", "0")
    if words[0] == "train":
        small = ["--workers", "0"] if "--from" in words else ["--workers", "0", "--epochs", "2"]
        return with_value(with_value(words, "--trial", "0"), "--seeds", "2") + small
    if words[0] != "search" or "--dry-run" in words:
        return words
    resumed = "--resume" in words
    kept = list(words)
    for option in ("--trials", "--timeout"):
        if option in kept:
            del kept[kept.index(option) : kept.index(option) + 2]
    small = ["--trials", "1"]
    if not resumed:
        small += ["--timeout", "120s", "--set", "budget.epochs=2", "--set", "search.baselines=false"]
        small += ["--set", "search.checks=false"]
        small += ["--set", "training.final=keep"]
        small += [] if "--plan" in kept else ["--plan", "safe"]
    if "--workers" not in kept:
        small += ["--workers", "0"]
    if "fashion-mnist" in kept:
        small += ["--set", "task={builtin: fashion-mnist, limit: 500}"]
    return [*kept, *small]


ONCE = {tuple(reduced(shlex.split(line)[1:])): line for line in RUN}
"""The lines of which none is another one on the same small budget."""


@pytest.mark.parametrize("line", [marked(line) for line in ONCE.values()])
def test_a_command_of_the_documents_runs(line, sandbox, monkeypatch, capsys):
    monkeypatch.chdir(sandbox)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = shlex.split(line)[1:]
    if words[:2] == ["bench", "report"]:
        words[-1] = "results/A"
    if words[0] == "unpack":
        package.pack("results/RUN", words[1], force=True)
    words = [f"results/{word}" if word in ("RUN", "OTHER") else word for word in words]
    if "fashion-mnist" in words and not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    monkeypatch.setattr(sys, "argv", ["harness", *reduced(words)])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    assert captured.out


@pytest.mark.parametrize("line", [line for line in SHOWN if line not in RUN])
def test_any_other_command_is_covered_by_a_rule(line):
    rules = [*PARSED, *OTHERS]
    assert any(re.match(rule, line) for rule in rules), f"no rule covers {line!r}: run it, or say above why not"
    if line.startswith("harness "):
        parse(line)


def test_no_rule_is_left_over():
    for rule in (*PARSED, *OTHERS):
        assert any(re.match(rule, line) for line in SHOWN), rule


@pytest.mark.parametrize("span", SPANS)
def test_a_command_in_running_text_exists(span):
    parse(span.split(" …")[0].split(" ...")[0].replace(r"\|", "|").split(" | ")[0])


def parse(line):
    """Resolve the commands of a line and read its options, as the command line itself does, without running any."""
    words = [word for word in shlex.split(line)[1:] if word != ">"]
    group = typer.main.get_command(app)
    known = {option for parameter in group.params for option in parameter.opts} | {"--help", "-h"}
    while words and words[0] in getattr(group, "commands", {}):
        group = group.commands[words.pop(0)]
        known |= {option for parameter in group.params for option in parameter.opts}
    if getattr(group, "commands", None) and words:
        assert words[0].startswith("-") or "|" in words[0], f"{line!r}: there is no command {words[0]!r}"
    for word in words:
        if word.startswith("-"):
            assert word in known, f"{line!r}: there is no option {word}"


def test_the_parser_of_this_test_finds_what_is_wrong():
    parse("harness bench compare A B --fail-on-regression 5%")
    for wrong in ("harness benhc", "harness bench comapre A B", "harness search digits --trails 3"):
        with pytest.raises(AssertionError, match="there is no"):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target
    for script in re.findall(r"python ((?:benchmarks|tests)/\w+\.py)", text):
        assert (ROOT / script).is_file(), script
    for script, options in re.findall(r"python (benchmarks/\w+\.py)([^`]*)`", text):
        source = (ROOT / script).read_text()
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in source, f"{script} has no {option}"
    for extra in ",".join(re.findall(r"'\.\[([\w,]+)\]'", text)).split(","):
        assert not extra or re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE), extra


def test_nobody_is_sent_to_the_stranger_of_the_same_name():
    """The name ``harness`` on the package index is another project's."""
    texts = [*PAGES, *(ROOT / "harness").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), ROOT / "pyproject.toml"]
    for path in texts:
        assert not re.search(r"""pip install[^\n]*['" ]harness(\[|['"\s]|$)""", path.read_text()), path


def test_the_version_has_one_home():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["name"] == "harness-automl"
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "harness/__init__.py"
    done = subprocess.run(
        # Without the folders of installed packages there is no metadata to read a version from.
        [sys.executable, "-S", "-c", "import harness; print(harness.__version__)"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == package.__version__
