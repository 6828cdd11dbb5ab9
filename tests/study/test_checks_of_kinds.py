"""Checks of texts, series, sounds and forecasts: each finds the fault that was planted, and none finds another."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile
from scipy.signal import periodogram
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Ridge

from harness.data import given, load
from harness.data.summaries import summaries
from harness.spec import load_spec
from harness.study.checks import samples
from harness.study.checks.classifier import PENALTY, opinion
from harness.study.checks.drift import drift
from harness.study.checks.examine import examine, examine_test

ROWS = 400
SPACE = {"architecture": "mlp"}


def checked(task, data=None, target=None):
    """Return a data set and what was noticed of it, by code, as a search would."""
    source = None if data is None else given(data, target)
    spec = load_spec({"task": {**(source.task if source else {}), **task}, "space": SPACE})
    dataset = load(spec.task, seed=spec.task.split.seed, given=source)
    job = SimpleNamespace(spec=spec, dataset=dataset.training_data())
    examined = examine(job, dataset)
    assert examined.unchecked == ""
    return job, dataset, {each.code: each for each in (*dataset.suspected, *examined.suspicions)}


# Texts

SYLLABLES = ["ka", "lo", "mi", "ner", "sta", "tu", "ver", "zi", "ro", "pen"]
WORDS = [first + second for first in SYLLABLES for second in SYLLABLES]
OWN = {"yes": WORDS[:15], "no": WORDS[15:30]}


def texts(seed=0, rows=ROWS):
    """Return texts of common words, some more often than others, and four words of their class."""
    rng = np.random.default_rng(seed)
    common, weights = WORDS[30:], 1.0 / np.arange(1, len(WORDS) - 29)
    classes = np.resize(["yes", "no"], rows)
    bodies = [
        " ".join(rng.permutation([*rng.choice(common, rng.integers(12, 30), p=weights / weights.sum()),
                                  *rng.choice(OWN[name], 4)]))
        for name in classes
    ]  # fmt: skip
    return pd.DataFrame({"body": bodies, "y": classes})


def reworded(frame):
    """Return a table with the first quarter of its texts once more, in capitals and with another first word."""
    copies = frame[: len(frame) // 4].assign(body=lambda table: "other " + table["body"].str.upper())
    return pd.concat([frame, copies], ignore_index=True).sample(frac=1, random_state=0, ignore_index=True)


def turned(classes, share=0.08, names=("yes", "no")):
    """Return classes some of which are the other one."""
    rows = np.random.default_rng(1).choice(len(classes), round(share * len(classes)), replace=False)
    found = np.array(classes, dtype=object)
    found[rows] = np.where(found[rows] == names[0], names[1], names[0])
    return found


def with_texts(frame, *put):
    """Return a table some of whose texts are others."""
    bodies = frame["body"].to_list()
    for row, text in enumerate(put):
        bodies[10 * row + 3] = text
    return frame.assign(body=bodies)


def odd_texts(frame):
    """Return a table with empty, very short and very long texts, and few of one class."""
    some = with_texts(frame, "...", "?!", "ok", " ".join(WORDS * 20))
    return some[(some["y"] == "no") | (np.arange(len(some)) % 20 == 0)]


TEXTS = {
    "near-copies": reworded,
    "target-leak": lambda frame: frame.assign(body=frame["body"] + np.where(frame["y"] == "yes", " sincerely", " bye")),
    "label-noise": lambda frame: frame.assign(y=turned(frame["y"])),
    "empty, short-texts, outliers, imbalance": odd_texts,
}


def of_texts(frame, **task):
    return checked({"text": "body", **task}, frame, "y")


@pytest.mark.parametrize("codes", TEXTS)
def test_faults_of_texts_are_found_and_nothing_else(codes):
    *_, found = of_texts(TEXTS[codes](texts()))
    assert set(found) == set(codes.split(", "))
    assert all(any(char.isdigit() for char in each.evidence) for each in found.values())
    if codes == "target-leak":
        told = [found[codes].evidence, *found[codes].examples]
        assert any("sincerely" in each and "of class 'yes' and in 0 of 170 others" in each for each in told)


def test_texts_that_change_in_time_are_told_with_their_words():
    frame = texts().assign(day=np.arange(ROWS))
    in_time = {"split": {"order": "day"}}
    assert of_texts(frame, **in_time)[2] == {}
    late = (frame["day"] > 0.7 * ROWS) | (frame["day"] % 20 == 0)
    *_, found = of_texts(frame.assign(body=np.where(late, frame["body"] + " renewed", frame["body"])), **in_time)
    assert set(found) == {"validation-drift"}
    first = found["validation-drift"].examples[0]
    assert "renewed" in first
    assert "in 5 % of training and 95 %" in first  # the others are cut before it


# Series


def series(seed=0, rows=ROWS, steps=60):
    """Return sines of two frequencies, at any phase and with noise, in the second of two channels."""
    rng = np.random.default_rng(seed)
    classes = np.arange(rows) % 2
    angle = np.arange(steps) * (0.3 + 0.3 * classes[:, None]) + rng.uniform(0, 6.28, (rows, 1))
    x_NTC = rng.normal(0, 0.4, (rows, steps, 2))
    x_NTC[:, :, 1] += np.sin(angle)
    return 5.0 + x_NTC, classes


def with_series(x_NTC, rows, values):
    found = x_NTC.copy()
    found[rows] = values(found[rows])
    return found


def gap(x_NTC):
    found = x_NTC.copy()
    found[:, 20:45, 0] = np.nan
    return found


def scaled(x_NTC, y):
    """Return the first quarter of the series once more, in other units and with a little noise."""
    copies = 3.0 * x_NTC[: len(x_NTC) // 4] + 7.0 + np.random.default_rng(2).normal(0, 1e-4, x_NTC[::4].shape)
    order = np.random.default_rng(3).permutation(len(x_NTC) + len(copies))
    return np.concatenate([x_NTC, copies])[order], np.concatenate([y, y[: len(copies)]])[order]


def spiked(x_NTC):
    found = x_NTC.copy()
    found[:, 3, 1] = -999.0
    return found


def odd_series(x, y):
    """Return series of which two stand still, three have gaps, and one has a spike."""
    still = with_series(x, [3, 70], lambda some: np.zeros_like(some) + 5.0)
    return with_series(with_series(still, [5, 9, 11], gap), [33], spiked), y


SERIES = {
    "near-copies": scaled,
    "label-noise": lambda x, y: (x, turned(y, names=(0, 1)).astype(int)),
    "empty, gaps, outliers": odd_series,
}


def of_series(x, y):
    return checked({"as": "series"}, (x, y))


@pytest.mark.parametrize("codes", SERIES)
def test_faults_of_series_are_found_and_nothing_else(codes):
    *_, found = of_series(*SERIES[codes](*series()))
    assert set(found) == set(codes.split(", "))
    if "outliers" in found:
        assert found["outliers"].evidence.startswith("the lowest value of channel '1' has 1 value far")
        assert found["outliers"].examples == ("sample 33: -999",)
        assert found["gaps"].examples == ("sample 5", "sample 9", "sample 11")


def test_other_series_are_told_from_those_of_training_by_figures_that_have_names():
    _, dataset, _ = of_series(*series())
    part = dataset.validation
    assert list(drift(dataset, part, "validation", 0)) == []
    smooth = part.inputs[0].copy()
    smooth[:, 1:, 0] = 0.5 * (smooth[:, 1:, 0] + smooth[:, :-1, 0])
    (found,) = drift(dataset, replace(part, inputs=(smooth,)), "validation", 0)
    assert "autocorrelation at 1 of channel '0'" in found.examples[0]


# Sounds

RATE = 4000


def sounds(seed=0, rows=120):
    """Return tones of two heights in noise, as loud as they come."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(RATE // 8) / RATE
    classes = np.resize(["high", "low"], rows)
    heights = np.where(classes == "high", 900.0, 300.0) * rng.uniform(0.8, 1.25, rows)
    tones = np.sin(2 * np.pi * heights[:, None] * seconds + rng.uniform(0, 6.28, (rows, 1)))
    waves = rng.uniform(0.1, 0.3, (rows, 1)) * (tones + rng.normal(0, 0.5, tones.shape))
    return [wave[: rng.integers(RATE // 10, RATE // 8)] for wave in waves], list(classes)


def louder(waves, classes):
    """Return the first third of the sounds once more, at half their loudness."""
    some = len(waves) // 3
    return waves + [0.5 * wave for wave in waves[:some]], classes + classes[:some]


SOUNDS = {
    "near-copies": louder,
    "empty, outliers": lambda waves, classes: ([0.0 * waves[0], np.tile(waves[1], 40), *waves[2:]], classes),
}


def of_sounds(folder, waves, classes, parts=("",), **task):
    """Write sounds, by turns into the parts, and check them."""
    for number, (wave, name) in enumerate(zip(waves, classes, strict=True)):
        part = parts[number // 2 % len(parts)]
        path = folder / part / name / f"voice{number // 2 % 10}-{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, RATE, (32767 * wave).astype(np.int16))
    return checked({"audio": str(folder), "rate": RATE, "mels": 16, **task})


@pytest.mark.parametrize("codes", SOUNDS)
def test_faults_of_sounds_are_found_and_nothing_else(tmp_path, codes):
    *_, found = of_sounds(tmp_path, *SOUNDS[codes](*sounds()))
    assert set(found) == set(codes.split(", "))


def test_a_voice_in_two_parts_is_told_where_voices_are_known(tmp_path):
    split = {"split": {"group": r"voice\d+"}}
    *_, found = of_sounds(tmp_path, *sounds(), parts=("train", "train", "test"), **split)
    assert set(found) == {"shared-groups"}
    assert found["shared-groups"].evidence.startswith("40 of 40 test samples (100.0 %) are of a group")
    assert "test: 'voice2'" in found["shared-groups"].examples


# Forecasts

SHOPS = ("north", "south", "west")


def sales(seed=0, steps=220):
    """Return three shops with a season, a trend and noise, and what is known of the weather."""
    rng = np.random.default_rng(seed)
    time = np.arange(float(steps))
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "t": time,
                    "y": size * (10 + 0.02 * time + np.sin(2 * np.pi * time / 7) + rng.normal(0, 0.3, steps)),
                    "rain": rng.normal(size=steps),
                    "price": rng.normal(size=steps),
                    "shop": name,
                }
            )
            for name, size in zip(SHOPS, (1, 10, 100), strict=True)
        ],
        ignore_index=True,
    )


