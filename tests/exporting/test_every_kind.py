"""Both formats that compute give the predictions of the run, for every family and every kind of data and target."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import harness
from harness.errors import InputError

pytestmark = pytest.mark.slow
ROOT = Path(harness.__file__).parents[1]
CNN = "{architecture: {cnn: {stages: 2, width: 4, norm: batch, residual: true}}}"
STAGES = "{stages: 2, blocks: 1, width: 4, stochastic_depth: 0.1}"
VIT = "{architecture: {vit: {depth: 1, heads: 2, patch: 3, positions: rotary, pooling: class, registers: 1}}}"
SPEEDNET = "{architecture: {speednet: {width: 4, width_multiplier: 2.0, flip_average: true, shift_average: true}}}"
ROWS = 120


def _column(values, dtype):
    return np.array(values, dtype=dtype)[:, None]


def _towns(folder, search):
    """Numbers and dates with missing values, categories with some that are rare, three classes, two averaged models."""
    rng = np.random.default_rng(0)
    days = np.datetime64("1965-03-01T07:30", "us") + rng.integers(0, 10**15, ROWS // 2 * 2) * 2
    frame = pd.DataFrame(
        {
            "value": rng.normal(1e6, 10, ROWS),
            "rooms": rng.integers(0, 9, ROWS),
            "town": rng.choice(["Bern", "Chur", "Thun `x`", "a'b"], ROWS),
            "built": pd.Series(days.astype("datetime64[s]")),
            "sold": rng.choice(["no", "yes", "perhaps"], ROWS),
        }
    )
    frame.loc[::7, ["value", "town", "built"]] = None
    frame.to_csv(folder / "towns.csv", index=False)
    task = f"{{csv: {folder / 'towns.csv'}, target: sold, dates: [built]}}"
    run = search(folder, task, **{"training.final": "{ensemble: 2}"})
    moments = frame["built"].to_numpy("datetime64[us]").astype(np.int64)
    arrays = {
        "value_": _column(frame["value"], np.float64),
        "rooms": _column(frame["rooms"], np.float64),
        "town": _column(frame["town"].fillna(""), object),
        "built": moments[:, None],
    }
    return run, arrays


def _words(folder, search):
    """Nothing but categories, and two classes told apart by one logit."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.choice(list("abcd"), ROWS) for name in ("first", "second")})
    frame["late"] = np.where(rng.random(ROWS) < 0.5, "no", "yes")
    frame.to_csv(folder / "words.csv", index=False)
    run = search(folder, f"{{csv: {folder / 'words.csv'}, target: late}}", **{"training.loss": "binary"})
    return run, {name: _column(frame[name], object) for name in ("first", "second")}


def _values(folder, search):
    """An array of numbers, two values to predict, encodings of the numbers."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(ROWS, 3))
    np.savez(folder / "two.npz", x=x, y=np.stack([1e4 + x.sum(axis=1), x[:, 0] * x[:, 1]], axis=1))
    task = f"{{npz: {folder / 'two.npz'}, inputs: x, targets: y}}"
    space = "{architecture: {mlp: {depth: 2, width: 8, numeric: piecewise_linear, norm: layer}}}"
    return search(folder, task, space), {str(place): x[:, [place]] for place in range(3)}


def _diabetes(folder, search):
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).data
    run = search(folder, "diabetes", "{architecture: {mlp: {depth: 0}}}", **{"training.final": "refit"})
    return run, {name: frame[[name]].to_numpy() for name in frame}


def _digits(folder, search, space=CNN):
    from sklearn.datasets import load_digits

    images = load_digits().images.astype(np.uint8)[:, None]
    return search(folder, "{builtin: digits, limit: 200}", space), {"image": images}


def _resnet(folder, search):
    return _digits(folder, search, f"{{architecture: {{resnet: {STAGES}}}}}")


def _convnext(folder, search):
    return _digits(folder, search, f"{{architecture: {{convnext: {STAGES}}}}}")


def _mobilenet(folder, search):
    return _digits(folder, search, f"{{architecture: {{mobilenet: {STAGES}}}}}")


def _vit(folder, search):
    return _digits(folder, search, VIT)


def _icons(folder, search):
    """Colour pictures, which are read as bytes."""
    rng = np.random.default_rng(3)
    for number in range(60):
        path = folder / "icons" / ("bright" if number % 2 else "dark") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 100, (8, 8, 3)).astype(np.uint8) + np.uint8(99 * (number % 2))).save(path)
    run = search(folder, f"{{images: {folder / 'icons'}, size: 8, channels: 3}}", SPEEDNET)
    files = pd.read_parquet(run / "predictions.parquet")["file"]
    pictures = [np.asarray(Image.open(folder / "icons" / file)).transpose(2, 0, 1) for file in files]
    return run, {"image": np.stack(pictures)}


def _arrays(folder, search):
    """Images of floats, flattened."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(ROWS, 3, 5, 4)).astype(np.float32)
    np.savez(folder / "floats.npz", x=x, y=x.mean(axis=(1, 2, 3)) * 100)
    return search(folder, f"{{npz: {folder / 'floats.npz'}, inputs: x, targets: y}}"), {"image": x}


def _module(folder, search):
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).data
    space = "{architecture: {wide: {family: 'examples.own.wide:build', width: 16}}}"
    return search(folder, "wine", space, trust=True), {name: frame[[name]].to_numpy() for name in frame}


