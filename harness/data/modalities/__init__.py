"""The kinds of inputs that samples may have: one entry each, which everything else asks.

A new one is a file with a subclass of :class:`~harness.data.modality.Modality`, and its line below.
"""

from harness.data.modalities.forecasts import ForecastModality
from harness.data.modalities.images import ImageModality
from harness.data.modalities.series import SeriesModality
from harness.data.modalities.tables import TableModality
from harness.data.modalities.text import TextModality
from harness.data.modality import Modality, Prepared, modalities, modality_of

for _each in (TableModality(), ImageModality(), TextModality(), SeriesModality(), ForecastModality()):
    modalities.add(_each.name, _each)

__all__ = ["Modality", "Prepared", "modalities", "modality_of"]
