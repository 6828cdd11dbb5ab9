"""Series as samples to forecast: read, sorted, filled, cut into parts that do not see each other's targets."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import load, prepare
from harness.data.regular import distance_of, next_times, places_of
from harness.data.sources.builtin import AIRLINE
from harness.data.windows import parts_of, season_of
from harness.errors import DataError
from harness.spec.task import BuiltinTask, ForecastTask, Split, parse_task

PASSENGERS = pd.read_csv(AIRLINE)


@pytest.fixture
def dataset_of(tmp_path):
    """Return a function that writes a frame and loads it as a task."""

    def make(frame, **asked):
        path = tmp_path / "series.csv"
        frame.to_csv(path, index=False)
        columns = list(frame.columns)
        fields = {"time": columns[0], "target": columns[1], "horizon": 12, **asked}
        return load(ForecastTask(forecast=path, **fields), seed=0)

    return make


def source_of(dataset):
    return dataset._source


def firsts(dataset, part):
    return source_of(dataset).inputs.firsts[dataset.split_index[part]]


def test_the_airline_passengers_are_the_published_ones():
    assert len(PASSENGERS) == 144
    assert PASSENGERS["passengers"].iloc[[0, -1]].tolist() == [112, 432]
    assert PASSENGERS["passengers"].sum() == 40363  # as R's AirPassengers


def test_parts_follow_each_other_and_a_refit_takes_all_before_the_test_part():
    dataset = load(BuiltinTask(builtin="airline"), seed=0)
    assert firsts(dataset, "test").tolist() == [132]
    assert firsts(dataset, "validation").min() + 12 <= 132
    assert firsts(dataset, "train").max() + 12 <= firsts(dataset, "validation").min()
    refit = dataset.for_refit()
    everything = np.arange(24, 132 - 12 + 1)
    assert firsts(refit, "train").tolist() == everything.tolist()
    assert firsts(dataset.for_all(), "train").tolist() == list(range(24, 144 - 12 + 1))
    assert not np.isin(firsts(dataset, "validation"), firsts(dataset, "train")).any()


@given(
    steps=st.integers(10, 120), horizon=st.integers(1, 9), test=st.integers(0, 3), more=st.integers(0, 12),
)  # fmt: skip
def test_no_step_is_a_target_of_two_parts(steps, horizon, test, more):
    validation = horizon + more
    ahead = np.arange(1, steps - horizon + 1)
    parts = parts_of(steps, ahead, horizon, test=test * horizon, validation=validation)
    seen = [{step for first in ahead[parts == part] for step in range(first, first + horizon)} for part in (0, 1, 2)]
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]
    assert all(step < steps - test * horizon - validation for step in seen[0])
    if steps > test * horizon + validation + horizon:
        assert seen[2] == set(range(steps - test * horizon, steps))


def test_inputs_are_standard_logarithms_and_targets_carry_the_naive_error():
    dataset = load(BuiltinTask(builtin="airline"), seed=0)
    values = PASSENGERS["passengers"].to_numpy(float)
    learned = values[: firsts(dataset, "train").max() + 12]
    first = int(firsts(dataset, "validation")[0])
    expected = (np.log(values[first - 24 : first]) - np.log(learned).mean()) / np.log(learned).std()
    np.testing.assert_allclose(dataset.validation.inputs[0][0, :, 0], expected, rtol=1e-5)
    assert dataset.validation.truth[0].tolist() == [
        *values[first : first + 12],
        pytest.approx(np.abs(values[12:132] - values[:120]).mean()),
    ]
    target = dataset.shape.target
    learned_targets = dataset.validation.targets[0, :12] + np.array(target.centre[:12])
    np.testing.assert_allclose(learned_targets, np.log(values[first : first + 12]), rtol=1e-5)
    assert dataset.shape.inputs[0].shape == (24, 1)


def test_a_column_known_ahead_shows_its_future_and_one_of_the_past_does_not(dataset_of):
    steps = np.arange(120.0)
    frame = pd.DataFrame({"t": steps, "y": np.sin(steps), "holiday": steps % 7, "rain": np.cos(steps)})
    dataset = dataset_of(frame, horizon=3, window=6, past=("rain",), known=("holiday",), season=7)
    (x_NWC,), fitted = dataset.train.inputs, dataset.preprocessing
    assert x_NWC.shape[2] == 4
    first = int(firsts(dataset, "train")[0])
    columns = [x_NWC[0, :, channel] for channel in range(4)]
    own = [
        columns[channel] * fitted["scale"][column] + fitted["mean"][column]
        for channel, column in ((1, 1), (2, 2), (3, 2))
    ]
    np.testing.assert_allclose(own[0], np.cos(steps[first - 6 : first]), atol=1e-5)
    np.testing.assert_allclose(own[1], steps[first - 6 : first] % 7, atol=1e-5)
    np.testing.assert_allclose(own[2], steps[first - 3 : first + 3] % 7, atol=1e-5)


def test_what_is_known_ahead_is_asked_for_beyond_the_end(dataset_of):
    steps = np.arange(120.0)
    frame = pd.DataFrame({"t": steps, "y": np.sin(steps), "holiday": steps % 7})
    dataset = dataset_of(frame, horizon=3, window=6, known=("holiday",))
    ahead = pd.DataFrame({"t": [120.0, 121.0, 122.0], "holiday": [5.0, 6.0, 0.0]})
    (x_NWC,) = prepare(dataset.preprocessing, pd.concat([frame, ahead])).inputs
    fitted = dataset.preprocessing
    own = x_NWC[0, :, 2] * fitted["scale"][1] + fitted["mean"][1]
    np.testing.assert_allclose(own, [*steps[117:120] % 7, 5.0, 6.0, 0.0], atol=1e-5)
    with pytest.raises(DataError, match="has 2 steps behind its last value with holiday, and the model predicts 3"):
        prepare(dataset.preprocessing, pd.concat([frame, ahead[:2]]))


def test_series_of_groups_are_cut_each_for_itself(dataset_of):
    time = np.arange(60.0)
    frame = pd.concat(
        [pd.DataFrame({"t": time, "y": time * size, "shop": name}) for name, size in (("a", 1), ("b", 9))]
    )
    dataset = dataset_of(frame.sample(frac=1.0, random_state=0), horizon=4, window=5, group="shop")
    test = dataset.open_test()
    assert sorted(test.truth[:, 0].tolist()) == [56.0, 56.0 * 9]
    assert sorted(set(test.truth[:, -1].tolist())) == [1.0, 9.0]
    assert set(dataset.describe_test()["series"]) == {"a", "b"}
    assert any("order of time" in note for note in dataset.notes)


def test_what_is_handed_to_training_ends_before_the_test_part(dataset_of):
    frame = PASSENGERS.assign(passengers=PASSENGERS["passengers"] + 0.5)
    dataset = dataset_of(frame)
    source, _ = dataset.to_learn_from(Split(), [1])
    assert np.isnan(source.inputs.values[132:]).all()
    assert not np.isnan(source.inputs.values[:132]).any()
    assert np.float64(432.5).tobytes() not in pickle.dumps(source)


def test_several_origins_are_predicted_once_each(dataset_of):
    dataset = dataset_of(PASSENGERS, origins=3)
    assert firsts(dataset, "test").tolist() == [108, 120, 132]
    assert dataset.open_test().truth[1, 0] == PASSENGERS["passengers"][120]
    untested = dataset_of(PASSENGERS, split=Split(test=0.0))
    assert untested.test_size == 0
    assert firsts(untested.for_refit(), "train").max() == 132


def test_few_gaps_are_filled_and_told(dataset_of):
    frame = PASSENGERS.drop(index=[40, 41]).astype({"passengers": object})
    frame.loc[60, "passengers"] = ""
    dataset = dataset_of(frame)
    values = source_of(dataset).inputs.values[:, 0]
    assert values[[40, 41]].tolist() == [168.0, 173.0] or len(values) == 144
    expected = np.interp([40, 41, 60], [39, 42, 59, 61], PASSENGERS["passengers"][[39, 42, 59, 61]])
    np.testing.assert_allclose(values[[40, 41, 60]], expected)
    assert any("3 of 144 steps (the first is 1952-05-01): filled in" in note for note in dataset.notes)


BAD = {
    "double": (lambda f: pd.concat([f, f.iloc[[5]]]), {}, "line 146 has the time 1949-06-01 as line 7 has"),
    "gaps": (lambda f: f.drop(index=range(20, 60)), {}, r"no value at 40 of 144 steps .* too many to fill in"),
    "off": (lambda f: f.assign(month=f["month"].where(f.index != 30, "1951-07-09")), {}, "the time 1951-07-09"),
    "irregular": (
        lambda f: f.assign(month=np.cumsum(np.arange(144) ** 2 + 1.0)).iloc[:3], {}, r"takes|distance",
    ),
    "long": (lambda f: f, {"horizon": 100}, r"has 144 steps, and a horizon of 100 takes \d+: "),
    "no column": (lambda f: f, {"target": "passenger"}, r"'passenger' is not a column; did you mean 'passengers'"),
    "text": (lambda f: f.assign(passengers=["many"] * 144), {}, r"column 'passengers' holds text"),
    "log": (lambda f: f.assign(passengers=f["passengers"] - 112), {"transform": "log"}, r"at 1949-01-01 it is 0"),
    "constant": (lambda f: f.assign(passengers=7), {}, r"has one value in every step"),
    "no time": (lambda f: f.assign(month=f["month"].where(f.index != 3, "")), {}, r"line 5 does not say its time"),
    "empty": (lambda f: f.iloc[:0], {}, r"holds no rows"),
    "few": (lambda f: f.iloc[:56], {"window": 24}, r"\d+ samples are left to train on|takes \d+"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(case, dataset_of):
    change, asked, message = BAD[case]
    with pytest.raises(DataError, match=message) as error:
        dataset_of(change(PASSENGERS), **asked)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"known": ["a"], "window": 4}, "window .4. is shorter than horizon"),
        ({"past": ["y"]}, "column 'y' is named twice"),
        ({"quantiles": [0.1]}, "as many quantiles below 0.5 as above"),
        ({"split": {"order": "t"}}, "split.order: the parts of a forecast follow each other"),
        ({"horizon": 0}, "greater than or equal to 1"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        parse_task({"forecast": "f.csv", "time": "t", "target": "y", "horizon": 12, **fields})


@pytest.mark.parametrize("frequency", ["MS", "ME", "QS-JAN", "W-SUN", "B", "D", "h", "15min", "YS-JAN"])
def test_distances_are_found_and_go_on(frequency):
    every = pd.date_range("1990-01-01", periods=60, freq=frequency).to_numpy("datetime64[us]")
    there = np.delete(every, [20, 35])
    found, step = distance_of(there)
    assert (found, step) == (frequency, 0.0)
    times, places = places_of(there, found, step)
    assert (times == every).all()
    assert (times[places] == there).all()
    following = pd.date_range(every[-1], periods=4, freq=frequency)[1:].to_numpy("datetime64[us]")
    assert (next_times(every[-1], 3, found, step) == following).all()


def test_numbers_have_a_distance_too():
    years = np.delete(np.arange(1959.0, 1999.0, 0.25), 7)
    found, step = distance_of(years)
    assert (found, step) == ("", 0.25)
    assert len(places_of(years, found, step)[0]) == 160
    assert next_times(1998.75, 2, found, step).tolist() == [1999.0, 1999.25]
    assert season_of("") == 1


def test_new_series_are_read_as_training_was(dataset_of):
    dataset = dataset_of(PASSENGERS, transform="log")
    new = PASSENGERS.iloc[50:100].sample(frac=1.0, random_state=1)
    part = prepare(dataset.preprocessing, new)
    assert len(part) == 1
    values = PASSENGERS["passengers"].to_numpy(float)[76:100]
    fitted = dataset.preprocessing
    expected = (np.log(values) - fitted["mean"][0]) / fitted["scale"][0]
    np.testing.assert_allclose(part.inputs[0][0, :, 0], expected, rtol=1e-5)
    with pytest.raises(DataError, match="has 10 steps, and the model looks back on 24"):
        prepare(dataset.preprocessing, PASSENGERS.iloc[:10])
    with pytest.raises(DataError, match="are not above 0"):
        prepare(dataset.preprocessing, new.assign(passengers=0))
    with pytest.raises(DataError, match="give a DataFrame"):
        prepare(dataset.preprocessing, np.zeros((3, 24)))


def test_a_series_says_where_it_is_alike():
    dataset = load(BuiltinTask(builtin="airline"), seed=0)
    windows = source_of(dataset).inputs
    from harness.data.alike import alike

    assert len(set(alike(windows))) == len(windows)
    assert len(set(alike(replace(windows, values=np.ones_like(windows.values))))) == 1
