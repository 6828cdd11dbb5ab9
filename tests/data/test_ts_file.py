"""``.ts`` files of the UCR and UEA archives."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from harness.data import load
from harness.data.sources import read_source
from harness.data.sources.ts_file import read_ts_file
from harness.errors import DataError
from harness.spec import parse_spec
from harness.spec.series import TsTask

HEADER = "# a comment\n@problemName Toy\n@timeStamps false\n@univariate false\n@classLabel true up down\n@data\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def series(number, dimensions=2, steps=5):
    return ":".join(",".join(f"{number + 10 * d + s:g}" for s in range(steps)) for d in range(dimensions))


@pytest.fixture
def toy(tmp_path):
    lines = [f"{series(n, steps=4 + n % 3)}:{'up' if n % 2 else 'down'}" for n in range(24)]
    return write(tmp_path / "Toy_TRAIN.ts", HEADER + "\n".join(lines) + "\n")


def test_dimensions_are_channels_and_lengths_may_differ(toy):
    source = read_source(TsTask(ts=toy))
    assert source.inputs.values.shape == (24, 6, 2)
    assert source.inputs.lengths.tolist() == [4 + n % 3 for n in range(24)]
    np.testing.assert_array_equal(source.inputs.values[5, :6], np.stack([np.arange(5, 11), np.arange(15, 21)], 1))
    assert source.class_names == ("down", "up")
    assert source.targets[:2].tolist() == [0, 1]


@pytest.mark.usefixtures("toy")
def test_the_test_file_is_the_test_part(tmp_path):
    lines = [f"{series(100 + n, steps=9)}:{'up' if n % 2 else 'down'}" for n in range(6)]
    write(tmp_path / "Toy_TEST.ts", HEADER + "\n".join(lines))
    task = parse_spec(
        "task: {ts: Toy_TRAIN.ts, test: {ts: Toy_TEST.ts}}\nspace: {architecture: mlp}", origin="x", folder=tmp_path
    ).task
    data = load(task, seed=0)
    assert data.test_size == 6
    test = data.open_test()
    assert test.index.tolist() == list(range(6))
    assert test.inputs[0].shape[1] == data.preprocessing["steps"] <= 6
    assert len(data.train) + len(data.validation) == 24


@pytest.mark.parametrize("key", ["@targetlabel true", "@targetLabel"])
def test_values_are_read_as_values_however_few_there_are(tmp_path, key):
    lines = [f"{series(n, 1)}:{n % 3}" for n in range(20)]
    path = write(tmp_path / "a.ts", f"@classLabel false\n{key}\n@data\n" + "\n".join(lines))
    source = read_source(TsTask(ts=path))
    assert source.kind == "regression"
    assert source.targets[:4].tolist() == [0.0, 1.0, 2.0, 0.0]
    assert read_source(TsTask(ts=path, kind="classification")).class_names == ("0", "1", "2")


def test_classes_are_classes_however_many_there_are(tmp_path):
    lines = [f"{series(n, 1)}:{n % 30}" for n in range(90)]
    path = write(tmp_path / "a.ts", "@classLabel true\n@data\n" + "\n".join(lines))
    assert len(read_source(TsTask(ts=path)).class_names) == 30


def test_missing_values_stand_as_a_question_mark(tmp_path):
    lines = [f"1,?,3, 4 ,?:{'ab'[n % 2]}" for n in range(12)]
    data = load(TsTask(ts=write(tmp_path / "a.ts", "@classlabel true a b\n@data\n" + "\n".join(lines))), seed=0)
    (x_NTC,) = data.train.inputs
    assert np.ptp(data.train.inputs[0], axis=0).max() == 0.0
    raw = x_NTC[0, :, 0] * data.preprocessing["std"][0] + data.preprocessing["mean"][0]
    np.testing.assert_allclose(raw, [1, 2, 3, 4, 4], rtol=1e-6)
    assert any("24 missing values are filled in by linear interpolation" in note for note in data.notes)


def test_a_file_without_targets_can_be_predicted_and_not_learnt_from(tmp_path):
    path = write(tmp_path / "new.ts", "@classLabel false\n@data\n1,2:3,4\n5,6:7,8\n")
    found = read_ts_file(path)
    assert (found.series.values.shape, found.targets) == ((2, 2, 2), [None, None])
    with pytest.raises(DataError, match=r"has no targets to learn from"):
        read_source(TsTask(ts=path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a .ts file"),
        ("# nothing\n\n", "is empty; expected a .ts file"),
        ("@problemName Toy\n", "has no line @data with series below it"),
        (HEADER, "holds no series below @data; add some"),
        ("1,2,3:up\n", "line 1: stands above @data and does not begin with @; is this a .ts file?"),
        (HEADER.replace("Stamps false", "Stamps true"), "line 3: says that values have time stamps"),
        (HEADER + "(0,1),(1,2):up\n", "line 7: holds '(0', which is no number; time stamps are not read"),
        (HEADER + "1,2:3,4:up\n1,x:3,4:up\n", "line 8: holds 'x', which is no number; write ? for a missing value"),
        (HEADER + "1,2:3,4:up\n1,2:up\n", "line 8: has 1 dimensions, the series above it 2; give each as many"),
        (HEADER + "1,2:3,4,5:up\n", "line 7: dimension 2 has 3 values, the first 2; fill it up with ?"),
        (HEADER + "1,2:3,4:left\n", "line 7: has the class 'left', which is not one of @classLabel"),
        (HEADER + "1,2:3,4:\n", "line 7: has no target behind its last colon"),
        (HEADER + "1,2,3\n", "line 7: has no target behind its last colon"),
        (HEADER + "1,2:3,4:up\n::up\n", "holds a series without steps, in line 8; remove it or give it values"),
        (HEADER + "1,2:?,?:up\n", "channel '1' has no value at any step, in line 7"),
        (HEADER + "1,2:3,inf:up\n", "channel '1' holds a value that is infinite or beyond float32 (3e38), in line 7"),
        (HEADER + "1,2:3,4:?\n" * 12, "target 'target' is missing of every series"),
        (HEADER + "1,2:3,4:up\n" * 12, "holds only one class, 'up'; there is nothing to learn"),
        (HEADER + "1,2:3,4:up\n" * 12 + "1,2:3,4:down\n", "class 'down' has 1 samples, fewer than one for each of"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, text, message):
    path = write(tmp_path / "a.ts", text)
    with pytest.raises(DataError) as caught:
        load(TsTask(ts=path), seed=0)
    assert message in str(caught.value)
    assert str(path) in str(caught.value) or "has 1 samples" in message
    assert "\n" not in str(caught.value)


def test_other_files_are_told_apart(tmp_path):
    packed = tmp_path / "a.ts"
    packed.write_bytes(gzip.compress(HEADER.encode()))
    with pytest.raises(DataError, match="is packed with gzip"):
        read_ts_file(packed)
    packed.write_bytes(HEADER.encode() + b"1,2:\xe9\n")
    with pytest.raises(DataError, match=r"a\.ts: is not UTF-8 text"):
        read_ts_file(packed)


def test_files_that_do_not_fit_each_other_are_refused(toy, tmp_path):
    one = write(tmp_path / "one.ts", HEADER + "\n".join(f"{series(n, 1)}:up" for n in range(4)))
    with pytest.raises(DataError, match=r"one\.ts: has series of 1 channels, those of .*Toy_TRAIN\.ts have 2"):
        read_source(TsTask.model_validate({"ts": toy, "test": {"ts": one}}))
    values = write(tmp_path / "v.ts", "@targetLabel\n@data\n" + "\n".join(f"{series(n)}:{n}" for n in range(4)))
    with pytest.raises(DataError, match=r"v\.ts: holds targets of regression, and .* of classification"):
        read_source(TsTask.model_validate({"ts": toy, "test": {"ts": values}}))
