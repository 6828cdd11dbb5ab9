"""New texts, in files, folders and from Python, come to what the run predicted of them; the report shows wrong ones."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

import harness
from harness.errors import InputError
from harness.prediction import predict_file
from harness.report import write_report
from harness.study.final.mistakes import CHARACTERS

ROWS = 120


def texts():
    """Short texts whose class shows in some of their words, and now and then does not."""
    rng = np.random.default_rng(5)
    own = {"bad": ["dull", "weak"], "good": ["bright", "strong"]}
    kinds = rng.choice(list(own), ROWS)
    said = [" ".join([*rng.choice(["the", "a", "plot", "<b>"], 4), rng.choice(own[kind])]) for kind in kinds]
    return pd.DataFrame({"body": said, "kind": rng.permutation(kinds)})


@pytest.fixture(scope="module")
def reviews(tmp_path_factory, train):
    folder = tmp_path_factory.mktemp("reviews")
    frame = texts()
    frame.loc[7, "body"] = "word " * 2 * CHARACTERS
    frame.to_csv(folder / "reviews.csv", index=False)
    task = f"{{csv: {folder / 'reviews.csv'}, target: kind, text: body, tokeniser: words, split: {{test: 0.5}}}}"
    return train(folder, task, space="{architecture: {embedding_bag: {width: 8}}}"), frame


@pytest.fixture(scope="module")
def model(reviews):
    return harness.load(reviews[0], device="cpu")


def test_every_form_of_new_texts_gives_what_the_run_predicted(reviews, model, tmp_path):
    run, frame = reviews
    known = pd.read_parquet(run / "predictions.parquet")
    frame.to_csv(tmp_path / "new.csv", index=False)
    frame[["body"]].to_parquet(tmp_path / "new.parquet")
    frame.to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    (tmp_path / "new" / "below").mkdir(parents=True)
    for row, text in enumerate(frame["body"]):
        (tmp_path / "new" / "below" / f"{row:04d}.txt").write_text(text)
    for name in ("new.csv", "new.parquet", "new.jsonl", "new"):
        out = tmp_path / "told.csv"
        predict_file(model, tmp_path / name, out, force=True, rows=50)
        found = pd.read_csv(out)
        assert list(found["prediction"][known["index"]]) == list(known["predicted_name"]), name
    assert found["file"][3] == "below/0003.txt"
    assert list(model.predict(list(frame["body"]))[known["index"]]) == list(known["predicted_name"])
    assert list(model.predict(frame)[:9]) == list(model.predict(frame["body"])[:9])


def test_bytes_of_no_text_in_a_new_file_are_told(model, tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"x\.txt: is not UTF-8 text"):
        predict_file(model, tmp_path, tmp_path / "told.csv")


def test_an_empty_file_of_json_lines_gives_the_error_of_a_missing_column(model, tmp_path):
    (tmp_path / "x.jsonl").write_text("\n")
    with pytest.raises(InputError, match="column 'body' is missing"):
        predict_file(model, tmp_path / "x.jsonl", tmp_path / "told.csv")


def test_the_report_shows_the_wrong_texts_and_cuts_long_ones(reviews, tmp_path):
    run, frame = reviews
    known = pd.read_parquet(run / "predictions.parquet")
    wrong = known[known["predicted"] != known["target"]]
    mistakes = json.loads((run / "stats.json").read_text())["test"]["mistakes"]
    assert 0 < len(mistakes) <= len(wrong)
    for each in mistakes:
        said = " ".join(frame["body"][each["index"]].split())
        assert each["text"] == said or (len(each["text"]) == CHARACTERS and said.startswith(each["text"][:-1]))
    (page,) = write_report(run, ("html",), tmp_path)
    shown = page.read_text().split('id="mistakes"')[1].split("</section>")[0]
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown


def test_weights_are_exported_with_the_words_that_they_are_of(reviews, tmp_path):
    run, _ = reviews
    harness.export(run, format="safetensors", out=tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "np") as file:
        assert json.loads(file.metadata()["preprocessing"])["words"]
    assert "| tokens | int64 |" in (tmp_path / "x.safetensors.md").read_text()
