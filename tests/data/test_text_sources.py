"""Where texts come from: columns of tables, files of JSON lines, folders."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from harness.data import given, load
from harness.data.sources import read_source
from harness.errors import DataError
from harness.spec import parse_spec
from harness.spec.task import CsvTask, FrameTask, JsonlTask, ParquetTask, TextsTask, parse_task

FRAME = pd.DataFrame(
    {
        "body": [f"größer {word} {number}" for number in range(20) for word in ("dogs, and", 'cats "said"')],
        "kind": ["dog", "cat"] * 20,
        "author": [f"author {number // 4}" for number in range(40)],
    }
)
KEYS = {"target": "kind", "text": "body"}


def lines(path, rows, encoding="utf-8"):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding=encoding)
    return path


def folder(path, texts=None, classes=("cat", "dog"), encoding="utf-8"):
    for name in classes:
        (path / name).mkdir(parents=True)
        for number, text in enumerate(texts or [f"größer {name} {number}" for number in range(12)]):
            (path / name / f"{number:02d}.txt").write_text(text, encoding=encoding)
    return path


def refusal(task):
    with pytest.raises(DataError) as raised:
        load(task, seed=0)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_every_form_of_a_table_gives_the_same_samples(tmp_path):
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    FRAME.to_parquet(tmp_path / "x.parquet")
    tasks = [
        CsvTask(csv=tmp_path / "x.csv", **KEYS),
        ParquetTask(parquet=tmp_path / "x.parquet", **KEYS),
        JsonlTask(jsonl=lines(tmp_path / "x.jsonl", FRAME.to_dict("records")), **KEYS),
    ]
    sets = [load(task, seed=0) for task in tasks]
    sets.append(load(FrameTask(frame="x", **KEYS), seed=0, given=given(FRAME, target="kind")))
    for data in sets:
        assert data.class_names == ("cat", "dog")
        assert all(np.array_equal(*pair) for pair in zip(data.train.inputs, sets[0].train.inputs, strict=True))
        assert any(
            "text 'body' alone is learnt from; other columns are ignored: 'author'" in each for each in data.notes
        )


def test_rows_of_one_author_stay_together(tmp_path):
    path = tmp_path / "x.csv"
    FRAME.to_csv(path, index=False)
    data = load(CsvTask(csv=path, **KEYS, split={"group": "author"}), seed=0)
    parts = [set(FRAME["author"].iloc[rows]) for rows in data.split_index.values()]
    assert not parts[0] & parts[2]
    assert not parts[0] & parts[1]


def test_a_test_file_of_texts_is_the_test_part(tmp_path):
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    FRAME[:10].to_csv(tmp_path / "y.csv", index=False)
    data = load(CsvTask(csv=tmp_path / "x.csv", test={"csv": tmp_path / "y.csv"}, **KEYS), seed=0)
    data.open_test()
    assert list(data.raw_test(np.arange(10)).values) == list(FRAME["body"][:10])


def test_numbers_can_be_predicted_of_texts(tmp_path):
    FRAME.assign(price=np.arange(40) / 7).to_csv(tmp_path / "x.csv", index=False)
    data = load(CsvTask(csv=tmp_path / "x.csv", target="price", text="body"), seed=0)
    assert (data.shape.kind, data.shape.outputs) == ("regression", 1)


def test_json_lines_are_read_as_a_table_too(tmp_path):
    frame = FRAME.assign(
        size=np.arange(40) * 1.5, code=[f"{number:03d}" for number in range(40)], big=2**60 + np.arange(40)
    )
    frame = frame[["size", "author", "kind", "code"]]
    frame.to_csv(tmp_path / "x.csv", index=False)
    rows = [{key: value for key, value in row.items() if key != "size" or value} for row in frame.to_dict("records")]
    frames = [
        read_source(task).inputs
        for task in (
            CsvTask(csv=tmp_path / "x.csv", target="kind"),
            JsonlTask(jsonl=lines(tmp_path / "x.jsonl", ["", *rows]), target="kind"),
        )
    ]
    assert np.isnan(frames[1]["size"][0])
    pd.testing.assert_frame_equal(frames[0][1:], frames[1][list(frames[0].columns)][1:])


def test_a_folder_has_a_class_in_each_sub_folder(tmp_path):
    data = load(TextsTask(texts=folder(tmp_path / "pets"), tokeniser="words"), seed=0)
    assert (data.name, data.class_names) == ("pets", ("cat", "dog"))
    assert data.preprocessing["words"][0] == "größer"
    data.open_test()
    assert data.describe_test()["file"].str.fullmatch(r"(cat|dog)/\d\d\.txt").all()


def test_folders_of_parts_are_the_parts(tmp_path):
    for part in ("train", "test"):
        folder(tmp_path / part)
    data = load(TextsTask(texts=tmp_path), seed=0)
    assert len(data.open_test()) == 24


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_of_another_encoding_is_read_where_it_is_named(tmp_path, encoding):
    FRAME.to_csv(tmp_path / "x.csv", index=False, encoding=encoding)
    rows = [json.dumps(row, ensure_ascii=False) for row in FRAME.to_dict("records")]
    said = {"encoding": encoding}
    sets = [
        load(task, seed=0)
        for task in (
            CsvTask(csv=tmp_path / "x.csv", **KEYS, **said),
            JsonlTask(jsonl=lines(tmp_path / "x.jsonl", rows, encoding), **KEYS, **said),
            TextsTask(texts=folder(tmp_path / "pets", encoding=encoding), **said),
        )
    ]
    for data in sets:
        data.open_test()
        assert data.raw_test(np.array([0])).values[0].startswith("größer")
        assert data.preprocessing["encoding"] == encoding


def test_a_text_of_another_encoding_is_refused_with_the_key(tmp_path):
    FRAME.to_csv(tmp_path / "x.csv", index=False, encoding="latin-1")
    rows = lines(tmp_path / "x.jsonl", ['{"body": "größer", "kind": "a"}'], "latin-1")
    path = folder(tmp_path / "pets", encoding="latin-1")
    tasks = CsvTask(csv=tmp_path / "x.csv", **KEYS), JsonlTask(jsonl=rows, **KEYS), TextsTask(texts=path)
    for task in tasks:
        assert re.search(r"is not UTF-8 text \(.*\); save it as UTF-8, or say its `encoding:`", refusal(task))
    assert "is not ASCII text" in refusal(TextsTask(texts=path, encoding="ascii"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"body": "a"}, "[1]"], "line 2 is no object; write one such as"),
        ([{"body": "a"}, "", "{'body': 1}"], "line 3 is no JSON (Expecting property name"),
        (['{"body": NaN}'], "line 1 is no JSON (NaN is no number of JSON)"),
        ([{"body": ["a"]}], "line 1: 'body' holds a list; give text"),
        (["[" * 100_000], "line 1 is no JSON (maximum recursion"),
        ([], "holds no rows"),
        ([{"body": "a", "kind": "b"}, {"body": "a", "kind": "c"}] * 15, "all 21 training texts are the same"),
    ],
)
def test_json_lines_that_cannot_be_used_are_refused(rows, message, tmp_path):
    assert message in refusal(JsonlTask(jsonl=lines(tmp_path / "x.jsonl", rows), **KEYS))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"body": range(40)}, {}, "text 'body' holds numbers alone; name a column of texts"),
        ({"body": ""}, {}, "text 'body' is empty in every row; name another column"),
        ({"body": "same"}, {}, "training texts are the same"),
        ({"body": [f"w{number}" for number in range(40)]}, {"tokeniser": "words"}, "no word occurs twice"),
        ({"kind": ["dog"] * 39 + ["cat"]}, {}, "class 'cat'"),
        ({}, {"text": "bodi"}, "text 'bodi' is not a column; did you mean 'body'"),
        ({}, {"text": "kind"}, "the target 'kind' may not be under `text`"),
        ({}, {"drop": ["body"]}, "is under `drop`, and is not learnt from"),
    ],
)
def test_tables_without_texts_to_learn_from_are_refused(changes, options, message, tmp_path):
    FRAME.assign(**changes).to_csv(tmp_path / "x.csv", index=False)
    assert message in refusal(CsvTask(csv=tmp_path / "x.csv", **{**KEYS, **options}))


def test_empty_texts_are_told(tmp_path):
    FRAME.assign(body=FRAME["body"].where(FRAME.index != 6, " ")).to_csv(tmp_path / "x.csv", index=False)
    notes = read_source(CsvTask(csv=tmp_path / "x.csv", **KEYS)).notes
    assert any("text 'body' is empty in 1 rows, the first at line 8" in note for note in notes)
    path = folder(tmp_path / "pets")
    (path / "cat" / "x.txt").write_text("")
    assert "1 text files are empty" in read_source(TextsTask(texts=path)).notes[-1]


def test_folders_without_texts_or_classes_are_refused(tmp_path):
    path = folder(tmp_path / "pets")
    assert "its 12 text files lie directly in it; put them in one sub-folder per class" in refusal(
        TextsTask(texts=path / "cat")
    )
    (tmp_path / "none" / "x").mkdir(parents=True)
    assert "holds no text files; expected one sub-folder of text files per class" in refusal(
        TextsTask(texts=tmp_path / "none")
    )
    assert "every text file is empty" in refusal(TextsTask(texts=folder(tmp_path / "empty", [""])))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"csv": "x.csv", "target": "y", "vocabulary": 500}, "vocabulary says how texts are read; name their column"),
        ({"texts": "x", "vocabulary": 100}, "a vocabulary of byte pairs has at least 258 codes"),
        ({"texts": "x", "encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        ({"texts": "x", "encoding": "base64"}, "unknown encoding 'base64'"),
    ],
)
def test_keys_of_texts_that_do_not_fit_are_refused(task, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_task(task)


def test_a_space_of_tables_is_written_as_before_there_were_texts():
    spec = parse_spec("task: {csv: x.csv, target: y}\nspace: {architecture: mlp}\n", origin="x")
    assert not {"text", "tokeniser", "vocabulary", "length", "encoding"} & set(spec.model_dump()["task"])
    spec = parse_spec("task: {csv: x.csv, target: y, text: t, length: 9}\nspace: {architecture: mlp}\n", origin="x")
    assert {"text": "t", "length": 9}.items() <= spec.model_dump()["task"].items()
