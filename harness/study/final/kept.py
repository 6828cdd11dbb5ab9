"""Models with the weights that trials have left, and their scores on the test samples."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from harness.data import Dataset, TrainingData
from harness.errors import StorageError, first_line
from harness.records import TrialRecord
from harness.store import RunFolder, to_parquet
from harness.store.files import read_object
from harness.study.final.inference import Inference
from harness.study.final.retraining import settled_candidate
from harness.study.final.scoring import reasons_of, scorer_of_all
from harness.study.job import Job
from harness.study.keeping import weights_file
from harness.study.trial.building import build_model, followed_here


def kept_model(job: Job, folder: RunFolder, record: TrialRecord, dataset: TrainingData, seed: int) -> nn.Module:
    """Return a trial's model with its weights; ``seed`` is that of its training. Raises :class:`StorageError`."""
    model = build_model(job, settled_candidate(record), dataset, seed)
    path = folder.file(weights_file(record.trial))
    try:
        # From bytes: safetensors takes no path whose name is not UTF-8.
        model.load_state_dict(load(path.read_bytes()))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise StorageError(f"{path}: the weights of the trial cannot be loaded: {first_line(error)}") from error
    return model


def scores_file(trial: int) -> str:
    """Return where the metrics of a trial on the test samples are in its run."""
    return f"test/trial-{trial:06d}.json"


def score_trial(job: Job, dataset: Dataset, folder: RunFolder, record: TrialRecord) -> Mapping[str, float]:
    """Return all metrics of a trial on the test samples, and leave them and its predictions in ``test/``.

    What is there already is not scored again: a run that was killed goes on. Whoever calls this has noted that the test
    samples are opened.
    """
    path = folder.file(scores_file(record.trial))
    if not path.is_file():
        metrics, reasons = _scored(job.of_trial(record.seed), dataset, folder, record)
        folder.write_json(scores_file(record.trial), {"trial": record.trial, "metrics": metrics, "reasons": reasons})
    return {name: value if value is not None else float("nan") for name, value in read_object(path)["metrics"].items()}


def _scored(
    job: Job, dataset: Dataset, folder: RunFolder, record: TrialRecord
) -> tuple[Mapping[str, float], Mapping[str, str]]:
    """Return metrics, with the reason of each that is NaN, and write the predictions."""
    candidate, shape = settled_candidate(record), job.dataset.shape
    model = kept_model(job, folder, record, job.dataset, record.seed)
    assert record.plan is not None, "the trial is complete"
    part = dataset.open_test(job.dataset.preprocessing)
    inference = Inference(model, shape, followed_here(record.plan, job.device), candidate.training.loss)
    result, answers, predictions = inference.on_test(dataset, part)
    folder.write(f"test/trial-{record.trial:06d}.parquet", to_parquet(predictions))
    more = reasons_of(shape, result.metrics) | scorer_of_all(job.scorer, shape).measure(part.truth, answers)
    return {**result.metrics, **more.values}, more.reasons
