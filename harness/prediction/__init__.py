"""What a model says of new samples in files and folders of any size: read, predicted and written chunk by chunk."""

from __future__ import annotations

from harness.prediction.predict import Predicted, predict_file

__all__ = ["Predicted", "predict_file"]