def _members(folder, search):
    """Numbers with encodings and categories, several members in one."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"age": rng.normal(40, 10, ROWS), "kind": rng.choice(list("abc"), ROWS)})
    frame["sold"] = np.where(frame["age"] + 9 * (frame["kind"] == "a") > 42, "yes", "no")
    frame.to_csv(folder / "sold.csv", index=False)
    space = "{architecture: {tabm: {members: 4, width: 8, numeric: piecewise_linear}}}"
    run = search(folder, f"{{csv: {folder / 'sold.csv'}, target: sold}}", space)
    return run, {"age": _column(frame["age"], np.float64), "kind": _column(frame["kind"], object)}


def _realmlp(folder, search, space="{architecture: {realmlp: {depth: 2, width: 8, activation: mish}}}"):
    """Numbers, two categories, and so many that they have vectors."""
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(
        {
            "size": rng.lognormal(size=ROWS),
            "new": rng.choice(["no", "yes"], ROWS),
            "town": rng.choice(list("abcdefghijklm"), ROWS),
        }
    )
    frame["price"] = 10 * frame["size"] + (frame["new"] == "yes")
    frame.to_csv(folder / "price.csv", index=False)
    run = search(folder, f"{{csv: {folder / 'price.csv'}, target: price}}", space)
    arrays = {"size": _column(frame["size"], np.float64)}
    return run, arrays | {name: _column(frame[name], object) for name in ("new", "town")}


def _ft_transformer(folder, search):
    return _realmlp(folder, search, "{architecture: {ft_transformer: {depth: 1, heads: 2, head_width: 4}}}")


def _periodic(folder, search):
    return _realmlp(folder, search, "{architecture: {mlp: {depth: 1, width: 8, numeric: periodic}}}")


NAMES = {"onnx": "model.onnx", "torch": "model.pt2"}
KINDS = [_towns, _words, _values, _diabetes, _digits, _icons, _arrays, _module]
NETWORKS = [_resnet, _convnext, _mobilenet, _vit, _members, _realmlp, _ft_transformer, _periodic]
"""Of these the form that allows less is tried: ONNX has fewer operators, and is traced by torch.export as well."""


@pytest.mark.parametrize("make", [*KINDS, *NETWORKS], ids=lambda make: make.__name__.strip("_"))
def test_the_predictions_of_the_run_come_out(tmp_path, monkeypatch, exporting, make):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    run, arrays = make(tmp_path, exporting.search)
    known = exporting.known(run)
    rows = np.arange(len(known)) if "file" in known else known["index"].to_numpy()
    arrays = {name: array[rows] for name, array in arrays.items()}
    for form in NAMES if make in KINDS else ("onnx",):
        exported = harness.export(run, format=form, out=tmp_path / NAMES[form], trust=True)
        assert exported.difference < 1e-5
        assert not exported.note
        if form == "onnx":
            found = exporting.run_onnx(exported.path, arrays)
            if "label" in found:
                assert found["label"].tolist() == known["predicted_name"].tolist()
            answers = found["probabilities"] if "label" in found else found["value"]
        else:
            answers = _with_torch(exported.path, arrays)
        expected = known.filter(regex="^probability_|^predicted(_[0-9]+)?$").to_numpy()
        expected = expected[:, 1:] if "predicted_name" in known else expected
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-5)
        assert "label" in known or answers.shape == expected.shape
        exec(exporting.code_of(exported.card.read_text()).replace(exported.path.name, str(exported.path)), {})


def _with_torch(path, arrays):
    """Run a program with what its own archive says of its inputs."""
    import json

    more = {"harness.json": ""}
    module = torch.export.load(str(path), extra_files=more).module()
    groups = {}
    for each in json.loads(more["harness.json"])["inputs"]:
        values = arrays[each["name"]]
        if each["dtype"] == "string":
            values = np.array([[1 + each["categories"].index(text) if text else 0] for (text,) in values])
        groups.setdefault(each["dtype"], []).append(values)
    outputs = module(*(torch.from_numpy(np.concatenate(group, axis=1)) for group in groups.values()))
    return outputs[-1].numpy()


BRANCHES = """
from torch import nn

class Branches(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.linear = nn.Linear(features, outputs)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else self.linear(-x)

def build(shape):
    return Branches(*shape.inputs[0].sizes, shape.outputs)
"""


def test_a_module_that_torch_cannot_follow_is_one_error_and_no_file(tmp_path, monkeypatch, exporting):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "branches_for_export.py").write_text(BRANCHES)
    space = "{architecture: {mine: {family: 'branches_for_export:build'}}}"
    run = exporting.search(tmp_path / "runs", "wine", space, trust=True)
    with pytest.raises(InputError, match="is not imported, because that runs its code"):
        harness.export(run, out=tmp_path / "mine.onnx")
    with pytest.raises(InputError, match=r"^architecture mine: torch\.export cannot follow it") as error:
        harness.export(run, out=tmp_path / "mine.onnx", trust=True)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("mine*"))
    exported = harness.export(run, format="safetensors", out=tmp_path / "mine.safetensors")
    assert exported.samples == 0


def test_without_the_data_made_up_samples_are_compared(tmp_path, exporting):
    (tmp_path / "data").mkdir()
    run, _ = _words(tmp_path / "data", exporting.search)
    (tmp_path / "data" / "words.csv").unlink()
    exported = harness.export(run, format="torch", out=tmp_path / "words.pt2")
    assert (exported.samples, exported.difference < 1e-5) == (64, True)
    assert "words.csv" in exported.note
    assert "| share of missing values | not measured: " in exported.card.read_text()
