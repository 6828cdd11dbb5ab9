"""``harness predict``: files are predicted as the run predicted its test samples, in whatever form and chunks."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from harness.data import load
from harness.errors import DataError
from harness.prediction import predict_file
from harness.prediction.opening import open_samples
from harness.spec.task import CsvTask


def table(text):
    return pd.read_csv(io.StringIO(text), dtype={"row": str, "prediction": str})


def names(folder):
    return [path.name for path in folder.iterdir()]


def refused(done, message, code=2):
    (line,) = done.err.splitlines()
    assert line.startswith("harness: error: ")
    assert message in line
    assert (done.code, done.out) == (code, "")


def probabilities(frame):
    return frame.filter(like="probability_").to_numpy()


def test_a_table_is_predicted_as_in_the_run(towns, predict, tmp_path):
    done = predict(towns, towns.data, "--proba")
    assert done.code == 0, done.err
    found, known = table(done.out), towns.known
    assert list(found) == ["index", "row", "prediction", "probability_no", "probability_yes"]
    assert list(found["index"]) == list(range(120))
    tested = found.iloc[known["index"]]
    assert list(tested["prediction"]) == list(known["predicted_name"])
    assert list(tested["row"]) == list(known["row"])
    np.testing.assert_allclose(probabilities(tested), probabilities(known), rtol=1e-5)
    said = done.err.splitlines()
    assert said[0] == f"harness: {towns.data}: columns that training did not learn from are ignored: 'id'"
    assert "missing values: 2 of 'area'" in said[1]
    assert "of 'town'" in said[1]
    assert said[2].startswith("harness: 120 rows predicted in ")

    out = tmp_path / "all.parquet"
    assert predict(towns, towns.data, "--proba", "--out", out).out == f"{out}\n"
    written = pd.read_parquet(out)
    pd.testing.assert_frame_equal(written.astype({"row": str, "prediction": str}), found, check_dtype=False, rtol=1e-6)
    assert names(tmp_path) == ["all.parquet"], "nothing temporary stays"


@pytest.mark.parametrize("rows", [7, 60, 119])
def test_where_a_chunk_ends_changes_nothing(towns, tmp_path, rows):
    """A column of codes holds numbers alone in one half and text in the other; no chunk says how it is read."""
    whole, chunked = tmp_path / "whole.csv", tmp_path / "chunked.csv"
    all_at_once = predict_file(towns.model, towns.data, whole, proba=True)
    in_parts = predict_file(towns.model, towns.data, chunked, proba=True, rows=rows)
    first, second = pd.read_csv(whole), pd.read_csv(chunked)
    assert all_at_once.unusual == in_parts.unusual
    assert first.drop(columns=first.filter(like="prob")).equals(second.drop(columns=second.filter(like="prob")))
    np.testing.assert_allclose(probabilities(first), probabilities(second), rtol=1e-5)


def test_chunks_of_whole_batches_give_the_same_bytes(towns, tmp_path):
    model = towns.model
    rows = pd.concat([pd.read_csv(towns.data, sep=";", dtype=str, keep_default_na=False)] * 12)
    rows.to_csv(tmp_path / "many.csv", index=False)
    assert len(rows) > 2 * model.batch
    for name, size in (("a.csv", model.batch), ("b.csv", 2 * model.batch)):
        predict_file(model, tmp_path / "many.csv", tmp_path / name, proba=True, rows=size)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_columns_may_be_in_any_order_and_in_any_form_of_file(towns, tmp_path, predict):
    frame = pd.read_csv(towns.data, sep=";", dtype=str, keep_default_na=False, index_col=0)
    expected = table(predict(towns, towns.data, "--proba").out).drop(columns="row")
    other = frame.drop(columns=["sold", "id"])[["code", "town", "price", "built", "area"]]
    other.to_csv(tmp_path / "rows.csv", index=False, sep="\t")
    other.to_parquet(tmp_path / "rows.parquet", index=False)
    typed = other.assign(
        area=pd.to_numeric(other["area"].str.replace(",", ".")), built=pd.to_datetime(other["built"], dayfirst=True)
    )
    typed.to_parquet(tmp_path / "typed.data", row_group_size=50)
    for name in ("rows.csv", "rows.parquet", "typed.data"):
        found = table(predict(towns, tmp_path / name, "--proba").out)
        pd.testing.assert_frame_equal(found.drop(columns="row", errors="ignore"), expected, rtol=1e-5)
    assert list(found["row"]) == list(other.index), "the index of a saved frame"


def test_what_training_had_not_is_counted_once_for_the_whole_file(towns, tmp_path, predict):
    frame = pd.read_csv(towns.data, sep=";", dtype=str, keep_default_na=False, index_col=0)
    frame["town"] = ["Genf", *["?"] * 3, *["Bern"] * 116]
    frame["area"] = ["", "900", *["5,5"] * 118]
    frame.to_csv(tmp_path / "new.csv", index=False)
    done = predict(towns, tmp_path / "new.csv", "--json", "--out", tmp_path / "out.csv")
    told = json.loads(done.out)
    assert told["rows"] == 120
    assert told["out"] == str(tmp_path / "out.csv")
    assert told["unseen"] == {"town": 1}
    assert told["clipped"] == {"area": 1}
    assert told["missing"] == {"area": 1, "town": 3}
    assert "categories that training did not see, taken as unknown: 1 of 'town'" in done.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"price": "dear"},
            "column 'price' was numeric in training, and holds 'dear', in row 97 (line 98); correct it",
        ),
        ({"price": "5 $"}, "holds '5 $', in '$' and not in '€', in row 97 (line 98); convert it"),
        ({"area": "1.5"}, "holds '1.5', which does not fit its decimal mark ',', in row 97 (line 98)"),
        ({"built": "31/31/2024"}, "'31/31/2024' is not a date that can be read, in row 97 (line 98)"),
    ],
)
def test_a_wrong_value_is_named_with_its_row_in_the_file(towns, tmp_path, change, message):
    frame = pd.read_csv(towns.data, sep=";", dtype=str, keep_default_na=False, index_col=0).drop(columns="id")
    for name, value in change.items():
        frame.iloc[96, frame.columns.get_loc(name)] = value
    frame.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError) as raised:
        predict_file(towns.model, tmp_path / "new.csv", tmp_path / "out.csv", rows=10)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / 'new.csv'}: ")
    assert names(tmp_path) == ["new.csv"], "nothing half written stays"


def test_the_separator_of_the_task_is_that_of_new_files(tmp_path):
    rows = "\n".join(f"{n % 7}~{n % 3}~{'ab'[n % 2]}" for n in range(40))
    paths = [tmp_path / name for name in ("t.csv", "commas.csv")]
    for path, separator in zip(paths, "~,", strict=True):
        path.write_text(f"x~z~y\n{rows}\n".replace("~", separator))
    preprocessing = load(CsvTask(csv=paths[0], target="y", separator="~"), seed=0).preprocessing
    first, second = (next(open_samples(path, preprocessing).chunks(100)).raw for path in paths)
    assert first.to_numpy().tolist() == [[str(n % 7), str(n % 3)] for n in range(40)]
    pd.testing.assert_frame_equal(first, second)


def test_two_columns_of_one_name_are_refused(towns):
    frame = pd.read_csv(towns.data, sep=";", dtype=str, index_col=0)
    with pytest.raises(DataError, match="has more than one column named 'area'"):
        towns.model.predict(frame.assign(**{" area": "1"}))


HEADER = "area;code;town;built;price\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a header line"),
        ("area;code;town;build;price\n1;2;3;4;5\n", "column 'built' is missing; did you mean 'build'?"),
        ("area;area;code;town;built;price\n", "has more than one column named 'area'"),
        (HEADER + 12 * "1;001;Bern;1/2/2014;5\n" + "1;001;Bern;1/2/2014;5;6\n", "(line 14 has 6, the header 5)"),
        (HEADER + "1;001;Bern;1/2/2014\xff\n", "is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(towns, tmp_path, predict, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content.encode("latin-1"))
    done = predict(towns, path)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"harness: error: {path}: ")
    assert message in line


def test_a_header_alone_gives_a_header_alone(towns, tmp_path, predict):
    (tmp_path / "none.csv").write_text(HEADER)
    assert predict(towns, tmp_path / "none.csv").out == "index,prediction\n"
    assert predict(towns, tmp_path / "none.csv", "--out", tmp_path / "o.parquet", "--proba").code == 0
    written = pd.read_parquet(tmp_path / "o.parquet")
    assert list(written) == ["index", "prediction", "probability_no", "probability_yes"]
    assert written.empty


def test_what_may_not_be_written_is_refused_before_anything_is_done(towns, icons, tmp_path, predict):
    there = tmp_path / "there.csv"
    there.write_text("mine")
    for out, message in (
        (there, "is there already; --force replaces it"),
        (towns.run / "out.csv", "is inside a run folder"),
        (icons.run / "best" / "out.csv", "is inside a run folder"),
        (tmp_path / "out.txt", "ends neither in .csv nor in .parquet"),
        (towns.data, "holds the samples themselves"),
    ):
        done = predict(towns, towns.data, "--out", out)
        refused(done, message)
    assert there.read_text() == "mine"
    assert predict(towns, towns.data, "--out", there, "--force").code == 0
    assert len(pd.read_csv(there)) == 120
    assert predict(towns, towns.data, "--json").code == 2
    assert predict(towns, towns.data, "--out", tmp_path / "no" / "out.csv").code == 5


def test_several_values_of_an_array_with_intervals(pairs, predict, tmp_path):
    done = predict(pairs, pairs.data, "--intervals", "0.8")
    found, known = pd.read_csv(io.StringIO(done.out)), pairs.known
    ends = ["low_0", "low_1", "high_0", "high_1"]
    assert list(found) == ["index", "prediction_0", "prediction_1", *ends]
    tested = found.iloc[known["index"]]
    np.testing.assert_allclose(
        tested[["prediction_0", "prediction_1"]], known[["predicted_0", "predicted_1"]], rtol=1e-5
    )
    with np.load(pairs.data) as file:
        x = file["rows"]
    interval = pairs.model.predict_interval(x, 0.8)
    np.testing.assert_allclose(found[ends].to_numpy(), np.hstack([interval[..., 0], interval[..., 1]]), rtol=1e-5)
    np.savez(tmp_path / "other.npz", anything=np.asfortranarray(x.astype(np.float64)))
    out = tmp_path / "f.csv"
    predict_file(pairs.model, tmp_path / "other.npz", out, coverage=0.8, rows=7)
    np.testing.assert_allclose(pd.read_csv(out), found, rtol=1e-5, atol=1e-5)
    np.savez(tmp_path / "two.npz", a=x, b=x)
    for file, message in (
        ("two.npz", "holds no array 'rows'"),
        ("wide.npz", "raw table has shape (3, 2), expected N x 4"),
    ):
        np.savez(tmp_path / "wide.npz", rows=np.zeros((3, 2)))
        done = predict(pairs, tmp_path / file)
        assert done.code == 2
        assert message in done.err
    (tmp_path / "cut.npz").write_bytes(pairs.data.read_bytes()[:-200])
    assert "is not a whole NPZ file" in predict(pairs, tmp_path / "cut.npz").err


def test_what_does_not_fit_the_model_is_said(pairs, towns, icons, predict, tmp_path):
    np.savez(tmp_path / "small.npz", x=np.zeros((3, 3, 5, 5), np.uint8))
    for trained, data, option, message in (
        (pairs, pairs.data, "--proba", "predicts values, of which there are no probabilities"),
        (towns, towns.data, "--intervals=0.9", "predicts classes, of which there are no intervals"),
        (pairs, pairs.data, "--intervals=0.99", "intervals of coverage 0.99 take 99 errors, and there are"),
        (pairs, pairs.data, "--intervals=1", "coverage 1.0: is no share between 0 and 1"),
        (pairs, pairs.data, "--model=bets", "has no model 'bets'; did you mean 'best'?"),
        (towns, icons.data, "--proba", "is a folder, and the model takes rows of a table"),
        (icons, towns.data, "--proba", "is no NPZ file, and the model takes images (3 x 8 x 8)"),
        (icons, tmp_path, "--proba", "holds no images, nor do the folders below it"),
        (icons, tmp_path / "small.npz", "--proba", "are (3, 5, 5), the training data's were (3, 8, 8)"),
    ):
        done = predict(trained, data, option)
        refused(done, message)


def test_images_in_folders_or_flat_are_predicted_as_in_the_run(icons, predict, tmp_path):
    (icons.data / "list.txt").write_text("")
    done = predict(icons, icons.data, "--proba")
    found, known = table(done.out), icons.known
    assert "1 files not named like images: left out" in done.err
    tested = found.set_index("file").loc[known["file"]]
    assert list(tested["index"]) == list(known["index"])
    assert list(tested["prediction"]) == list(known["predicted_name"])
    np.testing.assert_allclose(probabilities(tested), probabilities(known), rtol=1e-5)
    for path in icons.data.rglob("*.png"):
        shutil.copy(path, tmp_path)
    out = tmp_path / "flat.csv"
    predict_file(icons.model, tmp_path, out, proba=True, rows=3)
    flat = pd.read_csv(out).set_index("file").loc[[name.split("/")[1] for name in found["file"]]]
    np.testing.assert_allclose(probabilities(flat), probabilities(found), rtol=1e-5)
    (tmp_path / "1.png").write_bytes(b"no image")
    assert predict(icons, tmp_path).err.startswith(f"harness: error: {tmp_path / '1.png'}: is not an image")


def test_a_run_that_cannot_be_used_is_refused_in_one_line(towns, predict, tmp_path):
    def broken(name, **change):
        run = shutil.copytree(towns.run, tmp_path / name)
        for file, content in change.items():
            (run / file.replace("__", "/").replace("_json", ".json")).write_text(content)
        return type(towns)(run, towns.data)

    unfinished = broken("unfinished")
    shutil.rmtree(unfinished.run / "best")
    newer = broken("newer", manifest_json='{"schema_version": 99, "files": {}}')
    damaged = broken("damaged", best__preprocessing_json="{")
    for trained, code, message in (
        (type(towns)(tmp_path / "none", towns.data), 2, "no such run folder"),
        (unfinished, 2, "holds no final model"),
        (newer, 5, "schema version 99, this harness reads 1"),
        (damaged, 5, "not valid JSON"),
    ):
        done = predict(trained, towns.data)
        refused(done, message, code)


PEAK = r"""
import re, sys, harness
from pathlib import Path
from harness.prediction import predict_file
model = harness.load(sys.argv[1], device="cpu")
found = predict_file(model, Path(sys.argv[2]), Path(sys.argv[3]), coverage=0.8)
print(found.rows, int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_file(pairs, tmp_path):
    """500,000 rows as text and as numbers take over 100 MiB; what is held at once is a chunk."""
    rng = np.random.default_rng(0)
    some = pd.DataFrame(rng.normal(size=(50_000, 4)), columns=list("0123")).to_csv(index=False)
    header, rows = some.split("\n", 1)
    peaks = {}
    for name, times in (("small", 1), ("large", 10)):
        (tmp_path / f"{name}.csv").write_text(f"{header}\n{rows * times}")
        done = subprocess.run(
            [sys.executable, "-c", PEAK, pairs.run, tmp_path / f"{name}.csv", tmp_path / f"{name}-out.csv"],
            capture_output=True,
            text=True,
            check=True,
        )
        count, peaks[name] = map(float, done.stdout.split())
        assert count == 50_000 * times
    assert peaks["large"] < peaks["small"] + 60, peaks
