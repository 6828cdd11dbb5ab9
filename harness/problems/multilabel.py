"""Multi-label classification: of each sample every one of several labels is true or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.problems.baselines import Estimator
from harness.problems.classification import ClassBaselines
from harness.problems.problem import LOSS, Criterion, Doubt, LossOptions, Metric, Problem, Quality
from harness.records import TaskShape

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]


class _Baselines(ClassBaselines):
    """Those of classes, one for each label."""

    naive = "label shares"
    predicted = "labels"

    def linear(self, rows: int, width: int, outputs: int) -> Estimator:
        """Return a logistic regression for each label."""
        from sklearn.multioutput import MultiOutputClassifier

        found = super().linear(rows, width, outputs)
        return found if found.model is None else found._replace(model=MultiOutputClassifier(found.model))

    def boosting(self, outputs: int) -> tuple[Callable[..., Any], int] | str:
        """Return gradient boosting with a tree a round for each label."""
        from sklearn.multioutput import MultiOutputClassifier

        found = super().boosting(outputs)
        if isinstance(found, str):
            return found
        model, _ = found
        return lambda **options: MultiOutputClassifier(model(**options)), outputs

    def answers_of(self, estimator: Any, inputs: Floats, outputs: int) -> Floats:
        """Return the probability of each label; 0 for one that was never true where it was fitted."""
        import numpy as np

        answers = np.zeros((len(inputs), outputs))
        shares = zip(estimator.predict_proba(inputs), estimator.classes_, strict=True)
        for label, (table, classes) in enumerate(shares):
            if 1 in classes:
                answers[:, label] = table[:, list(classes).index(1)]
        return answers


class MultiLabel(Problem):
    """Labels; targets are ``N x V`` of 0 and 1, answers the probability of each label, which is said from 0.5 on."""

    name = "multilabel"
    metrics = (
        Metric("f1_macro", maximize=True, summed=True, share=True),
        Metric("f1_micro", maximize=True, summed=True, share=True),
        Metric("precision_macro", maximize=True, summed=True, share=True),
        Metric("recall_macro", maximize=True, summed=True, share=True),
        Metric("exact_match", maximize=True, summed=True, share=True),
        Metric("hamming_loss", maximize=False, summed=True),
        Metric("roc_auc", maximize=True),
        Metric("average_precision", maximize=True),
    )
    headline = ("f1_macro", "f1_micro", "exact_match")
    objective = "f1_macro"
    losses = ("binary",)
    flags = True
    intervals = False
    baselines = _Baselines()
    step = "exact_match"

    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return the mean over the labels of binary cross-entropy."""
        from harness.problems.flags import Flags

        if options.class_weights != "none":
            raise InputError("class_weights: is for one class a sample, and this task has labels; set it to none")
        self.loss_name(shape, options.loss)
        return Flags(smoothing=options.label_smoothing)

    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the mean cross-entropy of each sample's labels in nats."""
        import numpy as np

        from harness.problems.label_errors import log_probabilities

        told = np.where(targets > 0.5, answers, 1.0 - answers.astype(np.float64))
        means: Floats = -log_probabilities(told).mean(axis=1)
        return means

    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return empty counts."""
        from harness.problems.flags import Counts

        return Counts(shape.outputs, device)

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric as scikit-learn has it."""
        from harness.problems.flag_scores import score

        return score(metric, targets, answers)

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the logits of the mean probabilities."""
        import torch.nn.functional as F

        return F.logsigmoid(outputs).logsumexp(dim=0) - F.logsigmoid(-outputs).logsumexp(dim=0)

    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return the probability of each label."""
        from harness.problems.regression import value_columns

        return value_columns("predicted", answers, names)

    def doubts(
        self, test: Mapping[str, float], naive: Mapping[str, float], stats: Mapping[str, Any]
    ) -> Iterator[Doubt]:
        """Compare the loss with that of the labels' shares."""
        if math.isfinite(naive[LOSS]) and test[LOSS] > naive[LOSS]:
            yield Doubt("loss", test[LOSS], "to predict each label's share for every sample gives", naive[LOSS])
