"""Sounds as data: recordings of every kind of WAV, spectrograms against numpy's, voices kept together."""

from __future__ import annotations

import json
import re
import struct
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from harness.data import check_preprocessing, load, place, prepare
from harness.data.sounds import frames_of, log_mel, mel_bands
from harness.data.sources.audio_file import read_wave
from harness.errors import DataError, HardwareError
from harness.spec.audio import AudioTask
from harness.spec.task import parse_task
from harness.spec.training import Augment

RATE = 8000


def tone(frequency, seconds=0.25, rate=RATE, loud=0.5):
    return loud * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path, wave, rate=RATE, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    wavfile.write(path, rate, (wave * scale).astype(dtype))
    return path


def write_24_bits(path, wave):
    levels = (wave * (2**23 - 1)).astype(np.int32)
    data = b"".join(int(level).to_bytes(3, "little", signed=True) for level in levels)
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        RATE,
        3 * RATE,
        3,
        24,
        b"data",
        len(data),
    )
    path.write_bytes(head + data)
    return path


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Low and high tones of six voices, each a little off the others."""
    folder = tmp_path_factory.mktemp("calls")
    rng = np.random.default_rng(0)
    for name, frequency in (("high", 1600), ("low", 400)):
        for voice in range(6):
            for number in range(5):
                wave = tone(frequency * (1 + 0.03 * voice), 0.2 + 0.01 * number) + rng.normal(
                    0, 0.01, round((0.2 + 0.01 * number) * RATE)
                )
                write(folder / name / f"voice{voice}_{number}.wav", wave)
    return folder


@pytest.fixture(scope="module")
def dataset(calls):
    return load(AudioTask(audio=calls, rate=RATE, split={"group": r"voice\d+", "test": 0.3}), seed=0)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_levels_are_shares_of_the_range_whatever_the_format(dtype, tmp_path):
    wave = tone(440)
    assert read_wave(write(tmp_path / "x.wav", wave, dtype=dtype), RATE) == pytest.approx(wave, abs=1e-4)


def test_8_and_24_bits_and_several_channels_are_read(tmp_path):
    wave = tone(440)
    wavfile.write(tmp_path / "x.wav", RATE, np.round(wave * 127 + 128).astype(np.uint8))
    assert read_wave(tmp_path / "x.wav", RATE) == pytest.approx(wave, abs=1e-2)
    assert read_wave(write_24_bits(tmp_path / "y.wav", wave), RATE) == pytest.approx(wave, abs=1e-6)
    both = np.stack([wave, 0.5 * wave], axis=1)
    assert read_wave(write(tmp_path / "z.wav", both, dtype=np.float32), RATE) == pytest.approx(0.75 * wave, abs=1e-6)


@pytest.mark.parametrize("rate", [4000, 16_000, 11_025])
def test_a_tone_stays_the_tone_at_another_rate(rate, tmp_path):
    wave = read_wave(write(tmp_path / "x.wav", tone(440, 1.0)), rate)
    assert len(wave) == pytest.approx(rate, abs=1)
    inner = slice(len(wave) // 4, 3 * len(wave) // 4)
    assert wave[inner] == pytest.approx(tone(440, 1.0, rate)[: len(wave)][inner], abs=5e-3)


def test_bands_are_triangles_on_the_mel_scale():
    bands = mel_bands(RATE, 1024, 20)
    frequencies = np.linspace(0, RATE / 2, 513)
    mels = 1127.0 * np.log1p(frequencies / 700.0)  # the same scale by natural logarithms: 2595 / ln 10
    step = 1127.0 * np.log1p(RATE / 2 / 700.0) / 21
    for number, band in enumerate(bands):
        inside = np.flatnonzero(band)
        assert number * step < mels[inside[0]] < mels[inside[-1]] < (number + 2) * step
        assert abs(mels[band.argmax()] - (number + 1) * step) < 0.2 * step
        rising = band[inside[0] : band.argmax()]
        assert np.diff(rising, 2) == pytest.approx(0, abs=1e-5)
    within = (mels > step) & (mels < 20 * step)
    assert bands.sum(axis=0)[within] == pytest.approx(1.0, abs=1e-5), "each frequency is shared by two bands"


def test_a_spectrogram_is_what_numpy_has_of_each_frame():
    wave = tone(1000) + tone(300, loud=0.2)
    found = log_mel([wave.astype(np.float32)], rate=RATE, samples=len(wave), mels=20)[0, 0]
    window, hop, size = 200, 80, 256
    hann = np.zeros(size)
    hann[(size - window) // 2 : (size + window) // 2] = np.hanning(window + 1)[:-1]
    padded = np.pad(wave, size // 2)
    frames = np.stack([padded[start : start + size] * hann for start in range(0, len(wave) + 1, hop)])
    power = np.abs(np.fft.rfft(frames)) ** 2 @ mel_bands(RATE, size, 20).T
    assert found.shape == (20, frames_of(len(wave), RATE))
    assert found == pytest.approx(np.log(np.maximum(power.T, 1e-6)), abs=1e-3)


def test_a_model_is_called_with_standardised_images_of_one_size(dataset):
    (image,) = dataset.shape.inputs
    assert (image.kind, image.sizes) == ("image", (1, 40, frames_of(dataset.preprocessing["samples"], RATE)))
    x_N1MF = dataset.train.tensors("cpu")[0].numpy()
    assert (x_N1MF.mean(), x_N1MF.std()) == pytest.approx((0.0, 1.0), abs=1e-3)
    bands = x_N1MF[:, 0, :, :20].mean(axis=2).argmax(axis=1)
    high = dataset.train.targets == dataset.class_names.index("high")
    assert bands[high].min() > bands[~high].max()


def test_voices_of_the_test_part_are_heard_nowhere_else(dataset):
    dataset.open_test()
    tested = {re.search(r"voice\d", name)[0] for name in dataset.describe_test()["file"]}
    assert 0 < len(tested) < 6
    names = sorted(
        f"{name}/voice{voice}_{number}.wav" for name in ("high", "low") for voice in range(6) for number in range(5)
    )
    for part in ("train", "validation"):
        assert not tested & {re.search(r"voice\d", names[row])[0] for row in dataset.split_index[part]}


def test_preprocessing_is_plain_data_and_new_sounds_come_to_the_same(dataset, calls):
    again = json.loads(json.dumps(dataset.preprocessing))
    check_preprocessing(again)
    test = dataset.open_test()
    raw = dataset.raw_test(np.arange(len(test)))
    files = [calls / name for name in dataset.describe_test()["file"]]
    for form in (raw, files, list(raw.waves)):
        found = prepare(again, form)
        assert np.array_equal(found.inputs[0], test.inputs[0])
        assert found.normalise == test.normalise


def test_seconds_are_as_said_or_what_nearly_all_have(calls, dataset):
    assert dataset.preprocessing["samples"] == round(0.24 * RATE)
    said = load(AudioTask(audio=calls, rate=RATE, seconds=0.21), seed=0)
    assert said.preprocessing["samples"] == round(0.21 * RATE)
    assert any(
        re.search(r"are heard for 0\.21 s; \d+\.\d% of those of training are longer, and are cut$", each)
        for each in said.notes
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF", "is no recording that can be read"),
        (b"", "is no recording that can be read"),
        (b"no sound at all, but text", "is no recording that can be read"),
        ("cut", "is no recording that can be read"),
        (np.zeros(0), "holds no sound; remove it"),
        (np.array([0.0, np.nan, 1.0]), "holds NaN or infinite values"),
    ],
    ids=str,
)
def test_files_that_hold_no_sound_are_told(content, message, tmp_path):
    path = tmp_path / "x.wav"
    if isinstance(content, np.ndarray):
        write(path, content, dtype=np.float32)
    else:
        path.write_bytes(write(path, tone(440)).read_bytes()[:30] if content == "cut" else content)
    with pytest.raises(DataError, match=rf"x\.wav: {message}") as raised:
        read_wave(path, RATE)
    assert "\n" not in str(raised.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_a_sound_or_one_line(data, tmp_path):
    content = bytearray(write(tmp_path / "x.wav", tone(440, 0.01)).read_bytes())
    for number in data.draw(st.lists(st.integers(0, 60), max_size=4)):
        content[number] = data.draw(st.integers(0, 255))
    (tmp_path / "x.wav").write_bytes(bytes(content)[: data.draw(st.integers(0, len(content)))])
    try:
        wave = read_wave(tmp_path / "x.wav", RATE)
    except DataError as error:
        wave, said = np.ones(1), str(error)
    else:
        said = ""
    assert "\n" not in said
    assert wave.ndim == 1
    assert len(wave)


def test_flac_needs_a_library_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(HardwareError, match=r"FLAC or Ogg needs the package soundfile.*harness-automl\[audio\]"):
        read_wave(tmp_path / "x.flac", RATE)


def test_flac_is_read_as_wav_is(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    wave = tone(440)
    soundfile.write(tmp_path / "x.flac", wave, RATE, subtype="PCM_24")
    assert read_wave(tmp_path / "x.flac", RATE) == pytest.approx(wave, abs=1e-6)
    (tmp_path / "y.flac").write_bytes(b"fLaC and no more")
    with pytest.raises(DataError, match=r"y\.flac: is no recording that can be read"):
        read_wave(tmp_path / "y.flac", RATE)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("x.wav", "raw samples are a single path; give a list of recordings"),
        ([np.zeros((3, 2))], "must be arrays of finite numbers, one channel at 8,000 samples a second"),
        ([np.zeros(0)], "must be arrays of finite numbers"),
    ],
)
def test_what_is_no_sound_is_refused(raw, message, dataset):
    with pytest.raises(DataError, match=message):
        prepare(dataset.preprocessing, raw)


def test_silence_and_paths_without_a_voice_are_refused(tmp_path, calls):
    for number in range(24):
        write(tmp_path / "ab"[number % 2] / f"{number}.wav", np.zeros(1000))
    with pytest.raises(DataError, match="every training recording is silent"):
        load(AudioTask(audio=tmp_path, rate=RATE), seed=0)
    with pytest.raises(DataError, match=r"split\.group 'speaker' finds nothing in 'high/voice0_0\.wav'"):
        load(AudioTask(audio=calls, split={"group": "speaker"}), seed=0)
    with pytest.raises(ValueError, match=r"split\.group is no regular expression"):
        parse_task({"audio": "x", "split": {"group": "("}})


@pytest.mark.parametrize("damage", [{"rate": 0}, {"samples": 10**12}, {"mels": -1}, {"mean": "x"}], ids=str)
def test_damaged_preprocessing_is_refused(damage, dataset):
    with pytest.raises(ValueError, match="validation error"):
        check_preprocessing({**dataset.preprocessing, **damage})


def test_frames_and_bands_of_sounds_are_masked_in_training(dataset):
    options = {"device": torch.device("cpu"), "batch_size": 8, "seed": 0, "shuffle": True}
    plain, masked = (
        next(iter(place(dataset.train, **options, augment=augment).epoch(1))).inputs[0]
        for augment in (None, Augment(time_mask=0.5, frequency_mask=0.5, masks=2))
    )
    blank = masked != plain
    assert bool((masked[blank] == 0).all())
    whole = blank.all(2, keepdim=True) | blank.all(3, keepdim=True)
    assert 0.2 < float(blank.float().mean()) < 0.8
    assert torch.equal(blank, whole.expand_as(blank))
    with pytest.raises(DataError, match=r"augment\.jitter needs series that are not forecast"):
        place(dataset.train, **options, augment=Augment(jitter=0.1))
