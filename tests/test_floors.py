"""A module imports only from floors below its own or from its own package, and loads nothing heavy without need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent
FLOORS = {
    # The ground floor has three steps of its own.
    "lazy": 0.0,
    "records": 0.0,
    "errors": 0.1,
    "registry": 0.2,
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
    "api": 7,
    "cli": 8,
    "__init__": 9,
    "__main__": 9,
}
MODULES = sorted(ROOT.rglob("*.py"))


def _package(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return relative.parts[0]


def _imports(path: Path) -> set[str]:
    """Return the first-level parts of harness that a module imports, wherever in the module it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "harness" and len(parts) > 1:
                found.add(parts[1])
    return found


def test_every_module_has_a_floor():
    assert {_package(path) for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    own = _package(path)
    for other in _imports(path):
        assert other in FLOORS, f"{path} imports harness.{other}, which has no floor"
        assert other == own or FLOORS[other] < FLOORS[own], (
            f"{path.relative_to(ROOT)} (floor {FLOORS[own]}) imports harness.{other} (floor {FLOORS[other]})"
        )


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
        ("harness.store", ("torch", "optuna")),
        ("harness.report", ("torch", "optuna")),
        ("harness.study.worker", ("optuna", "pandas", "sklearn", "scipy")),
        ("harness.study.evaluate", ("optuna", "pandas", "sklearn", "scipy")),
    ],
)
def test_importing_a_module_stays_light(module, unwanted):
    code = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
