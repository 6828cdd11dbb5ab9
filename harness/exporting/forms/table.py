"""Tables: a column an input.

Shape legend: N samples, F numbers, D dates, K categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from harness.exporting.calendar import calendar
from harness.exporting.forms.form import Kind, RawForm, RawInput, grouped

OUTPUTS = ("label", "probabilities", "value")
"""Names of outputs, which no input may have too."""
MISSING_DATE = int(np.datetime64("NaT").astype(np.int64))
"""Stands for a missing date: what NumPy's NaT is as an integer."""
_MADE = 64
_AROUND = ("1600-02-29", "1899-12-31T23:59:59.999999", "1970-01-01", "2024-02-29T12:30:15", "2100-03-01T00:00:01")
"""Dates at the edges of the calendar: leap years and those that are none, before and after 1970."""


class TableForm(RawForm[pd.DataFrame]):
    """Numbers, then dates, then categories: float64, int64 and text, ``N x 1`` each."""

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the columns that were learnt from, calendar numbers as their date."""
        dates = [each["column"] for each in fitted.get("dates", ())]
        numbers = [name for name in (each["column"] for each in fitted["numeric"]) if not _of_date(name, dates)]
        texts = {each["column"]: tuple(each["categories"]) for each in fitted["categorical"]}
        columns: list[tuple[str, Kind, str]] = [(name, "numbers", "float64") for name in numbers]
        columns += [(name, "dates", "int64") for name in dates]
        columns += [(name, "categories", "string") for name in texts]
        names = _distinct([name for name, _, _ in columns])
        return tuple(
            RawInput(own, kind, dtype, column=column, categories=texts[column] if kind == "categories" else ())
            for own, (column, kind, dtype) in zip(names, columns, strict=True)
        )

    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return what fills in, standardises and clips numbers."""
        return PreparedTable(fitted, self.inputs(fitted))

    def arrays(self, fitted: Mapping[str, Any], raw: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return typed columns; of text as objects, with "" for a missing one."""
        return {each.name: _values(each, raw[each.column])[:, None] for each in self.inputs(fitted)}

    def made_up(self, fitted: Mapping[str, Any]) -> pd.DataFrame:
        """Return rows with missing values, and those around the edges of what was learnt from."""
        rng = np.random.default_rng(0)
        numeric = {each["column"]: each for each in fitted["numeric"]}
        firsts = {each["column"]: each["first"] for each in fitted.get("dates", ())}
        columns = {}
        for each in self.inputs(fitted):
            if each.kind == "numbers":
                columns[each.column] = rng.choice(_numbers(numeric[each.column]), _MADE)
            elif each.kind == "dates":
                columns[each.column] = rng.choice(_dates(firsts[each.column]), _MADE)
            else:
                columns[each.column] = rng.choice(_texts(each), _MADE)
        return pd.DataFrame(columns)


class PreparedTable(nn.Module):
    """Takes numbers ``N x F`` as float64, dates ``N x D`` as int64 and codes ``N x K``, as far as there are any."""

    first: Tensor
    order: Tensor
    median: Tensor
    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, fitted: Mapping[str, Any], inputs: Sequence[RawInput]) -> None:
        super().__init__()
        groups, numeric = grouped(inputs), fitted["numeric"]
        self.kinds = tuple(groups)
        firsts = [_microseconds(each["first"]) for each in fitted.get("dates", ())]
        self.register_buffer("first", torch.tensor(firsts, dtype=torch.int64))
        columns = [each.column for each in groups.get("numbers", ())]
        for each in groups.get("dates", ()):
            columns += [f"{each.column}: {name}" for name in calendar(self.first, self.first)]
        places = [columns.index(each["column"]) for each in numeric]
        self.register_buffer("order", torch.tensor(places, dtype=torch.int64))
        for name, usual in (("median", 0.0), ("mean", 0.0), ("scale", 1.0), ("low", -np.inf), ("high", np.inf)):
            values = [each.get(name, usual) for each in numeric]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, *raw: Tensor) -> tuple[Tensor, ...]:
        """Return what the network is called with: float32 numbers and, where there are categories, their codes."""
        given = dict(zip(self.kinds, raw, strict=True))
        codes = (given["categories"],) if "categories" in given else ()
        if not len(self.order):
            return raw[0].new_zeros((raw[0].shape[0], 0), dtype=torch.float32), *codes
        columns = [given["numbers"]] if "numbers" in given else []
        columns += [self._calendars(given["dates"])] if "dates" in given else []
        values_NF = torch.cat(columns, dim=1)[:, self.order]
        values_NF = torch.where(values_NF.isnan(), self.median, values_NF)
        x_NF = ((values_NF - self.mean) / self.scale).clamp(self.low, self.high)
        return x_NF.float(), *codes

    def _calendars(self, dates_ND: Tensor) -> Tensor:
        missing_ND = dates_ND == MISSING_DATE
        known_ND = torch.where(missing_ND, 0, dates_ND)
        numbers = calendar(known_ND, self.first).values()
        return torch.stack([torch.where(missing_ND, torch.nan, each) for each in numbers], dim=2).flatten(1)


def _of_date(name: str, dates: Sequence[str]) -> bool:
    return name.rpartition(": ")[0] in dates


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """Yield the names, with underscores where one is empty, an output's or another's."""
    taken = {"", *OUTPUTS}
    for name in names:
        while name in taken:
            name += "_"
        taken.add(name)
        yield name


def _values(each: RawInput, column: pd.Series) -> np.ndarray:
    if each.kind == "numbers":
        return column.to_numpy(np.float64)
    if each.kind == "dates":
        return column.to_numpy("datetime64[us]").astype(np.int64)
    return np.array(["" if pd.isna(text) else text for text in column], dtype=object)


def _microseconds(moment: str) -> int:
    return int(np.datetime64(datetime.fromisoformat(moment), "us").astype(np.int64))


def _numbers(fitted: Mapping[str, Any]) -> np.ndarray:
    """Return values within the training range, beyond where they are clipped, and a missing one."""
    standard = np.linspace(fitted.get("low", -3.0) - 1, fitted.get("high", 3.0) + 1, 12)
    return np.array([np.nan, fitted["median"], *(fitted["mean"] + fitted["scale"] * standard)])


def _dates(first: str) -> np.ndarray:
    later = np.datetime64(first, "us") + np.arange(0, 4000, 371) * np.timedelta64(86_399_000_001, "us")
    return np.concatenate([np.array(["NaT", *_AROUND], "datetime64[us]"), later])


def _texts(each: RawInput) -> np.ndarray:
    unseen = "unseen"
    while unseen in each.categories:
        unseen += "_"
    return np.array([None, unseen, *each.categories], dtype=object)