def later(frame, column, moved):
    """Return the table with a column that is the target of so many steps later."""
    of_shop = frame.groupby("shop")["y"].shift(-moved)
    return frame.assign(**{column: of_shop.fillna(frame["y"])})


def level(frame, first, last=220, shop="south"):
    """Return the table in which a shop sells half as much again for some time."""
    those = (frame["shop"] == shop) & (frame["t"] >= first) & (frame["t"] < last)
    return frame.assign(y=np.where(those, 1.5 * frame["y"], frame["y"]))


FORECASTS = {
    "target-leak": lambda frame: later(frame, "price", 0),
    "empty": lambda frame: frame.assign(y=np.where((frame["shop"] == "west") & (frame["t"] < 185), 3.0, frame["y"])),
    "validation-drift": lambda frame: level(frame, 185),
    "outliers": lambda frame: frame.assign(y=np.where(frame.index == 250, -9999.0, frame["y"])),
    "short-history": lambda frame: frame[(frame["shop"] == "north") & (frame["t"] < 60)],
}


def of_forecasts(folder, frame, **task):
    path = folder / "sales.csv"
    frame.to_csv(path, index=False)
    asked = {
        "time": "t",
        "target": "y",
        "horizon": 5,
        "season": 7,
        "group": "shop",
        "past": ["rain"],
        "known": ["price"],
    }
    return checked({"forecast": str(path), **asked, **task})


