"""The form of a task of sounds."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.spec.task import DataPath, TaskSpec, source


@source
class AudioTask(TaskSpec):
    r"""A folder with one sub-folder of recordings per class, or with such folders below train, val and test.

    ``split.group`` is a regular expression: recordings stay in one part where it finds the same in their paths below
    the folder, such as ``speaker\d+``; of an expression with a group, what that one finds.
    """

    source: ClassVar[str] = "audio"

    audio: DataPath
    rate: Annotated[int, Field(ge=2_000, le=192_000)] = 16_000
    """Samples a second to which every recording is brought."""
    seconds: Literal["auto"] | Annotated[float, Field(gt=0.0, le=60.0)] = "auto"
    """Of a recording that are heard, the first; shorter ones are padded with silence. ``auto``: what 95 % of the
    training recordings have, at most 10."""
    mels: Annotated[int, Field(ge=8, le=256)] = 40
    """Bands of frequencies, equally wide on the mel scale."""

    @model_validator(mode="after")
    def _groups_by_an_expression(self) -> AudioTask:
        try:
            re.compile(self.split.group or "")
        except re.error as error:
            raise ValueError(f"split.group is no regular expression ({error}); use one such as ^[^_]+") from None
        return self
