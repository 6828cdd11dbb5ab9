"""Optuna and Lightning's Trainer with its defaults, but without logger, checkpoints, progress bar and model summary."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import arm
import lightning
import torch
from candidates import Candidate, draw
from networks import build, optimizer_of
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from training import factor
from with_optuna import ask_trial, before_trial, new_study, tensors


class Classifier(lightning.LightningModule):
    """A candidate, its loss, its optimiser, and the best validation accuracy so far."""

    def __init__(self, candidate: Candidate, steps_an_epoch: int, epochs: int) -> None:
        super().__init__()
        self.candidate = candidate
        self.model = build(candidate.architecture)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=candidate.label_smoothing)
        self.factor = factor(candidate.schedule, steps_an_epoch, epochs)
        self.correct: list[Tensor] = []
        self.best = 0.0

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Return the loss of a batch."""
        x, y = batch
        loss: Tensor = self.criterion(self.model(x), y)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Note which samples of a batch are predicted rightly."""
        x, y = batch
        self.correct.append(self.model(x).argmax(dim=1) == y)

    def on_validation_epoch_end(self) -> None:
        """Keep the best accuracy."""
        self.best = max(self.best, float(torch.cat(self.correct).float().mean()))
        self.correct.clear()

    def configure_optimizers(self) -> Any:
        """Return the optimiser with its schedule, which goes by steps."""
        optimizer = optimizer_of(self.candidate.optimizer, self.model)
        return [optimizer], [{"scheduler": LambdaLR(optimizer, self.factor), "interval": "step"}]


def search(asked: arm.Asked, samples: arm.Samples) -> Iterator[arm.Trial]:
    """Train one candidate after the other."""
    if asked.threads:
        torch.set_num_threads(asked.threads)
    warnings.filterwarnings("ignore")  # that loaders have no worker processes, which for such data cost more
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data, study = tensors(samples), new_study(asked)
    for number in range(asked.trials):
        before_trial(study, asked, number)
        trial = study.ask()
        candidate = draw(asked.space, ask_trial(trial))
        torch.manual_seed(number)
        training, validation = data.loaders(candidate.batch_size)
        classifier = Classifier(candidate, len(training), asked.epochs)
        trainer = lightning.Trainer(
            max_epochs=asked.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(classifier, training, validation)
        study.tell(trial, classifier.best)
        yield arm.Trial(trial.params, classifier.best)


if __name__ == "__main__":
    arm.main(search, ["torch", "optuna", "lightning"])
