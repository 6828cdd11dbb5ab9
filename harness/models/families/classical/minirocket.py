"""``minirocket``: a ridge model on features of series (Dempster et al., 2021, arXiv:2012.08791).

A feature is the share of the steps at which a convolution is above a bias. There are 84 convolutions of nine steps, all
with weights -1 but for three of 2, each with several spreads (dilations). The biases are quantiles of what a
convolution gives for a training series that is drawn for it. Of several channels each convolution has the sum of some
that are drawn. Where lengths vary, shares are of the steps that a series has; the original takes series of one length.

Shape legend: B batch, T steps, C channels, D spreads, K convolutions, Q biases of each, R rows of the ridge model,
J steps of a convolution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers, of_two
from harness.models.families.classical.inputs import Floats, empty, has_classes
from harness.models.family import FamilyConfig, Fitting, family
from harness.models.fitted import Fitted, Samples
from harness.models.sequences import Steps, takes_series
from harness.records import TaskKind, TaskShape

LENGTH = 9
"""Steps of a convolution."""
THREES = tuple(itertools.combinations(range(LENGTH), 3))
"""Which of them have the weight 2, of each convolution."""
SPREADS = 32
"""Most spreads."""
ROWS = 10_000
"""Most series to fit to: their features lie in memory at once, and the ridge model's time grows with their square."""
_ALPHAS = np.logspace(-3, 3, 10)
_AT_ONCE = 2**24
"""Values of convolutions that are in memory together while a model is fitted."""
_TINY = 1e-8
_BOUND = math.log(100.0)


def why_not(shape: TaskShape) -> str:
    """Say why it cannot be fitted for a task: it knows classes and values, of series and of the columns of images."""
    if not has_classes(shape) and shape.kind != TaskKind.REGRESSION:
        return f"is for classes and for values, the task is {shape.kind}"
    return takes_series(shape)


class MiniRocketConfig(FamilyConfig):
    """Parameters of ``minirocket``."""

    features: Annotated[int, Field(strict=True, ge=len(THREES), le=100_000)] = 10_000
    """About how many: as many as the 84 convolutions have evenly."""


def spreads_of(steps: int, features: int) -> list[tuple[int, int]]:
    """Return the spreads for series of so many steps, and how many biases a convolution has with each.

    >>> spreads_of(24, 10_000)
    [(1, 79), (2, 40)]
    """
    biases = features // len(THREES)
    most = min(biases, SPREADS)
    powers = np.logspace(0.0, math.log2(max(steps, LENGTH) - 1) - math.log2(LENGTH - 1), most, base=2.0).astype(int)
    spreads, counts = np.unique(powers, return_counts=True)
    counts = (counts * (biases / most)).astype(int)
    counts[: biases - counts.sum()] += 1
    return list(zip(spreads.tolist(), counts.tolist(), strict=True))


