"""The data of a run, of which test samples are what an export is compared on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from harness.data.asked_columns import columns_needed
from harness.data.modalities import modality_of
from harness.data.sources import Source, read_source
from harness.errors import InputError, StorageError
from harness.report import RunFiles
from harness.spec import load_spec

MOST = 256
"""Of the test samples; the first ones."""


class Data(NamedTuple):
    """The data of a run, where it is at hand."""

    source: Source | None
    reason: str = ""
    """Why it is not."""


def find_data(run: Path, files: RunFiles, preprocessing: Mapping[str, Any]) -> Data:
    """Read the data of a run again, if it is where it was and as it was."""
    try:
        source = read_source(load_spec(str(run / "space.yaml")).task)
    except (InputError, StorageError) as error:
        return Data(None, str(error))
    if source.fingerprint != files.stats["task"]["fingerprint"]:
        return Data(None, f"the data of {source.name} have changed since the run")
    if isinstance(source.inputs, pd.DataFrame) and not {*columns_needed(preprocessing)} <= {*source.inputs.columns}:
        return Data(None, f"the columns of {source.name} are read otherwise by this version of harness")
    return Data(source)


def test_samples(source: Source, predictions: pd.DataFrame) -> Any:
    """Return the first test samples of a run as they were read."""
    places = np.arange(len(source))
    if source.official_test:  # whose positions are counted in a file of their own
        chosen = places[-source.official_test :]
    else:
        chosen = places[np.isin(source.positions(places), predictions["index"])]
    return modality_of(source.inputs).take(source.inputs, chosen[:MOST], source.name)
