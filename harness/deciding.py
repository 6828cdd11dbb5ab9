"""The threshold between two classes, set for a finished run: ``harness.set_threshold``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.api import publish_run
from harness.errors import InputError, StorageError
from harness.report import load_run
from harness.spec import Rule, Training
from harness.store import RunFolder
from harness.store.run import changed_files
from harness.study.final.redeciding import Redecided, redecide


def set_threshold(run: str | Path, threshold: float | str | Mapping[str, Any] | None) -> Redecided:
    """Set from which probability on the final model of a run predicts the second of its two classes.

    ``threshold`` is what ``training.threshold`` of a space may be: a probability; ``"f1"`` or ``"youden"``, the best by
    F1 of the second class or by Youden's J on validation; ``{"cost": {"false_positive": 1, "false_negative": 5}}``,
    the one of least cost there; or None, which goes back to the most probable class. The test samples do not choose it,
    and are not opened: what follows from the predicted classes is computed from ``predictions.parquet``, where these
    are written anew. The report says that the threshold was set after the test scores were known.

    >>> import harness
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"size": range(80), "kind": ["small"] * 40 + ["large"] * 40})
    >>> two = {"budget": {"epochs": 1}, "search": {"baselines": False}, "space": {"architecture": {"mlp": {}}}}
    >>> run = harness.search(two, data=frame, target="kind", trials=1, workers=0).run
    >>> harness.set_threshold(run, 0.3).threshold, harness.load(run).threshold
    ({'value': 0.3, 'by': 'value'}, 0.3)

    Raises :class:`InputError` where there are not two classes, or validation cannot tell, and :class:`StorageError`.
    """
    path, rule = Path(run), _rule(threshold)
    folder = RunFolder.open(path)
    try:
        load_run(path)  # whatever it refuses must not be written over
        if changed := changed_files(path):
            raise StorageError(f"{path / changed[0]}: not the file that the run was sealed with; copy the folder again")
        found = redecide(folder, rule)
        publish_run(path)
    finally:
        folder.close()
    return found


def _rule(threshold: float | str | Mapping[str, Any] | None) -> float | Rule | None:
    try:
        return Training.model_validate({"threshold": threshold}).threshold
    except ValidationError as error:
        told = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"threshold: {told}") from None
