"""New recordings come to what the run predicted of them; spoken words are told apart in voices that were not heard."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

import harness
from harness.errors import InputError
from harness.prediction import predict_file

RATE = 8000
WORDS = ("yes", "no", "stop", "go", "left", "right", "seven", "water")
VOICES = [
    "m1",
    "m2",
    "m3",
    "m4",
    "m5",
    "m6",
    "m7",
    "m8",
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "adam",
    "david",
    "edward",
    "john",
    "linda",
    "michael",
    "paul",
    "pedro",
    "robert",
    "steph",
    "zac",
]
PITCHES, SPEEDS = (35, 65), (140, 180)


@pytest.fixture(scope="module")
def tones(tmp_path_factory, train):
    """A run on low and high tones, some of them called by the other's name, and the folder."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for number in range(60):
        frequency = rng.choice([400, 1600])
        name = "high" if (frequency > 1000) != (number % 10 == 0) else "low"
        wave = np.sin(2 * np.pi * frequency * np.arange(1200 + 10 * number) / RATE) + rng.normal(
            0, 0.1, 1200 + 10 * number
        )
        path = folder / "tones" / name / f"{number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, RATE, (3000 * wave).astype(np.int16))
    task = f"{{audio: {folder / 'tones'}, rate: {RATE}, mels: 16, split: {{test: 0.4}}}}"
    return train(folder, task, epochs=4, space="{architecture: {cnn: {stages: 1, width: 8}}}"), folder / "tones"


def test_a_folder_of_recordings_is_predicted_as_in_the_run(tones, tmp_path):
    run, folder = tones
    known, model = pd.read_parquet(run / "predictions.parquet"), harness.load(run, device="cpu")
    predict_file(model, folder, tmp_path / "told.csv", proba=True, rows=7)
    found = pd.read_csv(tmp_path / "told.csv").set_index("file").loc[list(known["file"])]
    assert list(found["prediction"]) == list(known["predicted_name"])
    np.testing.assert_allclose(found["probability_low"], known["probability_1"], atol=1e-5)
    assert list(model.predict([folder / name for name in known["file"][:3]])) == list(known["predicted_name"][:3])
    with pytest.raises(InputError, match="is no folder, and the model takes recordings"):
        predict_file(model, folder / known["file"][0], tmp_path / "more.csv")


def test_the_report_has_pictures_of_what_was_heard_wrong(tones):
    run, _ = tones
    mistakes = json.loads((run / "stats.json").read_text())["test"]["mistakes"]
    assert mistakes
    assert all(each["picture"].startswith("iVBOR") for each in mistakes), "a PNG"


def speak(folder):
    """Say each word in each voice at several pitches and speeds."""

    def say(word, voice, pitch, speed):
        path = folder / word / f"{voice}_{pitch}_{speed}.wav"
        said = ["espeak-ng", "-v", f"en+{voice}", "-p", str(pitch), "-s", str(speed), "-w", str(path), word]
        subprocess.run(said, check=True, capture_output=True)

    for word in WORDS:
        (folder / word).mkdir(parents=True)
    ways = [(w, v, p, s) for w in WORDS for v in VOICES for p in PITCHES for s in SPEEDS]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda way: say(*way), ways))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_words_are_told_apart_in_voices_that_were_not_heard(tmp_path, train):
    folder = speak(tmp_path / "words")
    split = "{group: '/(.+)_.*_', test: 0.2, validation: 0.1}"
    task = f"{{audio: {folder}, rate: {RATE}, mels: 32, split: {split}}}"
    space = """{
        architecture: {cnn: {stages: 3, width: 16, norm: batch, global_pooling: average}},
        optimizer: {adamw: {lr: 5e-3, weight_decay: 1e-2}},
        schedule: {cosine: {warmup_epochs: 1}},
        batch_size: 16,
    }"""
    run = train(tmp_path, task, epochs=12, space=space, augment="{shift: 0.1}")
    known = pd.read_parquet(run / "predictions.parquet")
    voices = set(known["file"].str.extract(r"/(.+)_.*_")[0])
    assert 3 <= len(voices) <= 6
    assert (known["predicted"] == known["target"]).mean() >= 0.95
