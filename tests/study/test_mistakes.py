"""The samples that a report shows as the worst are the worst, and look as they were read."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.data import load
from harness.problems import problems
from harness.report.stats import TestStats as SchemaOfTest
from harness.spec import parse_spec
from harness.store import plain
from harness.study.final.mistakes import COLUMNS, SHOWN, SIDE, describe_mistakes


def opened(task):
    """Return the data of a task whose test samples are open."""
    dataset = load(
        parse_spec(f"task: {task}\nspace: {{architecture: {{mlp: {{}}}}}}", origin="space.yaml").task, seed=0
    )
    return dataset, dataset.open_test()


def described(dataset, part, answers):
    """Return what is said of the worst answers, as it comes back from JSON."""
    problem = problems[dataset.shape.kind]
    predictions = dataset.describe_test().assign(**problem.columns(answers, dataset.class_names))
    found = describe_mistakes(dataset, predictions, problem.mistakes(part.truth, answers))
    return json.loads(json.dumps(plain(found), allow_nan=False))


def answers_of(part, classes, seed=0):
    """Return probabilities that are wrong for one sample in five."""
    rng = np.random.default_rng(seed)
    answers = rng.dirichlet(np.ones(classes), len(part))
    best = answers.argmax(axis=1)
    right = rng.random(len(part)) < 0.8
    rows = np.flatnonzero(right)
    swapped = answers[rows, part.targets[rows]].copy()
    answers[rows, part.targets[rows]] = answers[rows, best[rows]]
    answers[rows, best[rows]] = swapped
    return answers


@pytest.fixture(scope="module")
def digits():
    dataset, part = opened("digits")
    answers = answers_of(part, 10)
    return part, answers, described(dataset, part, answers)


def test_the_wrong_ones_come_with_the_surest_first(digits):
    part, answers, found = digits
    wrong = np.flatnonzero(answers.argmax(axis=1) != part.targets)
    expected = sorted(answers[wrong].max(axis=1), reverse=True)[:SHOWN]
    assert [each["confidence"] for each in found] == pytest.approx(expected)
    places = {int(index): place for place, index in enumerate(part.index)}
    for each in found:
        place = places[each["index"]]
        assert each["target"] == str(part.targets[place]) != each["predicted"]
        assert each["predicted"] == str(answers[place].argmax())


def test_a_picture_is_the_sample_up_to_its_brightness(digits):
    part, _, found = digits
    places = {int(index): place for place, index in enumerate(part.index)}
    for each in found:
        image = Image.open(io.BytesIO(base64.b64decode(each["picture"])))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (8, 8))
        raw = part.inputs[0][places[each["index"]], 0]
        np.testing.assert_allclose(np.asarray(image), raw * (255 / 16), atol=0.5)


def test_a_row_of_a_table_has_its_columns_as_they_were_read():
    dataset, part = opened("wine")
    answers = answers_of(part, 3)
    found = described(dataset, part, answers)
    raw = dataset.raw_test(np.arange(len(part)))
    places = {int(index): place for place, index in enumerate(part.index)}
    assert found
    for each in found:
        row = raw.iloc[places[each["index"]]]
        assert list(each["row"]) == list(raw.columns[:COLUMNS])
        assert [float(text) for text in each["row"].values()] == pytest.approx(list(row[:COLUMNS]), rel=1e-5)


def test_the_largest_errors_of_values_come_first():
    dataset, part = opened("diabetes")
    answers = part.truth + np.random.default_rng(0).normal(0, 9, len(part))
    found = described(dataset, part, answers)
    errors = [abs(each["predicted"] - each["target"]) for each in found]
    assert errors == sorted(np.abs(answers - part.truth), reverse=True)[:SHOWN]
    assert {each["confidence"] for each in found} == {None}


def test_large_pictures_in_colour_are_made_small():
    class Read:
        def raw_test(self, places):
            return np.random.default_rng(0).integers(0, 256, (len(places), 3, 200, 300), dtype=np.uint8)

    predictions = pd.DataFrame({"index": [7], "file": ["a/b.png"], "target": [1.0], "predicted": [2.0]})
    (found,) = describe_mistakes(Read(), predictions, np.array([0]))
    image = Image.open(io.BytesIO(base64.b64decode(found["picture"])))
    assert (image.mode, image.size) == ("RGB", (SIDE, SIDE * 2 // 3))
    assert found["name"] == "a/b.png"


def test_a_model_without_mistakes_has_none():
    dataset, part = opened("wine")
    assert described(dataset, part, np.eye(3)[part.targets]) == []


def test_what_is_written_is_what_a_report_accepts(digits):
    from pydantic import TypeAdapter

    from harness.report.stats import MistakeStats

    assert "mistakes" in SchemaOfTest.__annotations__
    TypeAdapter(list[MistakeStats]).validate_python(digits[2], strict=True)


def test_series_are_drawn_as_lines():
    dataset, part = opened("digits-series")
    answers = answers_of(part, 10)
    found = described(dataset, part, answers)
    assert len(found) == SHOWN
    for each in found:
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(each["picture"]))))
        assert pixels.shape == (SIDE, SIDE)
        assert (pixels == 255).mean() > 0.3
        assert (pixels < 128).any(axis=0).mean() > 0.9, "a line goes from one end to the other"