@pytest.mark.parametrize("code", FORECASTS)
def test_a_fault_of_forecasts_is_found_and_nothing_else(tmp_path, code):
    *_, found = of_forecasts(tmp_path, FORECASTS[code](sales()))
    assert set(found) == {code}


@pytest.mark.parametrize(
    ("column", "moved", "told"),
    [
        ("rain", 1, True),
        ("rain", 5, True),
        ("rain", 0, False),
        ("rain", 6, False),
        ("price", 1, True),
        ("price", -4, True),
        ("price", -5, False),
    ],
)
def test_a_column_leaks_where_it_tells_what_is_predicted(tmp_path, column, moved, told):
    """What was before is no leak in the past, and what is known ahead may tell of all that is a horizon old."""
    *_, found = of_forecasts(tmp_path, later(sales(), column, moved))
    assert ("target-leak" in found) is told
    if told:
        assert found["target-leak"].subject == column


def test_a_level_that_changes_with_the_test_part_is_told_once_it_is_open(tmp_path):
    job, dataset, found = of_forecasts(tmp_path, level(sales(), 215))
    assert found == {}
    opened = dataset.open_test()
    (told,) = examine_test(job, dataset, opened)
    assert told.code == "test-drift"
    assert "1 of 3 series change their level in the test part" in told.evidence
    assert "from 215 on the mean of 5 steps is +" in told.evidence
    job, dataset, _ = of_forecasts(tmp_path, sales())
    assert examine_test(job, dataset, dataset.open_test()) == ()


