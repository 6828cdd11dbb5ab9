"""Exports of series, forecasts, texts, sounds and labels give the predictions of the run, from inputs made by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile

import harness

pytestmark = pytest.mark.slow
NAMES = {"onnx": "model.onnx", "torch": "model.pt2"}
GRU = "{architecture: {gru: {width: 8, pooling: attention}}}"
NETWORK = "{architecture: {dlinear: {kernel: 5}}}"
ROWS = 80


def inputs_of(path, form):
    """Return what a file says of its inputs."""
    if form == "onnx":
        import onnxruntime

        return json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["inputs"])
    more = {"harness.json": ""}
    torch.export.load(str(path), extra_files=more)
    return json.loads(more["harness.json"])["inputs"]


def run_torch(path, arrays):
    *codes, answers = torch.export.load(str(path)).module()(*(torch.from_numpy(array) for array in arrays.values()))
    return {"code": codes[0].numpy() if codes else None, "answers": answers.numpy()}


@pytest.fixture
def compare(tmp_path, exporting):
    """Return a function that exports a run and compares it with what the run predicted of its test samples."""

    def compare(run, arrays_of, form):
        exported = harness.export(run, format=form, out=tmp_path / NAMES[form])
        assert exported.difference < 1e-5
        assert exported.samples > 0
        assert not exported.note
        (given,) = inputs_of(exported.path, form)
        known = exporting.known(run)
        arrays = {given["name"]: arrays_of(known, given)}
        assert list(arrays[given["name"]].shape[1:]) == given["shape"][1:]
        classes = "predicted_name" in known
        told = ("probability_",) if classes else ("low_", "predicted_", "high_")
        parts = [known.filter(regex=f"^{each}").to_numpy(np.float64) for each in told]
        parts = [part for part in parts if part.size]
        expected = np.stack(parts, axis=2).reshape(len(known), -1)
        if form == "onnx":
            found = exporting.run_onnx(exported.path, arrays)
            answers = found["probabilities"] if classes else found["value"]
            if classes:
                assert found["label"].tolist() == known["predicted_name"].tolist()
        else:
            answers = run_torch(exported.path, arrays)["answers"]
        np.testing.assert_allclose(answers, expected, rtol=2e-5, atol=2e-5)
        code = exporting.code_of(exported.card.read_text())
        exec(code.replace(exported.path.name, str(exported.path)), {})
        return exported.card.read_text()

    return compare


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("shortest", [6, 12], ids=["of several lengths", "of one length"])
def test_series(tmp_path, exporting, compare, shortest, form):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, ROWS)
    steps = np.arange(12)
    x = np.sin(steps[:, None] * (1 + classes[:, None, None])) * [1.0, 1e3] + rng.normal(size=(ROWS, 12, 2))
    lengths = rng.integers(shortest, 13, ROWS)
    lengths[0] = 12
    x[steps >= lengths[:, None]] = np.nan
    np.savez(tmp_path / "series.npz", x=x, y=classes)
    task = f"{{npz: {tmp_path / 'series.npz'}, inputs: x, targets: y, as: series}}"
    run = exporting.search(tmp_path / "runs", task, GRU)
    text = compare(run, lambda known, _: x[known["index"]], form)
    assert "with NaN behind the end" in text


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("more", ["", "quantiles: [0.1, 0.5, 0.9], transform: log, "], ids=["values", "quantiles"])
def test_forecasts(tmp_path, exporting, compare, more, form):
    rng = np.random.default_rng(1)
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    frame = pd.DataFrame({"day": days, "rain": rng.normal(size=120), "shop": rng.integers(0, 2, 120)})
    frame["sold"] = np.exp(3 + np.sin(np.arange(120) * 2 * np.pi / 7) + 0.3 * frame["shop"])
    frame.to_csv(tmp_path / "sold.csv", index=False)
    columns = "target: sold, past: [rain], known: [shop], horizon: 4, window: 14"
    task = f"{{forecast: {tmp_path / 'sold.csv'}, time: day, {more}{columns}}}"
    run = exporting.search(tmp_path / "runs", task, NETWORK)

    def windows(known, given):
        assert given["channels"] == ["sold", "rain", "shop", "shop ahead"]
        assert given["horizon"] == 4
        firsts = np.searchsorted(days, pd.to_datetime(known["time"]))
        past = [frame[["sold", "rain", "shop"]].to_numpy()[first - 14 : first] for first in firsts]
        ahead = [frame[["shop"]].to_numpy()[first + 4 - 14 : first + 4] for first in firsts]
        return np.concatenate([np.stack(past), np.stack(ahead)], axis=2)

    compare(run, windows, form)


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("tokeniser", ["words", "bpe"])
def test_texts(tmp_path, exporting, compare, tokeniser, form):
    from tokenizers import Tokenizer

    rng = np.random.default_rng(2)
    words = {"late": ["train", "waits", "rain"], "early": ["sun", "bird", "train"]}
    names = rng.choice(list(words), ROWS)
    texts = [" ".join(rng.choice(words[name], rng.integers(1, 9))) for name in names]
    texts[:4] = ["", "  ", "Unseen Wörter ☃!", "TRAIN " * 40]
    pd.DataFrame({"said": texts, "when": names}).to_csv(tmp_path / "said.csv", index=False)
    reading = f"tokeniser: {tokeniser}, vocabulary: 300, length: 16"
    task = f"{{csv: {tmp_path / 'said.csv'}, text: said, target: when, {reading}}}"
    run = exporting.search(tmp_path / "runs", task, GRU)

    def codes(known, given):
        tokenizer = Tokenizer.from_str(given["tokenizer"])
        return np.array([tokenizer.encode(texts[row]).ids for row in known["index"]])

    compare(run, codes, form)


@pytest.mark.parametrize("form", NAMES)
def test_sounds(tmp_path, exporting, compare, form):
    rng = np.random.default_rng(3)
    for name, frequency in {"high": 1500, "low": 300}.items():
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for number in range(30):
            seconds = np.arange(rng.integers(1200, 2400)) / 8000
            wave = 0.3 * np.sin(2 * np.pi * frequency * seconds) + 0.02 * rng.normal(size=len(seconds))
            wavfile.write(tmp_path / "sounds" / name / f"{number:02d}.wav", 8000, (wave * 32767).astype(np.int16))
    task = f"{{audio: {tmp_path / 'sounds'}, rate: 8000, mels: 16}}"
    run = exporting.search(tmp_path / "runs", task, "{architecture: {cnn: {stages: 1, width: 4}}}")

    def waves(known, given):
        x_NL = np.zeros((len(known), given["shape"][1]), np.float32)
        for row, file in enumerate(known["file"]):
            wave = wavfile.read(tmp_path / "sounds" / file)[1].astype(np.float32) / 32768
            x_NL[row, : len(wave)] = wave[: x_NL.shape[1]]
        return x_NL

    compare(run, waves, form)


def test_labels(tmp_path, exporting):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)), columns=["a", "b", "c"])
    frame["hot"], frame["wet"] = (frame["a"] > 0).astype(int), (frame["b"] + frame["c"] > 0).astype(int)
    frame.to_csv(tmp_path / "labels.csv", index=False)
    run = exporting.search(
        tmp_path / "runs", f"{{csv: {tmp_path / 'labels.csv'}, target: [hot, wet], kind: multilabel}}"
    )
    exported = harness.export(run, out=tmp_path / "labels.onnx")
    known = exporting.known(run)
    rows = frame.iloc[known["index"]]
    found = exporting.run_onnx(exported.path, {name: rows[[name]].to_numpy() for name in "abc"})
    np.testing.assert_allclose(found["value"], known[["predicted_hot", "predicted_wet"]], rtol=1e-5, atol=1e-6)
