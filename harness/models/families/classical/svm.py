"""``svm``: scikit-learn's support vector machine with a Gaussian kernel; categories are one-hot.

Of several classes there is a machine for each against the rest. Probabilities are those of
``CalibratedClassifierCV(OneVsRestClassifier(SVC()), ensemble=False)``: a sigmoid for each class (Platt, 1999) on the
decision values of three folds, made to sum to 1; without it, where a class has too few samples for the folds, the
decision values are taken as logits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers, of_two
from harness.models.families.classical.inputs import Floats, OneHot, empty, of_kinds, wide
from harness.models.families.classical.neighbours import squared_distances
from harness.models.family import FamilyConfig, Fitting, family
from harness.models.fitted import Fitted, Samples
from harness.records import TaskKind, TaskShape

FOLDS = 3
"""In which decision values are found to fit the sigmoids to."""


class SvmConfig(FamilyConfig):
    """Parameters of ``svm``; a fit takes more than twice as long for twice as many samples."""

    c: Annotated[float, Field(strict=True, gt=0.0)] = 1.0
    """How dear errors are, scikit-learn's ``C``."""
    gamma: Annotated[float, Field(strict=True, gt=0.0)] = 1.0
    """How narrow the kernel is, as a multiple of scikit-learn's ``scale``: 1 / (columns x variance)."""
    epsilon: Annotated[float, Field(strict=True, ge=0.0)] = 0.1
    """Of values, the error in standard units that counts as none."""


class Svm(Fitted):
    """See the module's text; called with ``x_BCHW``, ``x_BF``, or ``x_BF, c_BK``."""

    support: Tensor
    weight: Tensor
    bias: Tensor
    slope: Tensor
    shift: Tensor
    gamma: Tensor

    def __init__(self, shape: TaskShape) -> None:
        super().__init__()
        self.columns = OneHot(shape)
        self.answers = Answers(shape)
        empty(self, "support", 2)
        empty(self, "weight", 2)
        for name in ("bias", "slope", "shift", "gamma"):
            empty(self, name, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logarithms of probabilities, or values, ``B x outputs``."""
        if not len(self.bias):
            return self.answers.nothing(inputs[0])
        squared_BN = squared_distances(self.columns(*inputs), self.support)
        decision_BR = (-self.gamma * squared_BN).exp() @ wide(self.weight) + self.bias
        if not self.answers.of_classes:
            return self.answers(decision_BR)
        logit_BR = decision_BR * self.slope + self.shift
        if len(self.bias) == 1:
            return self.answers(of_two(logit_BR))
        log_BR = F.logsigmoid(logit_BR)
        return self.answers(log_BR - log_BR.logsumexp(dim=1, keepdim=True))

    def flaw(self) -> str:
        """Return what is wrong: parts that do not fit each other or the columns, or that are no numbers."""
        machines = len(self.bias)
        sizes = tuple(self.support.shape), tuple(self.weight.shape), len(self.slope), len(self.shift), len(self.gamma)
        vectors = len(self.support)
        wanted = (vectors, self.columns.columns), (vectors, machines), machines, machines, 1
        if machines and sizes != wanted:
            return f"its parts have sizes {sizes}, not {wanted}"
        buffers = self.buffers(recurse=False)
        return "" if all(bool(torch.isfinite(each).all()) for each in buffers) else "a number of it is not finite"

    def mismatch(self) -> str:
        """Return whether there are machines of other numbers than there are classes or values."""
        fits = len(self.bias) in (0, self.answers.machines)
        return "" if fits else f"{len(self.bias)} rows of weights for {self.answers.machines}"


def fit_svm(config: SvmConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Fit a machine for each class or value, and the sigmoids."""
    assert isinstance(module, Svm)
    inputs, targets = module.columns.fit(samples), module.answers.fit(samples)
    options = {"C": config.c, "gamma": config.gamma / (inputs.shape[1] * (inputs.var() or 1.0))}
    if module.answers.of_classes:
        machines, slopes, shifts = _of_classes(options, inputs, targets, samples)
    else:
        machines, slopes, shifts = _of_values(options | {"epsilon": config.epsilon}, inputs, targets, samples)
    weights = np.zeros((len(inputs), len(machines)))
    for column, machine in enumerate(machines):
        weights[machine.support_, column] = machine.dual_coef_[0]
    used = np.flatnonzero(weights.any(axis=1))
    numbers = {
        "support": inputs[used],
        "weight": weights[used],
        "bias": np.array([machine.intercept_[0] for machine in machines]),
        "slope": slopes,
        "shift": shifts,
        "gamma": np.array([options["gamma"]]),
    }
    module.hold(**{name: torch.from_numpy(values) for name, values in numbers.items()})
    yield


Machines = tuple[list[Any], Floats, Floats]
"""One for each column of decision values, with the slope and the shift of its logit."""


def _of_values(options: dict[str, Any], inputs: Floats, targets: Floats, samples: Samples) -> Machines:
    from sklearn.svm import SVR

    machines = []
    for values in targets.reshape(len(inputs), -1).T:
        samples.check()
        machines.append(SVR(**options).fit(inputs, values, sample_weight=samples.weights))
    return machines, np.ones(len(machines)), np.zeros(len(machines))


def _of_classes(options: dict[str, Any], inputs: Floats, targets: NDArray[Any], samples: Samples) -> Machines:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    counts = np.unique(targets, return_counts=True)[1]
    two, folded = len(counts) == 2, counts.min() >= FOLDS
    if samples.weights is not None and not (two and folded):
        options = options | {"class_weight": "balanced"}  # of a class against the rest
    model = SVC(**options) if two else OneVsRestClassifier(SVC(**options))
    samples.check()
    if not folded:
        model.fit(inputs, targets)
        machines = [model] if two else model.estimators_
        return machines, np.ones(len(machines)), np.zeros(len(machines))
    with warnings.catch_warnings():
        # That the machines of several classes take no weights of samples, for which they have those of classes.
        warnings.filterwarnings("ignore", message=".*does not appear to accept sample_weight")
        calibrated = CalibratedClassifierCV(model, cv=FOLDS, ensemble=False)
        (fitted,) = calibrated.fit(inputs, targets, sample_weight=samples.weights).calibrated_classifiers_
    machines = [fitted.estimator] if two else fitted.estimator.estimators_
    # scikit-learn's sigmoid is 1 / (1 + exp(a f + b)).
    slopes, shifts = (np.array([-getattr(each, name) for each in fitted.calibrators]) for name in ("a_", "b_"))
    return machines, slopes, shifts


@family(
    "svm",
    summary="scikit-learn's support vector machine with a Gaussian kernel, for small tables and flattened images",
    config=SvmConfig,
    why_not=of_kinds(TaskKind.CLASSIFICATION, TaskKind.REGRESSION),
    fitting=Fitting(fit_svm),
)
def build_svm(config: SvmConfig, shape: TaskShape) -> nn.Module:
    """Return the module that holds the support vectors once they are fitted."""
    del config
    return Svm(shape)
