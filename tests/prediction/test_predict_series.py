"""New time series in every form of file are predicted as the run predicted its test samples."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

import harness

N, STEPS = 60, 8
CLASSES = np.array(["down", "up"])


def values_of(seed):
    """Return series of two channels and several lengths, rising or falling, NaN behind their end."""
    rng = np.random.default_rng(seed)
    slope = np.where(np.arange(N) % 2, 1.0, -1.0)[:, None, None]
    values = slope * np.linspace(-1, 1, STEPS)[None, :, None] + 0.3 * rng.normal(size=(N, STEPS, 2))
    values[np.arange(STEPS) >= rng.integers(4, STEPS + 1, N)[:, None]] = np.nan
    values[1] = np.nan_to_num(values[1])
    return values.round(4)


VALUES = values_of(0)
LENGTHS = (~np.isnan(VALUES[:, :, 0])).sum(1)


def write_ts(path, *, targets):
    lines = ["@timeStamps false", f"@classLabel {'true down up' if targets else 'false'}", "@data"]
    for number, (x_TC, length) in enumerate(zip(VALUES, LENGTHS, strict=True)):
        line = ":".join(",".join(map(str, x_T[:length])) for x_T in x_TC.T)
        lines.append(f"{line}:{CLASSES[number % 2]}" if targets else line)
    path.write_text("\n".join(lines))
    return path


def long(path):
    rows = [(f"s{n}", step, *VALUES[n, step]) for n in range(N) for step in range(LENGTHS[n])]
    frame = pd.DataFrame(rows, columns=["id", "step", "x", "y"])
    frame["kind"] = CLASSES[frame["id"].str[1:].astype(int) % 2]
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("series")


GRU = {"space": "{architecture: {gru: {width: 8}}}"}


@pytest.fixture(scope="module")
def of_ts(folder, train):
    path = write_ts(folder / "series.ts", targets=True)
    return SimpleRun(train(folder, f"{{ts: {path}}}", **GRU))


@pytest.fixture(scope="module")
def of_csv(folder, train):
    path = long(folder / "long.csv")
    return SimpleRun(train(folder, f"{{series: {path}, id: id, time: step, target: kind}}", **GRU))


class SimpleRun:
    def __init__(self, run):
        self.run = run
        self.known = pd.read_parquet(run / "predictions.parquet")


def as_known(done, known):
    """Hold what was printed against what the run says of its test samples."""
    assert done.code == 0, done.err
    found = pd.read_csv(io.StringIO(done.out), dtype={"prediction": str})
    assert len(found) == N
    tested = found.iloc[known["index"]]
    assert list(tested["prediction"]) == list(known["predicted_name"])
    columns = ["probability_down", "probability_up"]
    np.testing.assert_allclose(tested[columns], known.filter(like="probability_"), rtol=1e-4, atol=1e-6)
    return found


@pytest.mark.parametrize("targets", [True, False])
def test_ts_files_with_and_without_targets(of_ts, folder, predict, targets):
    as_known(predict(of_ts, write_ts(folder / "new.ts", targets=targets), "--proba"), of_ts.known)


@pytest.mark.parametrize("arrays", [{"x": VALUES}, {"x": np.nan_to_num(VALUES), "lengths": LENGTHS}])
def test_arrays_with_and_without_lengths(of_ts, folder, predict, arrays):
    np.savez(folder / "new.npz", **arrays)
    as_known(predict(of_ts, folder / "new.npz", "--proba"), of_ts.known)


def test_a_csv_file_laid_out_as_the_training_data(of_csv, folder, predict):
    found = as_known(predict(of_csv, folder / "long.csv", "--proba"), of_csv.known)
    assert list(found["row"]) == [f"s{n}" for n in range(N)]
    write_ts(folder / "plain.ts", targets=False)
    as_known(predict(of_csv, folder / "plain.ts", "--proba"), of_csv.known)


def test_from_python_as_from_the_file(of_ts, of_csv, folder):
    model = harness.load(of_ts.run, device="cpu")
    want = model.predict_proba(VALUES)
    parts = [x_TC[:length] for x_TC, length in zip(VALUES, LENGTHS, strict=True)]
    np.testing.assert_allclose(model.predict_proba(parts), want, rtol=1e-5)
    table = harness.load(of_csv.run, device="cpu")
    np.testing.assert_allclose(
        table.predict_proba(pd.read_csv(folder / "long.csv")), table.predict_proba(VALUES), rtol=1e-5
    )


def test_longer_series_are_cut_and_told(of_ts, folder, predict):
    (folder / "long.ts").write_text("@classLabel false\n@data\n" + ":".join([",".join("1" * 30)] * 2))
    done = predict(of_ts, folder / "long.ts", "--out", folder / "told.csv", "--json", "--force")
    assert json.loads(done.out)["cut"] == {"series": 1}
    assert "longer than any in training, cut at the end: 1 of 'series'" in done.err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.ts",
            "@classLabel false\n@data\n1,2\n",
            "a.ts: raw series have 1 channels, the training data's had 2: 0, 1",
        ),
        ("b.ts", "@classLabel false\n@data\n1,2:3,4\n1,?:?,?\n", "in line 4; remove the series or the channel"),
        (
            "c.csv",
            "a,b\n1,2\n",
            "c.csv: is no .ts or NPZ file, from which the model has learnt series; name one of these",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(of_ts, folder, predict, name, text, message):
    (folder / name).write_text(text)
    done = predict(of_ts, folder / name)
    (line,) = done.err.splitlines()
    assert message in line
    assert (done.code, done.out) == (2, "")


def test_a_folder_is_refused(of_ts, folder, predict):
    done = predict(of_ts, folder)
    assert "is a folder, and the model takes time series; name a .ts, NPZ or CSV file" in done.err
    assert done.code == 2


def test_the_weights_are_exported(of_ts, folder):
    exported = harness.export(of_ts.run, out=folder / "model.safetensors", format="safetensors")
    card = exported.card.read_text()
    assert card.startswith("# Model card: series")
    assert "| series | float64 |" in card
