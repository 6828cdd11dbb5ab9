"""``harness.load``: raw rows are predicted as the run predicted its test samples, from ``best/`` alone."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits, load_wine

import harness
from harness.errors import DataError, InputError, StorageError

pytestmark = pytest.mark.usefixtures("without_charts")

ROWS = 90


def search(folder, space="{architecture: {mlp: {depth: 1, width: 12}}}", /, **options):
    overrides = [
        f"space={space}",
        "search.first=[]",
        "search.baselines=false",
        "search.checks=false",
        "budget={epochs: 3}",
        "training.precision=fp32",
    ]
    trust = options.pop("trust", False)
    overrides += [f"{name.replace('__', '.')}={value}" for name, value in options.items()]
    return harness.search(
        "tabular", overrides=overrides, trials=1, out=folder, device="cpu", workers=0, deterministic=True, trust=trust
    )


def expected(run):
    """What the run predicted, with the positions of its test samples in what was read."""
    return pd.read_parquet(run / "predictions.parquet")


def probabilities(frame):
    return frame.filter(like="probability_").to_numpy()


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    """A run of a table as people write it, and its rows as text."""
    folder = tmp_path_factory.mktemp("towns")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": [f"{n % 13},{n % 10}5" for n in range(ROWS)],
            "rooms": rng.integers(1, 6, ROWS).astype(str),
            "town": rng.choice(["Bern", "Chur", "Thun", ""], ROWS),
            "built": [f"{1 + n % 28}/{1 + n % 12}/20{10 + n % 9}" for n in range(ROWS)],
            "price": [f"{(1 + n % 7) * 1111:,} €".replace(",", ".") for n in range(ROWS)],
            "id": [f"x{n}" for n in range(ROWS)],
            "sold": rng.choice(["no", "yes"], ROWS),
        }
    )
    frame.loc[[3, 30], "area"] = ""
    frame.to_csv(folder / "towns.csv", sep=";", index=False)
    task = f"{{csv: {folder / 'towns.csv'}, target: sold, dates: [built], drop: [id], categorical: [rooms]}}"
    return search(folder, task=task, training__final="{ensemble: 2}").run, frame


@pytest.mark.slow
def test_raw_rows_of_a_messy_table_are_predicted_as_in_the_run(towns):
    run, frame = towns
    model, known = harness.load(run, device="cpu"), expected(run)
    raw = frame.drop(columns=["id"]).iloc[known["index"]]
    assert np.array_equal(model.predict(raw), known["predicted_name"])
    assert np.array_equal(model.predict_proba(raw), probabilities(known))
    assert model.class_names == ("no", "yes")
    alone = np.concatenate([model.predict_proba(raw.iloc[[row]]) for row in range(len(raw))])
    np.testing.assert_allclose(alone, probabilities(known), atol=1e-6)
    shuffled = raw[list(raw.columns[::-1])].rename(columns={"town": " town "}).drop(columns="sold")
    assert np.array_equal(model.predict_proba(shuffled), probabilities(known))
    assert len(model.predict_proba(raw.iloc[:0])) == 0
    assert len(model.trials) == 1
    assert repr(model) == f"<Predictor of towns: mlp, 2 classes; {run}>"


def test_columns_are_matched_by_name(towns):
    run, frame = towns
    model = harness.load(run, device="cpu")
    with pytest.warns(UserWarning, match="columns that training did not learn from are ignored: 'id', 'more'"):
        model.predict(frame.assign(more=1))
    with pytest.raises(DataError, match=r"column 'built' is missing \(and 2 more: area, town\); did you mean"):
        model.predict(frame[["rooms", "price"]].assign(builds=1))
    raw = frame.drop(columns="id").iloc[[0]]
    unseen, missing = (model.predict_proba(raw.assign(town=town)) for town in ("Genf", None))
    assert np.array_equal(unseen, missing), "both are the unknown category"
    with pytest.raises(DataError, match="column 'price' was numeric in training, and holds 'dear'"):
        model.predict(raw.assign(price="dear"))


def test_only_the_folder_best_is_read_and_it_holds_all_there_is_to_know(towns, tmp_path):
    run, frame = towns
    shutil.copytree(run / "best", tmp_path / "best")
    raw = frame.drop(columns="id").iloc[:9]
    assert np.array_equal(harness.load(tmp_path).predict(raw), harness.load(str(run)).predict(raw))
    saved = json.loads((run / "best" / "candidate.json").read_text())
    assert saved["versions"] == {"harness": harness.__version__, "torch": torch.__version__, "numpy": np.__version__}
    assert saved["plan"]["precision"] == "fp32"
    fitted = json.loads((run / "best" / "preprocessing.json").read_text())
    assert fitted["reading"]["price"] == {"role": "numbers", "decimal": ",", "unit": "€"}
    assert fitted["reading"]["built"] == {"role": "dates", "day_first": True}
    assert fitted["reading"]["rooms"] == {"role": "categories", "whole": True}
    assert fitted["target"] == {"name": "sold", "classes": ["no", "yes"]}


@pytest.mark.parametrize("name", ["wine", "diabetes", "digits"])
def test_raw_samples_of_a_built_in_task_are_predicted_as_in_the_run(name, tmp_path):
    run = search(tmp_path, task=f"{{builtin: {name}, limit: 100}}", training__final="keep").run
    model, known = harness.load(run), expected(run)
    if name == "digits":
        raw = load_digits().images[known["index"]].astype(np.uint8)
    else:
        found = load_wine(as_frame=True) if name == "wine" else load_diabetes(as_frame=True, scaled=False)
        found.frame.iloc[known["index"]].to_csv(tmp_path / "rows.csv", index=False)
        raw = pd.read_csv(tmp_path / "rows.csv")
    if name == "diabetes":
        np.testing.assert_array_equal(model.predict(raw), known["predicted"])
        with pytest.raises(InputError, match="predicts values, of which there are no probabilities"):
            model.predict_proba(raw)
    else:
        assert np.array_equal(model.predict(raw), known["predicted_name"])
        assert np.array_equal(model.predict_proba(raw), probabilities(known))
    if name == "wine":
        array = raw.drop(columns="target").to_numpy()
        assert np.array_equal(model.predict_proba(array), probabilities(known))


def test_image_files_are_read_as_those_of_training_were(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "icons" / ("bright" if number % 2 else "dark") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (9, 7, 4)).astype(np.uint8) + np.uint8(150 * (number % 2))
        Image.fromarray(pixels).save(path)
    task = f"{{images: {tmp_path / 'icons'}, size: 8, channels: 3}}"
    run = search(tmp_path, task=task, training__final="keep").run
    model, known = harness.load(run), expected(run)
    files = [tmp_path / "icons" / file for file in known["file"]]
    assert np.array_equal(model.predict_proba(files), probabilities(known))
    np.testing.assert_allclose(model.predict_proba([str(files[0])]), probabilities(known)[:1], atol=1e-6)
    ground = model.preprocessing["reading"]["background"]
    assert ground in ("white", "black"), "what auto came to for the data set, not for the files of one call"
    with pytest.raises(DataError, match="no such file"):
        model.predict([tmp_path / "none.png"])


MODULE = """
from torch import nn
def build(shape, width=4):
    return nn.Sequential(nn.Linear(*shape.inputs[0].sizes, width), nn.ReLU(), nn.Linear(width, shape.outputs))
