"""Classification: each sample is of one of several classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.errors import InputError
from harness.problems.baselines import Baselines, Estimator
from harness.problems.problem import (
    LOSS,
    Criterion,
    Doubt,
    Interval,
    LossOptions,
    Metric,
    Problem,
    Qualities,
    Quality,
    StackedCriterion,
)
from harness.records import NAN, TaskShape

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

MOST_CLASSES = 50
"""That gradient boosting is fitted to."""
LINEAR_WORK = 4e7
"""Rows x columns x outputs that a logistic regression is fitted on: under 3 s for 100 iterations of L-BFGS."""


class ClassBaselines(Baselines):
    """Models of classes."""

    naive: ClassVar[str] = "class prior"
    predicted: ClassVar[str] = "classes"
    """What messages call what is predicted."""

    def most_rows(self, width: int, outputs: int) -> float:
        """Return how many rows a logistic regression is fitted on."""
        return LINEAR_WORK / (width * outputs)

    def constant(self) -> Estimator:
        """Return the shares of the classes."""
        from sklearn.dummy import DummyClassifier

        return Estimator(self.naive, DummyClassifier(strategy="prior"), 0.05)

    def linear(self, rows: int, width: int, outputs: int) -> Estimator:
        """Return a logistic regression."""
        from sklearn.linear_model import LogisticRegression

        name, work = "logistic regression", rows * width * outputs
        if work > LINEAR_WORK:
            return Estimator(name, None, note=f"skipped: {outputs:,} {self.predicted} take too long to fit")
        return Estimator(name, LogisticRegression(), 0.1 + 1.5e-7 * work)

    def boosting(self, outputs: int) -> tuple[Callable[..., Any], int] | str:
        """Return gradient boosting with a tree a round for each class, one for two classes."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        if outputs > MOST_CLASSES:
            return f"skipped: {outputs:,} {self.predicted}, at most {MOST_CLASSES} are fitted"
        return HistGradientBoostingClassifier, 1 if outputs == 2 else outputs

    def answers_of(self, estimator: Any, inputs: Floats, outputs: int) -> Floats:
        """Return the probability of each class, 0 for one without samples to fit."""
        import numpy as np

        table = np.zeros((len(inputs), outputs))
        table[:, estimator.classes_] = estimator.predict_proba(inputs)
        return table


