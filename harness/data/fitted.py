"""The form of fitted preprocessing, which is plain data: what a received ``preprocessing.json`` must be to be used."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class Target(TypedDict):
    """What is predicted: classes in the order of their codes, or values, of which there may be several."""

    name: NotRequired[str]
    names: NotRequired[list[str]]
    classes: NotRequired[list[str]]
    mean: NotRequired[float | list[float]]
    scale: NotRequired[float | list[float]]
    log: NotRequired[bool]
    quantiles: NotRequired[list[float]]
