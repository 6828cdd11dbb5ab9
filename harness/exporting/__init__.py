"""The model of a run as one file for other programs, and a model card beside it.

``raw_inputs`` says what an exported model is called with, ``raw_model`` is the model with its preprocessing inside,
``samples`` and ``check`` compare what was written with the run's own model, ``exporter`` tells the whole story.
"""

from __future__ import annotations

from harness.exporting.exporter import Exported, export

__all__ = ["Exported", "export"]