class Classification(Problem):
    """One class a sample; targets are int64 codes, answers ``N x C`` probabilities."""

    name = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", maximize=True, summed=True, share=True),
        Metric("f1_macro", maximize=True, summed=True, share=True),
        Metric("f1_weighted", maximize=True, summed=True, share=True),
        Metric("precision_macro", maximize=True, summed=True, share=True),
        Metric("recall_macro", maximize=True, summed=True, share=True),
        Metric("balanced_accuracy", maximize=True, summed=True, share=True),
        Metric("mcc", maximize=True, summed=True),
        Metric("kappa", maximize=True, summed=True),
        Metric("roc_auc", maximize=True),
        Metric("average_precision", maximize=True),
        Metric("log_loss", maximize=False),
        Metric("brier", maximize=False),
        Metric("calibration_error", maximize=False),
        Metric("top_3_accuracy", maximize=True, share=True),
        Metric("top_5_accuracy", maximize=True, share=True),
    )
    headline: ClassVar[tuple[str, ...]] = ("accuracy", "f1_macro", "f1_weighted", "precision_macro", "recall_macro")
    objective = "f1_macro"
    losses: ClassVar[tuple[str, ...]] = ("cross_entropy", "binary")
    classes = True
    intervals = False
    stratified = True
    stackable = True
    calibrated = True
    baselines = ClassBaselines()
    step = "accuracy"

    def loss_name(self, shape: TaskShape, loss: str) -> str:
        """Return the loss to use; ``binary`` is for two classes alone."""
        if loss == "binary" and shape.outputs != 2:
            raise InputError(f"loss: 'binary' needs two classes, the task has {shape.outputs}; use cross_entropy")
        return super().loss_name(shape, loss)

    def outputs_for(self, shape: TaskShape, loss: str) -> int:
        """Return 1 for ``binary``, else one for each class."""
        return 1 if self.loss_name(shape, loss) == "binary" else shape.outputs

    def criterion(
        self,
        shape: TaskShape,
        options: LossOptions,
        *,
        class_counts: Sequence[int] | None,
        device: torch.device,
    ) -> Criterion:
        """Return cross-entropy with the smoothing and the class weights that are asked for."""
        from harness.problems.labels import Labels, of_classes, of_second

        weights_C = weights_of(options, class_counts)
        return Labels(
            logits=of_second if self.loss_name(shape, options.loss) == "binary" else of_classes,
            smoothing=options.label_smoothing,
            weights_C=None if weights_C is None else weights_C.to(device),
        )

    def stacked_criterion(
        self,
        shapes: Sequence[TaskShape],
        options: Sequence[LossOptions],
        *,
        class_counts: Sequence[Sequence[int] | None],
    ) -> StackedCriterion:
        """Return cross-entropies."""
        import torch

        from harness.problems.stacked import StackedLabels

        weights = [weights_of(each, counts) for each, counts in zip(options, class_counts, strict=True)]
        known = [weights_C for weights_C in weights if weights_C is not None]
        return StackedLabels(
            binary=self.loss_name(shapes[0], options[0].loss) == "binary",
            smoothings=[each.label_smoothing for each in options],
            weights_KC=torch.stack(known) if known else None,
        )

    def losses_of(
        self, answers: NDArray[np.floating], targets: NDArray[Any], *, loss: str, scale: Sequence[float]
    ) -> Floats:
        """Return the cross-entropy of each sample in nats."""
        from harness.problems.label_errors import losses

        return losses(answers, targets)

    def class_counts(self, targets: NDArray[Any], shape: TaskShape) -> list[int] | None:
        """Return the samples of each class."""
        import numpy as np

        counts: list[int] = np.bincount(targets, minlength=shape.outputs).tolist()
        return counts

    def quality(self, shape: TaskShape, device: torch.device) -> Quality:
        """Return an empty confusion matrix."""
        from harness.problems.labels import ConfusionMatrix

        return ConfusionMatrix(max(shape.outputs, 2), device)  # one output is the logit of the second of two classes

    def qualities(self, shape: TaskShape, models: int) -> Qualities:
        """Return empty confusion matrices."""
        from harness.problems.stacked import ConfusionMatrices

        return ConfusionMatrices(models, max(shape.outputs, 2))

    def score(self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating]) -> float:
        """Return a metric as scikit-learn has it."""
        from harness.problems.label_scores import score

        return score(metric, targets, answers)

    def standard_error(
        self, metric: str, targets: NDArray[Any], answers: NDArray[np.floating], seed: int
    ) -> float | None:
        """Return the standard error of what follows from the confusion matrix."""
        from harness.problems.label_errors import standard_error

        return standard_error(metric, targets, answers, seed)

    def skill(self, training: Mapping[str, float], class_counts: Sequence[int] | None) -> tuple[float, str]:
        """Compare the accuracy with the share of the commonest class."""
        majority = max(class_counts) / sum(class_counts) if class_counts else NAN
        accuracy = training["accuracy"]
        skill = (accuracy - majority) / (1.0 - majority) if majority < 1.0 else NAN
        return skill, f"accuracy {accuracy:.3g} where the commonest class has {majority:.3g}"

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the logarithms of the mean probabilities; of one output, the logit of its mean probability."""
        import torch.nn.functional as F

        if outputs.shape[-1] == 1:
            return F.logsigmoid(outputs).logsumexp(dim=0) - F.logsigmoid(-outputs).logsumexp(dim=0)
        return outputs.log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(outputs))

    def columns(self, answers: NDArray[np.floating], names: Sequence[str]) -> dict[str, Any]:
        """Return the likeliest class, its name, and the probability of each."""
        import numpy as np

        codes = answers.argmax(axis=1)
        predicted_names = np.array(names, dtype=object)[codes]
        probabilities = {f"probability_{k}": answers[:, k].astype(np.float64) for k in range(answers.shape[1])}
        return {"predicted": codes, "predicted_name": predicted_names, **probabilities}

    def details(self, quality: Quality, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the scores of each class and the confusion matrix."""
        from harness.problems.labels import ConfusionMatrix

        assert isinstance(quality, ConfusionMatrix)
        return {"per_class": {"class": list(class_names), **quality.per_class()}, "confusion": quality.table()}

    def interval(self, targets: NDArray[Any], predicted: NDArray[Any]) -> Interval:
        """Return the Wilson score interval of the accuracy (Wilson, 1927, JASA 22:209)."""
        from scipy.stats import binomtest

        low, high = binomtest(int((targets == predicted).sum()), len(targets)).proportion_ci(0.95, method="wilson")
        return Interval("accuracy", float(low), float(high), "Wilson")

    def test_losses(self, predictions: pd.DataFrame) -> Floats | None:
        """Return the cross-entropy of each sample."""
        import numpy as np

        from harness.problems.label_errors import log_probabilities

        names = [f"probability_{code}" for code in predictions["target"]]
        if not set(names) <= set(predictions.columns):
            return None
        table = predictions[list(dict.fromkeys(names))]
        place = {name: k for k, name in enumerate(table.columns)}
        own = table.to_numpy(np.float64)[np.arange(len(names)), [place[name] for name in names]]
        return -log_probabilities(own)

    def mistakes(self, targets: NDArray[Any], answers: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the wrong ones, those that the model was surest of first."""
        import numpy as np

        wrong = np.flatnonzero(answers.argmax(axis=1) != targets)
        return wrong[np.argsort(-answers[wrong].max(axis=1), kind="stable")]

    def doubts(
        self, test: Mapping[str, float], naive: Mapping[str, float], stats: Mapping[str, Any]
    ) -> Iterator[Doubt]:
        """Compare loss and accuracy with those of the shares of the classes; of balanced weights, the recall."""
        classes = len(stats["task"]["classes"])
        candidate = stats["best"]["candidate"]
        if "balanced" in (candidate.get("class_weights"), candidate.get("sampling")):
            # Neither accuracy nor log loss is what balanced classes aim at.
            if test["recall_macro"] <= 1 / classes:
                yield Doubt("recall_macro", test["recall_macro"], "answers that ignore the inputs reach", 1 / classes)
            return
        known = naive[LOSS]
        bound, whose = (
            (known, "the shares of the classes") if math.isfinite(known) else (math.log(classes), "equal shares")
        )
        if test[LOSS] > bound:
            yield Doubt("loss", test[LOSS], f"to predict {whose} for every sample gives", bound)
        commonest = naive["accuracy"] if math.isfinite(naive["accuracy"]) else _commonest(stats)
        if test["accuracy"] <= commonest and test["accuracy"] < 1:
            yield Doubt("accuracy", test["accuracy"], "to answer the commonest class always gives", commonest)


def weights_of(options: LossOptions, class_counts: Sequence[int] | None) -> Tensor | None:
    """Return the weight of each class; None where all count alike."""
    from harness.problems.labels import balanced_weights

    if options.class_weights != "balanced":
        return None
    if class_counts is None:
        raise ValueError("balanced class weights need class_counts")
    return balanced_weights(class_counts)


def _commonest(stats: Mapping[str, Any]) -> float:
    """Return the share of the commonest class among the test samples."""
    per_class = stats["test"]["per_class"]
    support = per_class["support"] if per_class else []
    return max(support) / sum(support) if sum(support) else NAN
