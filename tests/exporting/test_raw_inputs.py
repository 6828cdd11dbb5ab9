"""The inputs of an exported model have the names of the columns, as far as outputs leave these free."""

import numpy as np
import pandas as pd
import torch

from harness.exporting.forms import form_of, tensors_of
from harness.exporting.forms.table import MISSING_DATE
from harness.exporting.raw_model import decide

NUMBER = {"median": 0.0, "mean": 0.0, "scale": 1.0}
TABLE = {
    "inputs": "table",
    "dates": [{"column": "day", "first": "2020-01-01T00:00:00"}],
    "numeric": [{"column": name, **NUMBER} for name in ("value", "value_", "day: year", "area")],
    "categorical": [{"column": "label", "categories": ["a", "b"]}],
}


def test_columns_that_are_called_as_outputs_get_underscores():
    inputs = form_of(TABLE).inputs(TABLE)
    assert [(each.name, each.column, each.kind) for each in inputs] == [
        ("value_", "value", "numbers"),
        ("value__", "value_", "numbers"),
        ("area", "area", "numbers"),
        ("day", "day", "dates"),
        ("label_", "label", "categories"),
    ]


def test_typed_rows_become_arrays_and_tensors():
    frame = pd.DataFrame(
        {
            "value": [1.5, np.nan],
            "value_": [2.0, 3.0],
            "area": [4.0, 5.0],
            "day": pd.Series(["1970-01-02", None], dtype="datetime64[us]"),
            "label": ["b", None],
        }
    )
    form = form_of(TABLE)
    arrays = form.arrays(TABLE, frame)
    assert arrays["label_"].tolist() == [["b"], [""]]
    numbers, dates, codes = tensors_of(form.inputs(TABLE), arrays)
    np.testing.assert_array_equal(numbers, [[1.5, 2.0, 4.0], [np.nan, 3.0, 5.0]])
    assert dates.tolist() == [[86_400_000_000], [MISSING_DATE]]
    assert codes.tolist() == [[2], [0]]


def test_images_without_a_noted_type_are_taken_as_float32():
    image = {"inputs": "image", "image": [1, 2, 3], "mean": [0.0], "std": [1.0]}
    form = form_of(image)
    assert [each.dtype for each in form.inputs(image)] == ["float32"]
    (only,) = form.inputs({**image, "dtype": "uint8"})
    assert only.as_dict() == {"name": "image", "dtype": "uint8", "shape": ["N", 1, 2, 3]}


def test_the_second_of_two_classes_is_predicted_from_the_threshold_on():
    probabilities = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])
    assert decide(probabilities, None).tolist() == [0, 0, 1]
    assert decide(probabilities, 0.25).tolist() == [0, 1, 1]
    assert decide(probabilities, 0.95).tolist() == [0, 0, 0]
