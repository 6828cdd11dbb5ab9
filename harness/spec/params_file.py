"""A point of a space that somebody wrote: the parameters of one candidate, from a file or from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import SpecError, did_you_mean
from harness.spec.first import point_of, value_at
from harness.spec.load import read_text
from harness.spec.parameters import Group, NodeError, Scalar, parameters
from harness.spec.reader import read_yaml


def read_params(path: Path) -> Mapping[str, Any]:
    """Return what a YAML or JSON file holds. Raises :class:`SpecError`."""
    data = read_yaml(read_text(path), str(path)).data
    if not isinstance(data, Mapping):
        raise SpecError(f"{path}: expected parameters as a mapping, such as architecture.mlp.width: 64")
    return data


def point_of_params(group: Group, params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the searched parameters of a candidate by dotted path.

    ``params`` have the form of ``trials.parquet``, where the paths are the names, or the nested one of a space. Raises
    :class:`NodeError` where they are not a part of the space; those that are missing are found where it is trained.
    """
    if not any("." in str(name) for name in params):
        return point_of(group, params)
    known = {each.path: each.node for each in parameters(group)}
    for name in params:
        if name not in known:
            raise NodeError((str(name),), f"not a searched parameter of this space{did_you_mean(str(name), known)}")
    return {name: value_at(known[name], value, (name,)) for name, value in params.items()}
