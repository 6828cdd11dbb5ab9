"""Small runs to export, each trained once."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import harness

MLP = "{architecture: {mlp: {depth: 1, width: 8}}}"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _search(folder, task, space=MLP, *, trust=False, **options):
    """Search without a report, which no export reads."""
    settings = {
        "search.first": "[]",
        "search.baselines": "false",
        "search.checks": "false",
        "budget": "{epochs: 2}",
        "training.precision": "fp32",
    }
    settings |= {"training.final": "keep", "evaluation": "{}"} | options
    overrides = [f"task={task}", f"space={space}", *(f"{name}={value}" for name, value in settings.items())]
    asked = {"trials": 1, "out": folder, "device": "cpu", "workers": 0, "deterministic": True, "trust": trust}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.api.write_report", lambda _run: [])
        return harness.search("tabular", overrides=overrides, **asked).run


@pytest.fixture(scope="session")
def exporting():
    """What several tests of exports use."""

    def known(run):
        return pd.read_parquet(run / "predictions.parquet")

    def run_onnx(path, arrays, rows=slice(None)):
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, {name: array[rows] for name, array in arrays.items()}), strict=True))

    return SimpleNamespace(search=_search, known=known, run_onnx=run_onnx, code_of=lambda card: CODE.search(card)[1])


@pytest.fixture(scope="session")
def wine(tmp_path_factory):
    """A run of wine: three classes, thirteen numbers."""
    return _search(tmp_path_factory.mktemp("wine"), "wine")


@pytest.fixture(scope="session")
def wine_rows():
    """The samples of wine as inputs of an exported model, by the names of the columns."""
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).data
    return {name: frame[[name]].to_numpy(np.float64) for name in frame.columns}
