"""A module imports only from floors below its own or from its own package, and loads nothing heavy without need."""

import ast
import math
import statistics
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import harness

ROOT = Path(harness.__file__).parent
FLOORS = {
    # The ground floor has three steps of its own.
    "cache": 0.0,
    "digest": 0.0,
    "lazy": 0.0,
    "records": 0.0,
    "errors": 0.1,
    "extras": 0.15,
    "own": 0.2,
    "registry": 0.2,
    "statistics": 0.2,
    "problems": 0.3,
    "signals": 0.0,
    "serving": 0.2,
    "text": 0.0,
    "spec": 1,
    "hardware": 1,
    "data": 2,
    "models": 2,
    "store": 2,
    "measure": 3,
    "plan": 3,
    "train": 4,
    "bench": 5,
    "study": 5,
    "report": 6,
    "dashboard": 6,
    "tracking": 6,
    "api": 7,
    "integrity": 7.4,
    "comparison": 7.5,
    "exporting": 7.5,
    "estimators": 7.5,
    "ensembling": 7.5,
    "reproduction": 7.5,
    "deciding": 7.5,
    "refitting": 7.5,
    "prediction": 7.5,
    "training": 7.5,
    "cli": 8,
    "__init__": 9,
    "__main__": 9,
}
MODULES = sorted(ROOT.rglob("*.py"))


def _package(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return relative.parts[0]


class Read(NamedTuple):
    """What these tests want to know of a module."""

    names: frozenset[str]
    """The dotted names of harness that it imports, wherever in the module it does."""
    functions: list[int]
    """How many lines each of its functions has."""


@cache
def _read(path: Path) -> Read:
    found, functions = set(), []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append(node.end_lineno - node.lineno + 1)
    return Read(frozenset(name for name in found if name.startswith("harness.")), functions)


def _imports(path: Path) -> set[str]:
    """Return the first-level parts of harness that a module imports."""
    return {name.split(".")[1] for name in _read(path).names}


def _module(path: Path) -> str:
    """Return a module's dotted name; a package is named without ``__init__``."""
    return ".".join(("harness", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def _imported(path: Path, modules: set[str]) -> set[str]:
    """Return the modules that a module imports; a name of a package counts as that package."""
    found = set()
    for name in _read(path).names:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {_module(path)}


def test_every_module_has_a_floor():
    assert {_package(path) for path in MODULES} == set(FLOORS)


def test_imports_point_downwards():
    upwards = [
        f"{path.relative_to(ROOT)} (floor {FLOORS[own]}) imports harness.{other} (floor {FLOORS.get(other)})"
        for path in MODULES
        for own, other in ((_package(path), other) for other in _imports(path))
        if other != own and not FLOORS.get(other, math.inf) < FLOORS[own]
    ]
    assert not upwards


def test_no_modules_import_each_other():
    """A package's own file only gathers names of its modules, so it is left out."""
    modules = {_module(path): path for path in MODULES}
    graph = {
        name: {other for other in _imported(path, set(modules)) if modules[other].name != "__init__.py"}
        for name, path in modules.items()
        if path.name != "__init__.py"
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", [_module(path) for path in MODULES if path.name == "__init__.py"])
def test_rooms_of_a_package_do_not_lean_on_each_other(package):
    """What a package holds, modules and packages, can be read in an order in which nothing is used before its turn."""
    modules, prefix = {_module(path) for path in MODULES}, f"{package}."

    def room(name):
        return name.removeprefix(prefix).split(".")[0]

    graph = {}
    for path in MODULES:
        if (name := _module(path)).startswith(prefix):
            others = {room(other) for other in _imported(path, modules) if other.startswith(prefix)}
            graph.setdefault(room(name), set()).update(others - {room(name)})
    TopologicalSorter(graph).prepare()


def test_files_and_functions_stay_short():
    """The median file is below 130 lines, and of a hundred functions ninety-five are below 30."""
    lines = [len(path.read_text().splitlines()) for path in MODULES if path.name != "__init__.py"]
    functions = [length for path in MODULES for length in _read(path).functions]
    assert statistics.median(lines) < 130
    assert statistics.quantiles(functions, n=100)[94] < 30


def test_only_one_module_imports_pynvml():
    importers = [path for path in MODULES if "import pynvml" in path.read_text() or "from pynvml" in path.read_text()]
    assert [path.relative_to(ROOT).as_posix() for path in importers] == ["hardware/nvml.py"]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("harness", ("torch", "optuna", "pandas", "numpy", "pydantic")),
        ("harness.cli", ("torch", "optuna", "pandas", "numpy", "sklearn", "plotly")),
        ("harness.spec", ("torch", "optuna", "pandas", "numpy")),
        ("harness.hardware", ("torch", "optuna", "pandas")),
        ("harness.statistics", ("torch", "optuna", "pandas", "scipy", "sklearn")),
        ("harness.store", ("torch", "optuna")),
        ("harness.report", ("torch", "optuna")),
        ("harness.study.execute.worker", ("optuna", "pandas", "sklearn", "scipy")),
        ("harness.study.trial.evaluate", ("optuna", "pandas", "sklearn", "scipy")),
    ],
)
def test_importing_a_module_stays_light(module, unwanted):
    code = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "package", [path.parent for path in MODULES if path.name == "__init__.py" and "lazy_names(" in path.read_text()]
)
def test_no_name_that_loads_on_first_use_is_that_of_a_module(package):
    """The module would take the place of the name as soon as something loads it, unless the name is there already."""
    found = import_module(_module(package / "__init__.py"))
    there = {name for name, value in vars(found).items() if not isinstance(value, ModuleType)}
    assert not (set(found.__all__) - there) & {path.stem for path in package.iterdir()}
