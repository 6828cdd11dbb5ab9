"""In which form each kind of inputs comes to an exported model, and what becomes of it there: a file for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.exporting.forms.audio import AudioForm
from harness.exporting.forms.forecast import ForecastForm
from harness.exporting.forms.form import COLUMNS, RawForm, RawInput, grouped, tensors_of
from harness.exporting.forms.image import ImageForm
from harness.exporting.forms.series import SeriesForm
from harness.exporting.forms.table import TableForm
from harness.exporting.forms.text import TextForm

FORMS: Mapping[str, RawForm[Any]] = {
    "table": TableForm(),
    "image": ImageForm(),
    "series": SeriesForm(),
    "forecast": ForecastForm(),
    "text": TextForm(),
    "audio": AudioForm(),
}
"""By the name of the modality."""


def form_of(fitted: Mapping[str, Any]) -> RawForm[Any]:
    """Return the form of what preprocessing was fitted to."""
    return FORMS[fitted["inputs"]]


__all__ = ["COLUMNS", "RawForm", "RawInput", "form_of", "grouped", "tensors_of"]
