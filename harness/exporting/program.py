"""A raw model as a program of ``torch.export``: what both formats that compute are made from."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from harness.errors import InputError, described
from harness.exporting.check import Answers, Runner
from harness.exporting.forms import RawInput, tensors_of
from harness.exporting.raw_model import RawModel

METADATA = "harness.json"
"""The file of a program's archive that says what is in it."""


def trace(model: RawModel, example: tuple[Tensor, ...], name: str) -> ExportedProgram:
    """Return the program of a model for batches of any size.

    Raises :class:`InputError` where torch cannot follow what the architecture of that name computes.
    """
    batch = Dim("batch")
    sizes = {"raw": tuple({0: batch} for _ in example)}
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(model.eval(), example, dynamic_shapes=sizes, strict=False)
    except Exception as error:
        # A module of the user's own may raise anything, and torch has no common root for what it refuses.
        raise InputError(
            f"architecture {name}: torch.export cannot follow it ({described(error)}); avoid branches on the values "
            "of tensors and fixed batch sizes, or use --format safetensors"
        ) from error


def packed(program: ExportedProgram, facts: Mapping[str, Any]) -> bytes:
    """Return the archive of a program (``.pt2``), with facts as JSON in it."""
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files={METADATA: json.dumps(facts)})
    return buffer.getvalue()


def runner_of(archive: bytes, inputs: Sequence[RawInput]) -> Runner:
    """Return what runs a program that was packed."""
    with quiet():
        module = torch.export.load(io.BytesIO(archive)).module()

    def run(arrays: Mapping[str, np.ndarray]) -> Answers:
        with torch.inference_mode():
            *codes, answers = module(*tensors_of(inputs, arrays))
        return Answers(answers.double().numpy(), codes[0].numpy() if codes else None)

    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what torch says of itself while it exports: of its own deprecated calls, and of torchvision."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch 2.13 pickles its own tree specifications by an attribute that it deprecates.
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec", category=FutureWarning)
            # Its recurrent layers list their weights a second time, which it takes for tensors that are set meanwhile.
            warnings.filterwarnings("ignore", message="The tensor attributes? .*_flat_weights", category=UserWarning)
            yield
    finally:
        logger.setLevel(before)