"""


def test_a_module_of_ones_own_takes_trust_and_is_told_when_it_changed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_for_load.py").write_text(MODULE)
    run = search(
        tmp_path, "{architecture: {mine: {family: 'own_for_load:build', width: 6}}}", task="wine", trust=True
    ).run
    with pytest.raises(InputError, match="is not imported, because that runs its code"):
        harness.load(run)
    known, raw = expected(run), load_wine(as_frame=True).data
    model = harness.load(run, trust=True)
    assert np.array_equal(model.predict_proba(raw.iloc[known["index"]]), probabilities(known))
    (tmp_path / "own_for_load.py").write_text(MODULE + "# changed\n")
    with pytest.warns(UserWarning, match="own_for_load:build: has changed since the run"):
        harness.load(run, trust=True)


@pytest.mark.parametrize("name", ["candidate.json", "preprocessing.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"candidate": {"architecture": {}}}', pickle.dumps([1]), None])
def test_a_damaged_folder_is_refused_in_one_line(towns, tmp_path, name, content):
    shutil.copytree(towns[0] / "best", tmp_path / "best")
    file = tmp_path / "best" / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(StorageError, match=name) as raised:
        harness.load(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_run_without_a_final_model_says_so(tmp_path):
    with pytest.raises(InputError, match=r"holds no final model \(no folder best/\)"):
        harness.load(tmp_path)
