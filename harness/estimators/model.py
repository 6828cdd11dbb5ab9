"""A final model as the bytes of its files: all that it takes to predict once its run is gone, or somewhere else."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.api import load
from harness.study import Predictor
from harness.study.final.saved import BEST

_FILES = ("candidate.json", "preprocessing.json", "model.safetensors")


class Model:
    """Pickled as bytes of safetensors and JSON, of which nothing is ever unpickled into a module."""

    def __init__(self, files: Mapping[str, bytes], *, device: str, trust: bool) -> None:
        self._files = dict(files)
        self._device = device
        self._trust = trust
        self._predictor: Predictor | None = None

    @classmethod
    def of_run(cls, run: Path, *, device: str, trust: bool) -> Model:
        """Return the winner's final model of a run."""
        files = {name: (run / BEST / name).read_bytes() for name in _FILES}
        return cls(files, device=device, trust=trust)

    @property
    def predictor(self) -> Predictor:
        """The model as :func:`harness.load` returns it, loaded on first use."""
        if self._predictor is None:
            with tempfile.TemporaryDirectory(prefix="harness-") as folder:
                best = Path(folder) / BEST
                best.mkdir()
                for name, content in self._files.items():
                    (best / name).write_bytes(content)
                self._predictor = load(folder, device=self._device, trust=self._trust)
        return self._predictor

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_predictor": None}
