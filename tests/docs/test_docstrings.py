"""The examples in docstrings are true, and everything that docs/api.md shows has one."""

import ast
import doctest
import importlib
import pydoc
import re
import sys
from pathlib import Path

import pytest

import harness
from harness.registry import Registry

ROOT = Path(__file__).parents[2]
PACKAGE = Path(harness.__file__).parent
SHOWN = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
SPACE = {
    "task": "wine",
    "budget": {"epochs": 1},
    "search": {"baselines": False, "checks": False},
    "training": {"final": "keep"},
    "space": {"architecture": {"mlp": {"width": [8, 16]}}},
}


def texts(path):
    """Return the line and the text of every string that stands for itself in a module: its docstrings."""
    nodes = ast.walk(ast.parse(path.read_text()))
    strings = (node.value for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    return [(each.lineno, each.value) for each in strings if isinstance(each.value, str) and ">>>" in each.value]


FILES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py")) if texts(path)]
SEARCHES = {
    "api.py",
    "estimators/estimator.py",
    "exporting/exporter.py",
    "ensembling.py",
    "study/final/predictor.py",
    "study/observer.py",
    "study/callbacks.py",
    "training.py",
    "reproduction/story.py",
    "deciding.py",
    "refitting.py",
}
SEARCHES |= {f"integrity/{name}.py" for name in ("checking", "findings", "packing", "unpacking")}
"""Modules whose examples search, or take a finished search as given."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of wine and what it left, under the names that examples have for them."""
    from sklearn.datasets import load_wine

    result = harness.search(SPACE, trials=2, workers=0, out=tmp_path_factory.mktemp("search"))
    return {"result": result, "run": result.run, "frame": load_wine(as_frame=True).data, "space": SPACE}


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory, bench_runs):
    """Two benchmarks of one machine."""
    top = tmp_path_factory.mktemp("bench")
    return {name: bench_runs.write_run(top / name, bench_runs.usual_rows(seed)) for seed, name in enumerate("ab")}


@pytest.fixture
def _registries(monkeypatch):
    """Forget afterwards what an example has registered."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("harness.")]
    for registry in {id(each): each for module in modules for each in vars(module).values()}.values():
        if isinstance(registry, Registry):
            monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    known = {kind: set(names) for kind, names in harness.registry._registered.items()}
    monkeypatch.setattr("harness.registry._registered", known)


def _marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name in SEARCHES else name


@pytest.mark.usefixtures("_registries")
@pytest.mark.parametrize("file", [_marked(file) for file in FILES])
def test_the_examples_of_a_module_are_true(file, benchmarked, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    given = request.getfixturevalue("searched") if file in SEARCHES else benchmarked
    module = importlib.import_module(f"harness.{file.removesuffix('.py').replace('/', '.')}")
    runner, said = doctest.DocTestRunner(), []
    for line, text in texts(PACKAGE / file):
        example = doctest.DocTestParser().get_doctest(text, {**given, **vars(module)}, file, file, line)
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def text_of(name):
    """Return what is said of an object; of a registry the string below its assignment, which Python does not keep."""
    found = pydoc.locate(name)
    if not isinstance(found, Registry):
        return found.__doc__
    home, _, own = name.rpartition(".")
    body = ast.parse(Path(importlib.import_module(home).__file__).read_text()).body
    place = next(n for n, node in enumerate(body) if isinstance(node, ast.AnnAssign) and node.target.id == own)
    return ast.literal_eval(body[place + 1].value)


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_reference_shows_has_an_example(name):
    assert ">>> " in text_of(name)


def test_all_that_is_public_is_in_the_reference():
    shown = {id(pydoc.locate(name)) for name in SHOWN}
    missing = [name for name in harness.__all__ if not name.startswith("_") and id(getattr(harness, name)) not in shown]
    assert not missing, f"docs/api.md lacks {', '.join(missing)}"
