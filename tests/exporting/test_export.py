"""``harness export`` of a run of wine: what is written computes what the run computed, and nothing else is touched."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

import harness
from harness.cli import main
from harness.errors import HardwareError, InputError, StorageError
from harness.exporting import raw_model
from harness.problems import deciding

ALONE = """
import sys
for name in ("torch", "harness", "pandas", "sklearn"):
    sys.modules[name] = None
exec(sys.stdin.read())
"""


@pytest.fixture(scope="module")
def onnx(wine, tmp_path_factory):
    return harness.export(wine, out=tmp_path_factory.mktemp("onnx") / "wine.onnx")


def test_onnx_gives_the_predictions_of_the_run_in_any_batch(onnx, wine, wine_rows, exporting):
    known = exporting.known(wine)
    rows = known["index"].to_numpy()
    found = exporting.run_onnx(onnx.path, wine_rows, rows)
    assert found["label"].tolist() == known["predicted_name"].tolist()
    probabilities = known.filter(like="probability_").to_numpy()
    assert found["probabilities"].dtype == np.float32
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
    alone = exporting.run_onnx(onnx.path, wine_rows, rows[:1])
    np.testing.assert_allclose(alone["probabilities"], probabilities[:1], atol=1e-5)
    assert exporting.run_onnx(onnx.path, wine_rows, rows[:0])["label"].shape == (0,)
    assert onnx.samples > len(rows)
    assert onnx.difference < 1e-5
    assert not onnx.note


@pytest.mark.parametrize("threshold", [None, 0.3, float(np.float32(0.3)), float(np.nextafter(np.float32(0.3), 0)), 1.0])
def test_a_traced_decision_is_that_of_predict(threshold):
    second = np.linspace(0, 1, 1001, dtype=np.float32)
    second[500] = np.float32(0.3)
    probabilities = np.stack([1 - second, second], axis=1)
    found = raw_model.decide(torch.from_numpy(probabilities), threshold)
    assert np.array_equal(found.numpy(), deciding.decide(probabilities, threshold))


def test_the_file_says_what_it_is(onnx, wine):
    import onnx as package

    model = package.load(onnx.path)
    facts = {each.key: each.value for each in model.metadata_props}
    assert (model.producer_name, model.producer_version) == ("harness", harness.__version__)
    assert json.loads(facts["class_names"]) == ["class_0", "class_1", "class_2"]
    sealed = json.loads((wine / "manifest.json").read_text())["files"]
    assert json.loads(facts["sha256"])["model.safetensors"] == sealed["best/model.safetensors"]
    assert [each.name for each in model.graph.input][:2] == ["alcohol", "malic_acid"]
    assert [each.name for each in model.graph.output] == ["label", "probabilities"]


def test_the_code_of_the_card_runs_without_torch_and_harness(onnx, wine, exporting):
    code = exporting.code_of(onnx.card.read_text())
    done = subprocess.run(
        [sys.executable, "-c", ALONE], input=code, cwd=onnx.path.parent, capture_output=True, text=True, check=True
    )
    usual = {each["column"]: [each["median"], None] for each in harness.load(wine).preprocessing["numeric"]}
    assert done.stdout.startswith(str(harness.load(wine).predict(pd.DataFrame(usual))))


def test_the_card_says_what_the_run_found(onnx, wine):
    card = onnx.card.read_text()
    stats = json.loads((wine / "stats.json").read_text())
    assert stats["task"]["fingerprint"] in card
    assert f"accuracy {stats['test']['metrics']['accuracy']:.4f} (95 % interval" in card
    assert "| alcohol | float64 | N x 1 | 0.0 % | 11." in card
    assert "not measured: the device is cpu" in card
    assert "| licence of the data | unknown |" in card


def test_the_weights_carry_all_that_the_run_says_of_them(wine, tmp_path, exporting, monkeypatch, capsys):
    exported = harness.export(wine, format="safetensors", out=tmp_path / "wine.safetensors")
    with safe_open(exported.path, framework="np") as file:
        header = file.metadata()
    known = load_file(wine / "best" / "model.safetensors")
    found = load_file(exported.path)
    assert all(np.array_equal(found[name], known[name]) for name in known)
    assert json.loads(header["candidate"])["architecture"] == {"mlp": {"depth": 1, "width": 8}}
    assert json.loads(header["preprocessing"]) == harness.load(wine).preprocessing
    monkeypatch.chdir(tmp_path)
    exec(exporting.code_of(exported.card.read_text()), {})
    assert "{'mlp': {'depth': 1, 'width': 8}}" in capsys.readouterr().out


def test_the_command_prints_the_paths_and_replaces_only_by_force(wine, tmp_path, monkeypatch, capsys):
    out = tmp_path / "CARD.md"

    def call(*options):
        words = ["harness", "export", str(wine), "--format", "card", "--out", str(out), *options]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    code, said = call()
    assert (code or 0, said.out) == (0, f"{out}\n")
    out.write_text("mine")
    code, said = call()
    assert (code, out.read_text()) == (2, "mine")
    assert said.err == f"harness: error: {out}: exists already; name another file, or replace it with --force\n"
    code, said = call("--force", "--json")
    assert json.loads(said.out)["difference"] is None
    assert out.read_text().startswith("# Model card: wine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CARD.md"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"format": "onxx"}, "--format onxx: unknown; did you mean 'onnx'?"),
        ({"format": "torch"}, "opens files that end in .pt2; name it wine.pt2"),
        ({"out": "none/wine.onnx"}, "there is no folder none; make it first"),
        ({"out": "."}, "is a folder; name a file in it"),
        ({"out": "RUN/best/wine.onnx"}, "is in a run folder, whose files are sealed; name a file elsewhere"),
        ({"out": "RUN/wine.onnx"}, "is in a run folder"),
        ({"model": "bset"}, "has no model 'bset'; did you mean 'best'?"),
        ({"out": "taken.onnx"}, r"taken.onnx.md: exists already"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(wine, tmp_path, monkeypatch, asked, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.onnx.md").touch()
    before = sorted(wine.rglob("*"))
    asked = {"out": "wine.onnx", **asked}
    with pytest.raises(InputError) as error:
        harness.export(wine, **asked | {"out": asked["out"].replace("RUN", str(wine))})
    assert message in str(error.value)
    assert sorted(wine.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["taken.onnx.md"]


def test_a_run_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such run; `harness runs` lists those"):
        harness.export(tmp_path / "none", out=tmp_path / "none.onnx")


def test_a_missing_package_is_told_before_any_work(wine, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(HardwareError, match=r"needs the package onnxscript.*pip install 'harness-automl\[onnx\]'"):
        harness.export(wine, out=tmp_path / "wine.onnx")


@pytest.mark.parametrize("out", ["wine.pt2", "wine.safetensors"])
def test_a_damaged_run_writes_nothing(wine, tmp_path, out):
    shutil.copytree(wine, tmp_path / "run")
    (tmp_path / "run" / "best" / "model.safetensors").write_bytes(b"torn")
    form = {"wine.pt2": "torch"}.get(out, "safetensors")
    with pytest.raises(StorageError, match=r"model\.safetensors: cannot be loaded"):
        harness.export(tmp_path / "run", format=form, out=tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_model_that_came_out_otherwise_is_not_written(wine, tmp_path, monkeypatch):
    from harness.errors import HarnessError
    from harness.exporting import check

    right = check.reference

    def wrong(*arguments):
        known = right(*arguments)
        return known._replace(values=known.values + 2e-5)

    monkeypatch.setattr(check, "reference", wrong)
    with pytest.raises(HarnessError, match=r"differs from the run's by 2e-05"):
        harness.export(wine, format="torch", out=tmp_path / "wine.pt2")
    assert not list(tmp_path.iterdir())


def test_the_card_of_another_model_says_whose_scores_it_shows(wine, tmp_path):
    shutil.copytree(wine, tmp_path / "run")
    shutil.copytree(wine / "best", tmp_path / "run" / "full")
    exported = harness.export(tmp_path / "run", format="card", out=tmp_path / "full.md", model="full")
    card = exported.card.read_text()
    assert "it has no score of its own. What follows is of best/, whose scores stand for it." in card
    assert "model='full')" in card
    best = harness.export(wine, format="card", out=tmp_path / "best.md")
    assert "no score of its own" not in best.card.read_text()
