"""The look at the test samples, and the files that it takes to use the winner elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save
from torch import Tensor

import harness
from harness.data import Dataset, Part
from harness.data.dataset import value_columns
from harness.measure import ConfusionMatrix
from harness.models import own_sha256
from harness.spec import Candidate
from harness.store import RunFolder, to_parquet
from harness.store.provenance import version
from harness.study.final.inference import Inference
from harness.study.final.outcome import Made
from harness.train import Evaluation


def score(folder: RunFolder, made: Made, part: Part, candidate: Candidate) -> Evaluation:
    """Measure the final model on the test samples and write its predictions of them."""
    dataset = made.dataset
    inference = Inference(made.predictor, dataset.shape, made.plan, candidate.training.loss)
    result = inference.evaluate(part)
    folder.write("predictions.parquet", to_parquet(predictions_frame(dataset, inference.outputs(part))))
    return result


def clipped(dataset: Dataset) -> list[str]:
    """Say how many test values lay so far outside of training that they were taken as if they lay at its edge."""
    counts = dataset.beyond_training()
    if not counts:
        return []
    listed = ", ".join(f"{count:,} of {column!r}" for column, count in counts.items())
    return [f"test values far outside the training range were clipped: {listed}"]


def per_class_of(made: Made, result: Evaluation) -> tuple[dict[str, list[Any]] | None, list[list[int]] | None]:
    """Return the scores of each class and the confusion matrix; None for values."""
    if not isinstance(result.quality, ConfusionMatrix):
        return None, None
    return {"class": list(made.dataset.class_names), **result.quality.per_class()}, result.quality.table()


def save_final(folder: RunFolder, made: Made, candidate: Candidate, trial: int) -> None:
    """Write what is needed to use the winner elsewhere; nothing of it is a pickle."""
    save_weights(folder, "best/model.safetensors", made.model.state_dict())
    folder.write_json("best/preprocessing.json", made.dataset.preprocessing)
    folder.write_json(
        "best/candidate.json",
        {
            "trial": trial,
            "task": made.dataset.name,
            "candidate": candidate.as_dict(),
            **({"ensemble": made.members} if made.members > 1 else {}),
            **({"temperature": made.temperature} if made.temperature != 1.0 else {}),
            "class_names": list(made.dataset.class_names),
            "shape": asdict(made.dataset.shape),
            "plan": asdict(made.plan),
            "versions": {"harness": harness.__version__, **{name: version(name) for name in ("torch", "numpy")}},
            **({"own_sha256": digest} if (digest := own_sha256(candidate.architecture)) else {}),
        },
    )


def save_weights(folder: RunFolder, name: str, state: Mapping[str, Tensor]) -> None:
    """Write a state as safetensors."""
    # Cloned, since safetensors takes no two names for one memory, as tied weights are.
    folder.write(name, save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in state.items()}))


def predictions_frame(dataset: Dataset, outputs: np.ndarray) -> pd.DataFrame:
    """Return one row per test sample: what it is called, what is right, and what the model says."""
    frame = dataset.describe_test()
    if not dataset.class_names:
        target = dataset.shape.target
        assert target is not None
        values = outputs.astype(np.float64) + np.reshape(target.centre, target.shape)
        return frame.assign(**value_columns("predicted", values, target.names))
    codes = outputs.argmax(axis=1)
    names = np.array(dataset.class_names, dtype=object)[codes]
    probabilities = {f"probability_{k}": outputs[:, k].astype(np.float64) for k in range(outputs.shape[1])}
    return frame.assign(predicted=codes, predicted_name=names, **probabilities)