# Nothing is found where there is nothing


KINDS = {
    "texts": lambda seed, _: of_texts(texts(seed)),
    "series": lambda seed, _: of_series(*series(seed)),
    "sounds": lambda seed, folder: of_sounds(folder, *sounds(seed)),
    "forecasts": lambda seed, folder: of_forecasts(folder, sales(seed)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_noticed_of_made_samples_without_faults(tmp_path, kind):
    assert KINDS[kind](1, tmp_path)[2] == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_few_alarms_are_false(tmp_path, kind):
    """Of fifteen sets without faults none is suspected."""
    for seed in range(100, 115):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert KINDS[kind](seed, folder)[2] == {}, seed


@pytest.mark.parametrize("name", [pytest.param("docstrings", marks=pytest.mark.slow), "digits-series", "airline"])
def test_nothing_is_noticed_of_data_that_are_known_to_be_sound(name):
    assert checked({"builtin": name})[2] == {}


# Against references


def test_the_figures_of_series_are_those_of_numpy_and_scipy():
    rng = np.random.default_rng(0)
    lengths = np.array([40, 25, 40])
    x_NTC = rng.normal(size=(3, 40, 2))
    x_NTC[1, 25:] = 0.0
    values, names = summaries(x_NTC, lengths, ("a", "b"))
    found = {name: values[:, place] for place, name in enumerate(names)}
    for row, length in enumerate(lengths):
        x = x_NTC[row, :length, 1]
        told = {name: found[f"{name} of channel 'b'"][row] for name in ("mean", "standard deviation", "trend")}
        assert told == pytest.approx(
            {"mean": x.mean(), "standard deviation": x.std(), "trend": np.corrcoef(x, np.arange(length))[0, 1]}
        )
        assert found["10 % quantile of channel 'b'"][row] == np.quantile(x, 0.1, method="nearest")
        away = x - x.mean()
        assert found["autocorrelation at 4 of channel 'b'"][row] == pytest.approx(away[4:] @ away[:-4] / (away @ away))
    cycles, power = periodogram(x_NTC[0, :, 0], detrend="constant", scaling="spectrum")
    power[-1] *= 2.0  # of one side
    inside = (cycles > 1 / 16) & (cycles <= 1 / 8)
    assert found["share of 0.0625 to 0.125 cycles a step of channel 'a'"][0] == pytest.approx(
        power[inside].sum() / power.sum()
    )


def test_the_linear_model_is_one_that_each_text_was_left_out_of():
    rng = np.random.default_rng(0)
    counts = csr_matrix(rng.poisson(0.4, (30, 50)).astype(float))
    classes = rng.integers(0, 3, 30)
    found = opinion(counts, classes, 0)
    x = np.column_stack([TfidfTransformer(sublinear_tf=True).fit_transform(counts).toarray(), np.ones(30)])
    y = np.eye(3)[classes]
    for row in range(30):
        others = np.arange(30) != row
        model = Ridge(PENALTY, fit_intercept=False).fit(x[others], y[others])
        said = np.clip(model.predict(x[[row]])[0], 1e-6, 1.0)
        np.testing.assert_allclose(found.chances[row], said / said.sum(), rtol=1e-8)
    assert found.importances.sum() == pytest.approx(1.0)


def test_the_nearest_set_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 2, (count, 12)).astype(float) for count in (20, 30))
    nearest, distances = samples._nearest(csr_matrix(x), csr_matrix(y))
    expected = cdist(x.astype(bool), y.astype(bool), "jaccard")
    np.testing.assert_allclose(distances, expected.min(axis=1))
    np.testing.assert_allclose(expected[np.arange(20), nearest], expected.min(axis=1))
