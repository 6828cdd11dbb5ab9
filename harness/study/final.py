"""What becomes of the winner: refitted or kept, scored once on the test samples, and saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from harness.data import Dataset, TrainingData, derive_seed, place
from harness.errors import Diverged, StorageError
from harness.measure import ConfusionMatrix
from harness.records import EpochRecord, Plan, TrialRecord
from harness.spec import Candidate
from harness.store import RunFolder, to_parquet
from harness.study.archive import weights_file
from harness.study.building import (
    EVALUATION_BATCH,
    build_model,
    followed_here,
    make_fit,
    place_training,
    plan_training,
    target_scaling,
    with_batch_size,
)
from harness.study.job import Job
from harness.study.stop import Stop
from harness.train import evaluate, predict

Watch = Callable[[EpochRecord], None]


@dataclass(frozen=True, slots=True)
class Final:
    """The winner's one look at the test samples."""

    how: str
    """``refit`` or ``keep``."""
    note: str
    metrics: Mapping[str, float]
    per_class: Mapping[str, list[Any]] | None
    confusion: list[list[int]] | None
    opened: int
    """How often this run has looked at the test samples; more than once when a finished run was extended."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``stats.json``."""
        return {
            "final": self.how,
            "note": self.note,
            "opened": self.opened,
            "metrics": dict(self.metrics),
            "per_class": dict(self.per_class) if self.per_class else None,
            "confusion": self.confusion,
        }


class Finisher:
    """Makes the final model of a winner and scores it."""

    def __init__(
        self, job: Job, dataset: Dataset, folder: RunFolder, winner: TrialRecord, stop: Stop, watch: Watch
    ) -> None:
        self._job = job
        self._dataset = dataset
        self._folder = folder
        self._winner = winner
        self._candidate = Candidate.from_dict(winner.candidate)
        if winner.plan and self._candidate.training.batch_size == "auto":
            self._candidate = with_batch_size(self._candidate, winner.plan.batch_size)
        self._stop = stop
        self._watch = watch

    def finish(self, open_test: Callable[[], int]) -> Final:
        """Refit or keep the winner, score it on the test samples, and write ``best/`` and ``predictions.parquet``.

        ``open_test`` is called before the test samples are looked at and returns how often that has been. Raises
        :class:`Interrupted` when asked to stop; the search can then be resumed to do this again.
        """
        note = ""
        how = self._job.spec.training.final
        dataset = self._dataset.for_refit() if how == "refit" else self._dataset
        if how == "refit":
            try:
                model, plan = self._refit(dataset)
            except (Diverged, RuntimeError, MemoryError) as error:
                reason = str(error).partition("\n")[0]
                how, note = "keep", f"the refit failed ({reason}); the weights of the search were kept"
                dataset = self._dataset
        if how == "keep":
            model, plan = self._keep()
        final = self._score(dataset, model, plan, how=how, note=note, opened=open_test())
        self._save(dataset, model)
        return final

    def _refit(self, dataset: Dataset) -> tuple[nn.Module, Plan]:
        """Train anew on training and validation samples, for :func:`refit_epochs` epochs."""
        job, candidate, trial = self._job, self._candidate, self._winner.trial
        seed = derive_seed(job.spec.search.seed, "refit", trial)
        model = build_model(job, candidate, dataset, seed)
        train = place_training(job, candidate, dataset, seed)
        micro_batch = self._winner.plan.micro_batch if self._winner.plan else 0
        plan = plan_training(job, candidate, dataset, train, micro_batch=micro_batch)
        stop = self._stop.check_signal
        fit = make_fit(job, candidate, dataset, model, train, None, plan, seed=seed, trial=trial, stop=stop)
        last = refit_epochs(job, self._winner)
        for epoch in fit:
            self._watch(epoch)
            if epoch.epoch == last:
                break
        return model, plan

    def _keep(self) -> tuple[nn.Module, Plan]:
        """Return the model with the weights that the search left."""
        model = build_model(self._job, self._candidate, self._dataset, self._winner.seed)
        path = self._folder.file(weights_file(self._winner.trial))
        try:
            model.load_state_dict(load_file(path))
        except (OSError, RuntimeError, SafetensorError) as error:
            reason = str(error).partition("\n")[0]
            raise StorageError(f"{path}: the winner's weights cannot be loaded: {reason}") from error
        assert self._winner.plan is not None
        return model, followed_here(self._winner.plan, self._job.device)

    def _score(self, dataset: Dataset, model: nn.Module, plan: Plan, *, how: str, note: str, opened: int) -> Final:
        part = dataset.open_test()
        size = min(EVALUATION_BATCH, plan.micro_batch or EVALUATION_BATCH)
        batches = place(part, device=self._job.device, batch_size=size, seed=0, shuffle=False)
        common: dict[str, Any] = {
            "shape": dataset.shape,
            "plan": plan,
            "loss": self._candidate.training.loss,
            "target_scaling": target_scaling(dataset),
        }
        result = evaluate(model, batches, **common)
        outputs, _ = predict(model, batches, **common)
        self._folder.write("predictions.parquet", to_parquet(predictions_frame(dataset, outputs)))
        confusion = result.quality if isinstance(result.quality, ConfusionMatrix) else None
        per_class: dict[str, list[Any]] | None = None
        if confusion:
            per_class = {"class": list(dataset.class_names), **confusion.per_class()}
        return Final(
            how=how,
            note=note,
            metrics=result.metrics,
            per_class=per_class,
            confusion=confusion.table() if confusion else None,
            opened=opened,
        )

    def _save(self, dataset: TrainingData, model: nn.Module) -> None:
        """Write what is needed to use the winner elsewhere; nothing of it is a pickle."""
        save_weights(self._folder, "best/model.safetensors", model.state_dict())
        self._folder.write_json("best/preprocessing.json", dataset.preprocessing)
        self._folder.write_json(
            "best/candidate.json",
            {
                "trial": self._winner.trial,
                "task": dataset.name,
                "candidate": self._candidate.as_dict(),
                "class_names": list(dataset.class_names),
                "shape": asdict(dataset.shape),
            },
        )


def refit_epochs(job: Job, winner: TrialRecord) -> int:
    """Return how long to refit without validation samples that could say when to stop.

    At a constant rate as long as the winner's best epoch took. A schedule that anneals is followed to its end instead:
    cut off at the best epoch its rate is still high, and what made that epoch the best was partly its noise.
    """
    constant = "constant" in winner.candidate["schedule"]
    return winner.best_epoch if constant else job.spec.budget.epochs


def predictions_frame(dataset: Dataset, outputs: np.ndarray) -> pd.DataFrame:
    """Return one row per test sample: what it is called, what is right, and what the model says."""
    frame = dataset.describe_test()
    if not dataset.class_names:
        centre = dataset.preprocessing["target"]["mean"]
        return frame.assign(predicted=outputs.astype(np.float64) + centre)
    codes = outputs.argmax(axis=1)
    names = np.array(dataset.class_names, dtype=object)[codes]
    probabilities = {f"probability_{k}": outputs[:, k].astype(np.float64) for k in range(outputs.shape[1])}
    return frame.assign(predicted=codes, predicted_name=names, **probabilities)


def save_weights(folder: RunFolder, name: str, state: Mapping[str, Tensor]) -> None:
    """Write a state as safetensors."""
    # Cloned, since safetensors takes no two names for one memory, as tied weights are.
    folder.write(name, save({key: tensor.detach().cpu().contiguous().clone() for key, tensor in state.items()}))