class Convolutions(Fitted):
    """Makes features of series, shares from 0 to 1."""

    chosen: Tensor
    biases: Tensor
    kernels: Tensor

    def __init__(self, config: MiniRocketConfig, shape: TaskShape) -> None:
        super().__init__()
        self.steps = Steps(shape, width=0)
        self.spreads = spreads_of(self.steps.count, config.features)
        self.features = len(THREES) * sum(count for _, count in self.spreads)
        empty(self, "chosen", 3, torch.bool)
        empty(self, "biases", 1)
        kernels_KJ = torch.full((len(THREES), LENGTH), -1.0).scatter(1, torch.tensor(THREES), 2.0)
        self.register_buffer("kernels", kernels_KJ.T.contiguous(), persistent=False)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return ``B x features``, by spreads, then by convolutions."""
        x_BTC, mask_BT = self.steps(x, mask_BT)
        if mask_BT is None:
            mask_BT = x_BTC.new_ones(x_BTC.shape[:2], dtype=torch.bool)
        split = self.biases.split([len(THREES) * count for _, count in self.spreads])
        found = []
        for place, ((spread, count), biases_KQ) in enumerate(zip(self.spreads, split, strict=True)):
            values_BTK = self.convolved(x_BTC, place)
            there_BTK = _there(mask_BT, spread, alternate=place % 2)
            values_BTK = values_BTK.masked_fill(~there_BTK, -math.inf)
            biases = biases_KQ.view(len(THREES), count).unbind(1)
            # Compared in place, as sums of floats take a fifth of the time of sums of booleans on a CPU.
            above = [values_BTK.clone().gt_(bias_K).sum(dim=1) for bias_K in biases]
            shares_BKQ = torch.stack(above, dim=2) / there_BTK.sum(dim=1).clamp(min=1)[..., None]
            found.append(shares_BKQ.flatten(1))
        return torch.cat(found, dim=1)

    def convolved(self, x_BTC: Tensor, place: int) -> Tensor:
        """Return all convolutions ``B x T x K`` with the spread at that place, zeros around the series."""
        spread, _ = self.spreads[place]
        reach = spread * (LENGTH // 2)
        windows_BTCJ = F.pad(x_BTC, (0, 0, reach, reach)).unfold(1, 2 * reach + 1, 1)[..., ::spread]
        weight_CJK = self.chosen[place][:, None] * self.kernels
        values_BTK: Tensor = windows_BTCJ.flatten(2) @ weight_CJK.flatten(0, 1)
        return values_BTK

    def fit(self, samples: Samples) -> NDArray[np.float32]:
        """Draw channels and biases; return the features of the samples."""
        random = np.random.default_rng(samples.seed)
        inputs = tuple(x.to(self.biases.device) for x in samples.inputs)
        x_NTC, mask_NT = self.steps(*inputs)
        self.hold(chosen=torch.from_numpy(self._channels_drawn(random)), biases=self.biases.new_zeros(self.features))
        biases: list[Floats] = []
        start = 0
        for place, (_, count) in enumerate(self.spreads):
            ranks = np.arange(start + 1, start + len(THREES) * count + 1)
            quantiles_KQ = (ranks * ((math.sqrt(5.0) + 1.0) / 2.0) % 1.0).reshape(len(THREES), count)
            start += ranks.size
            drawn_K = torch.from_numpy(random.integers(0, len(x_NTC), len(THREES))).to(x_NTC.device)
            values_KT = self.convolved(x_NTC[drawn_K], place).diagonal(dim1=0, dim2=2).T.cpu().numpy()
            there_KT = np.ones(values_KT.shape, bool) if mask_NT is None else mask_NT[drawn_K].cpu().numpy()
            biases += [np.quantile(v[t], q) for v, t, q in zip(values_KT, there_KT, quantiles_KQ, strict=True)]
        self.hold(biases=torch.from_numpy(np.concatenate(biases)))
        step = max(1, _AT_ONCE // (self.steps.count * max(len(THREES), LENGTH * self.steps.channels)))
        features = []
        for first in range(0, len(x_NTC), step):
            samples.check()
            features.append(self(*(each[first : first + step] for each in inputs)).cpu())
        return torch.cat(features).numpy()

    def _channels_drawn(self, random: np.random.Generator) -> NDArray[np.bool_]:
        """Return which channels each convolution has, ``D x C x K``: 1 to 9, few as often as many on a log scale."""
        most = min(self.steps.channels, LENGTH)
        counts_DK = 2.0 ** random.uniform(0.0, math.log2(most + 1), (len(self.spreads), 1, len(THREES)))
        order_DCK = random.random((len(self.spreads), self.steps.channels, len(THREES))).argsort(axis=1)
        return order_DCK < counts_DK.astype(int)

    def flaw(self) -> str:
        """Return what is wrong: other numbers of channels or biases than the task has, or what is no number."""
        sizes = (len(self.spreads), self.steps.channels, len(THREES))
        if len(self.biases) and (len(self.biases) != self.features or self.chosen.shape != sizes):
            return f"{len(self.biases)} biases and channels {tuple(self.chosen.shape)}, not {self.features} and {sizes}"
        return "" if bool(torch.isfinite(self.biases).all()) else "a bias is no finite number"


class MiniRocket(Fitted):
    """See the module's text; called with the series and, where lengths vary, its mask, or with an image."""

    weight: Tensor
    bias: Tensor

    def __init__(self, config: MiniRocketConfig, shape: TaskShape) -> None:
        super().__init__()
        self.convolutions = Convolutions(config, shape)
        self.answers = Answers(shape)
        empty(self, "weight", 2)
        empty(self, "bias", 1)

    def forward(self, x: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Return logarithms of probabilities, or values, ``B x outputs``."""
        if not len(self.bias):
            return self.answers.nothing(x)
        y_BR = F.linear(self.convolutions(x, mask_BT), self.weight, self.bias)
        if not self.answers.of_classes:
            return self.answers(y_BR)
        return self.answers(of_two(2.0 * y_BR) if len(self.bias) == 1 else F.log_softmax(y_BR, dim=1))

    def flaw(self) -> str:
        """Return what is wrong: weights of other features, or that are no numbers."""
        if len(self.bias) and self.weight.shape != (len(self.bias), self.convolutions.features):
            return f"weights of shape {tuple(self.weight.shape)} for {self.convolutions.features} features"
        if not bool(torch.isfinite(self.weight).all() and torch.isfinite(self.bias).all()):
            return "a weight is no finite number"
        return ""

    def mismatch(self) -> str:
        """Return whether there are weights without biases, or rows for others than the classes or values."""
        if len(self.bias) and not len(self.convolutions.biases):
            return "weights without the biases of convolutions"
        fits = len(self.bias) in (0, self.answers.machines)
        return "" if fits else f"{len(self.bias)} rows of weights for {self.answers.machines}"


def fit_minirocket(config: MiniRocketConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Fit it in one go."""
    del config
    assert isinstance(module, MiniRocket)
    samples = samples.at_most(ROWS, "minirocket")
    targets = module.answers.fit(samples)
    with torch.no_grad():
        features = module.convolutions.fit(samples).astype(np.float64)
    scale = features.std(axis=0)
    scale[scale < _TINY] = 1.0
    weight, bias = _ridge(features / scale, targets, samples.weights, of_classes=module.answers.of_classes)
    module.hold(weight=torch.from_numpy(weight / scale), bias=torch.from_numpy(bias))
    yield


def _ridge(
    features: Floats, targets: NDArray[Any], weights: Floats | None, *, of_classes: bool
) -> tuple[Floats, Floats]:
    """Return weights and biases of scikit-learn's ridge model, shrunk as is best with each sample left out.

    Classes are -1 and 1, and what is said of them is multiplied so that it is a logit.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import LabelBinarizer

    if not of_classes:
        model = RidgeCV(alphas=_ALPHAS).fit(features, targets, sample_weight=weights)
        return np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    signs_NR = LabelBinarizer(neg_label=-1).fit_transform(targets)
    model = RidgeCV(alphas=_ALPHAS, scoring="neg_mean_squared_error", store_cv_results=True)
    model.fit(features, signs_NR, sample_weight=weights)
    left_out_NR = model.cv_results_[..., np.flatnonzero(model.alpha_ == _ALPHAS)[0]].reshape(signs_NR.shape)
    times = _sureness(left_out_NR, signs_NR)
    return times * np.atleast_2d(model.coef_), times * np.atleast_1d(model.intercept_)


def _sureness(said_NR: Floats, signs_NR: NDArray[Any]) -> float:
    """Return by what scores are to be multiplied to be logits, from those of samples that were left out of the fit.

    Right is never quite certain, as of Platt (1999): of N samples one more is of any class.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if said_NR.shape[1] == 1:
        said_NR, signs_NR = np.hstack([-said_NR, said_NR]), np.hstack([-signs_NR, signs_NR])
    count, classes = said_NR.shape
    right_NS = ((signs_NR > 0) * count + 1.0 / classes) / (count + 1)

    def cost(logarithm: float) -> float:
        return -float((right_NS * log_softmax(said_NR * math.exp(logarithm), axis=1)).sum())

    return math.exp(float(minimize_scalar(cost, bounds=(-_BOUND, _BOUND), method="bounded").x))


def _there(mask_BT: Tensor, spread: int, *, alternate: int) -> Tensor:
    """Return booleans (B, T, K): true at the steps that are counted.

    Of every second convolution these are all that a series has, of the others those whose whole reach lies within it.
    """
    reach = spread * (LENGTH // 2)
    inside_BT = mask_BT & F.pad(mask_BT, (reach, -reach)) & F.pad(mask_BT, (-reach, reach))
    whole_K = (torch.arange(len(THREES), device=mask_BT.device) + alternate) % 2 == 0
    # No ``where``: ONNX Runtime has none of booleans.
    return (whole_K & mask_BT[..., None]) | (~whole_K & inside_BT[..., None])


@family(
    "minirocket",
    summary="a ridge model on shares of convolutions that are not trained, for series",
    config=MiniRocketConfig,
    why_not=why_not,
    fitting=Fitting(fit_minirocket),
)
def build_minirocket(config: MiniRocketConfig, shape: TaskShape) -> nn.Module:
    """Return the module that holds biases and weights once they are fitted."""
    return MiniRocket(config, shape)
