"""Weights that a training begins with, where a family names some: nothing of them is a pickle."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from harness.errors import InputError
from harness.models.build import parse
from harness.models.families import own
from harness.models.family import families
from harness.records import Named

FILES = ("best/model.safetensors", "model.safetensors")
"""Where a folder, of a run or of weights alone, has its weights."""


def load_weights(architecture: Named, model: nn.Module) -> None:
    """Put the weights that the family names for these parameters into a model that is about to be trained.

    To be called for a real training alone: whatever plans, predicts or counts needs no values. What the file does not
    hold stays as it was drawn. Raises :class:`InputError` for a file that cannot be read or is another model's.
    """
    if own.is_own(architecture) or (weights := families[architecture.name].weights) is None:
        return
    if (named := weights(parse(architecture))) is None:
        return
    path = Path(named)
    file = next((path / name for name in FILES if (path / name).is_file()), path)
    where = f"architecture.{architecture.name}: the weights in {file}"
    try:
        unknown = model.load_state_dict(state := load(file.read_bytes()), strict=False).unexpected_keys
    except (OSError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{where} cannot be loaded: {said}; name a safetensors file of this model") from None
    if unknown or not state:
        raise InputError(f"{where} are another model's: it has no {', '.join(unknown[:3]) or 'names in common'}")
