"""The built-in tasks by name. Listing them imports neither torch nor scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records import TaskKind
from harness.registry import Registry


@dataclass(frozen=True, slots=True)
class Builtin:
    """What a built-in task is, and what it takes to load it."""

    name: str
    summary: str
    kind: TaskKind
    needs: str
    """Where its data comes from; what is to be installed or fetched first."""
    fetchable: bool = False
    """Whether ``harness tasks fetch`` can download it."""


tasks: Registry[Builtin] = Registry("task")

_SKLEARN = "nothing: it comes with scikit-learn"
_HERE = "nothing: it comes with harness"

for _task in (
    Builtin("airline", "144 months of airline passengers, the next 12 to be forecast", TaskKind.FORECASTING, _HERE),
    Builtin("digits", "1,797 images 1x8x8 of handwritten digits, 10 classes", TaskKind.CLASSIFICATION, _SKLEARN),
    Builtin(
        "digits-series",
        "1,797 handwritten digits as series of 8 steps (rows) x 8 channels, 10 classes",
        TaskKind.CLASSIFICATION,
        _SKLEARN,
    ),
    Builtin("wine", "178 wines, 13 measured columns, 3 cultivars", TaskKind.CLASSIFICATION, _SKLEARN),
    Builtin("breast-cancer", "569 tumours, 30 measured columns, 2 classes", TaskKind.CLASSIFICATION, _SKLEARN),
    Builtin("diabetes", "442 patients, 10 columns, progression after a year", TaskKind.REGRESSION, _SKLEARN),
    Builtin(
        "docstrings",
        "about 2,000 beginnings of docstrings of numpy, pandas, scipy and sklearn; which package says it",
        TaskKind.CLASSIFICATION,
        "nothing: the packages are installed; `pip install 'harness-automl[text]'` for its tokeniser",
    ),
    Builtin(
        "fashion-mnist",
        "70,000 images 1x28x28 of clothing, 10 classes, official test set of 10,000",
        TaskKind.CLASSIFICATION,
        "Debian's package dataset-fashion-mnist, or `harness tasks fetch fashion-mnist` (30 MB)",
        fetchable=True,
    ),
):
    tasks.add(_task.name, _task)
