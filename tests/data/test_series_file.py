"""CSV files of time series: a row for each series, or for each step of one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.data import load, prepare
from harness.data.sources import read_source
from harness.errors import DataError, SpecError
from harness.spec import parse_spec

N, STEPS = 24, 6
VALUES = np.random.default_rng(0).normal(size=(N, STEPS, 2)).round(3)
KIND = np.where(np.arange(N) % 2, "up", "down")


def task_of(folder, text):
    return parse_spec(f"task: {text}\nspace: {{architecture: mlp}}", origin="x", folder=folder).task


def read(folder, text):
    return read_source(task_of(folder, text))


def wide():
    frame = pd.DataFrame(VALUES[:, :, 0], columns=[f"t{step}" for step in range(STEPS)])
    return frame.assign(kind=KIND, who=np.arange(N) // 4)


def long(lengths=None):
    """Return a row for each step, those of all series of a step together."""
    lengths = np.full(N, STEPS) if lengths is None else lengths
    rows = [(n, step) for step in range(STEPS) for n in range(N) if step < lengths[n]]
    series, steps = np.array(rows).T
    days = (np.datetime64("2024-01-30") + steps).astype(str)
    x, y = VALUES[series, steps].T
    return pd.DataFrame({"id": [f"s{n}" for n in series], "day": days, "x": x, "y": y, "kind": KIND[series],
                         "who": series // 4})  # fmt: skip


LONG = "{series: long.csv, id: id, time: day, target: kind, drop: [who]}"


def test_a_row_is_a_series(tmp_path):
    wide().to_csv(tmp_path / "wide.csv", index=False)
    for columns in ("columns: t, ", "drop: [who], ", f"columns: [{', '.join(f't{n}' for n in range(STEPS))}], "):
        source = read(tmp_path, f"{{series: wide.csv, {columns}target: kind}}")
        np.testing.assert_array_equal(source.inputs.values, VALUES[:, :, :1])
        assert source.class_names == ("down", "up")
        assert source.inputs.channels == ("value",)
        assert source.labels is None


def test_a_row_that_ends_early_is_a_shorter_series(tmp_path):
    frame = wide()
    frame.loc[3, ["t4", "t5"]] = None
    frame.loc[5, "t1"] = None
    frame.to_csv(tmp_path / "wide.csv", index=False, sep=";", decimal=",")
    source = read(tmp_path, "{series: wide.csv, columns: t, target: kind, decimal: ','}")
    assert source.inputs.lengths.tolist() == [4 if n == 3 else STEPS for n in range(N)]
    assert source.inputs.missing.sum() == 1
    assert any("1 missing values are filled in" in note for note in source.notes)


def test_rows_of_an_id_are_the_steps_of_a_series(tmp_path):
    lengths = np.array([STEPS - n % 3 for n in range(N)])
    frame = long(lengths)
    frame.to_csv(tmp_path / "long.csv", index=False)
    source = read(tmp_path, LONG)
    assert source.inputs.lengths.tolist() == lengths.tolist()
    assert source.inputs.channels == ("x", "y")
    for n in range(N):
        np.testing.assert_array_equal(source.inputs.values[n, : lengths[n]], VALUES[n, : lengths[n]])
    assert list(source.labels) == [f"s{n}" for n in range(N)]
    assert source.targets.tolist() == (np.arange(N) % 2).tolist()
    assert not any("order" in note or "gap" in note for note in source.notes)

    mixed = frame.sample(frac=1.0, random_state=0)
    mixed.to_csv(tmp_path / "long.csv", index=False)
    again = read(tmp_path, LONG)
    place = [list(again.labels).index(f"s{n}") for n in range(N)]
    np.testing.assert_array_equal(again.inputs.values[place], source.inputs.values)
    assert any("rows stand behind later ones of their series: each series is put in order" in n for n in again.notes)


def test_without_a_time_the_rows_stand_in_order(tmp_path):
    long().to_csv(tmp_path / "long.csv", index=False)
    source = read(tmp_path, "{series: long.csv, id: id, target: kind, columns: [y, x]}")
    np.testing.assert_array_equal(source.inputs.values, VALUES[:, :, ::-1])


def test_gaps_are_told(tmp_path):
    frame = long()
    frame = frame[~((frame["id"] == "s7") & (frame["day"] == "2024-02-01"))]
    frame.to_csv(tmp_path / "long.csv", index=False)
    line = 2 + int(np.flatnonzero((frame["id"] == "s7") & (frame["day"] == "2024-02-02"))[0])
    notes = read(tmp_path, LONG).notes
    assert any(f"1 gaps in 'day', the first before line {line}: the steps are taken as if" in note for note in notes)


def test_groups_stay_together(tmp_path):
    long().to_csv(tmp_path / "long.csv", index=False)
    task = "{series: long.csv, id: id, time: day, target: kind, split: {group: who, test: 0.3, validation: 0.3}}"
    data = load(task_of(tmp_path, task), seed=0)
    assert data.preprocessing["channels"] == ["x", "y"]
    parts = [{n // 4 for n in data.split_index[part]} for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == N // 4


def test_the_test_file_is_the_test_part(tmp_path):
    frame = long()
    test = frame["id"].isin([f"s{n}" for n in range(18, N)])
    frame[~test].to_csv(tmp_path / "long.csv", index=False)
    frame[test].to_csv(tmp_path / "test.csv", index=False)
    data = load(task_of(tmp_path, LONG.replace("target", "test: {series: test.csv}, target")), seed=0)
    assert data.test_size == 6
    data.open_test()
    told = data.describe_test()
    assert list(told["index"]) == list(range(6))
    assert list(told["row"]) == [f"s{n}" for n in range(18, N)]


def test_a_table_of_new_series_is_laid_out_as_the_training_data(tmp_path):
    long().to_csv(tmp_path / "long.csv", index=False)
    data = load(task_of(tmp_path, LONG), seed=0)
    new = long()[["day", "y", "id", "x"]].sample(frac=1.0, random_state=1)
    (found,) = prepare(data.preprocessing, new).inputs
    index = pd.factorize(new["id"])[1].str.removeprefix("s").astype(int)
    (want,) = prepare(data.preprocessing, VALUES[index]).inputs
    np.testing.assert_allclose(found, want, atol=1e-6)
    with pytest.raises(DataError, match=r"column 'yy' is missing|column 'y' is missing"):
        prepare(data.preprocessing, new.rename(columns={"y": "yy"}))


def broken(change):
    frame = long().astype(object)
    changed = change(frame)
    return frame if changed is None else changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.__setitem__("day", "2024-01-30"),
            "column 'day' has the same time as line 2 in one series, in line",
        ),
        (lambda f: f.loc.__setitem__((4, "x"), "dear"), "column 'x' holds 'dear', in line 6; correct it"),
        (lambda f: f.loc.__setitem__((4, "id"), None), "column 'id' is empty, in line 6; say which series"),
        (lambda f: f.loc.__setitem__((4, "day"), None), "time 'day' has no value in line 6; fill it in"),
        (
            lambda f: f.loc.__setitem__((N, "kind"), "up"),
            "series 's0' has two values of 'kind', 'down' in line 2 and 'up'",
        ),
        (lambda f: f.__setitem__("y", None), "channel 'y' has no value at any step, in series 's0'; remove the series"),
        (lambda f: f.drop(columns="kind"), "'kind' is not a column"),
        (lambda f: f.iloc[:0], "holds no rows; add some below the header"),
        (lambda f: f.__setitem__("kind", None), "target 'kind' is missing of every series; name another"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, change, message):
    broken(change).to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(DataError) as caught:
        load(task_of(tmp_path, LONG), seed=0)
    assert message in str(caught.value)
    assert str(tmp_path / "long.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("columns: step", r"no column begins with 'step'; correct `columns` \(there are 't0', 't1', "),
        ("columns: [t0, t9]", "column 't9' is missing; known: kind, t0"),
        ("drop: [t0, t1, t2, t3, t4, t5, who]", "no column is left for the values of the series"),
    ],
)
def test_columns_that_are_not_there_are_told(tmp_path, keys, message):
    wide().to_csv(tmp_path / "wide.csv", index=False)
    with pytest.raises(DataError, match=message):
        read(tmp_path, f"{{series: wide.csv, target: kind, {keys}}}")


def test_a_time_without_an_id_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"time orders the rows of a series: say with id which series a row belongs to"):
        task_of(tmp_path, "{series: a.csv, time: day, target: kind}")


def test_one_series_of_a_class_is_too_few(tmp_path):
    frame = wide()
    frame.loc[0, "kind"] = "odd"
    frame.to_csv(tmp_path / "wide.csv", index=False)
    with pytest.raises(DataError, match="class 'odd' has 1 samples, fewer than one for each of training"):
        load(task_of(tmp_path, "{series: wide.csv, columns: t, target: kind}"), seed=0)
