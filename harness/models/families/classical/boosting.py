"""``hist_gradient_boosting``: scikit-learn's gradient boosting over histograms (after LightGBM, Ke et al., NIPS 2017).

Categories of columns with up to 255 of them are split by as sets; a column with more is taken as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers, of_two
from harness.models.families.classical.inputs import Floats, columns_of, empty, why_not, wide
from harness.models.families.classical.trees import Ints, Tree, Trees
from harness.models.family import FamilyConfig, Fitting, family
from harness.models.fitted import Fitted, Samples
from harness.records import TaskShape

NATIVE = 255
"""Most categories of a column that splits take as such."""


class BoostingConfig(FamilyConfig):
    """Parameters of ``hist_gradient_boosting``: scikit-learn's, with its defaults."""

    learning_rate: Annotated[float, Field(strict=True, gt=0.0, le=10.0)] = 0.1
    """Factor of what each tree adds."""
    max_iter: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100
    """Rounds, each of a tree, or of a tree for each of several classes, values or quantiles; the best stage is kept."""
    max_leaf_nodes: Annotated[int, Field(strict=True, ge=2, le=1024)] = 31
    """Most leaves of a tree."""
    min_samples_leaf: Annotated[int, Field(strict=True, ge=1)] = 20
    """Fewest samples of a leaf."""
    l2_regularization: Annotated[float, Field(strict=True, ge=0.0)] = 0.0
    """Penalty on the values of leaves."""
    max_features: Annotated[float, Field(strict=True, gt=0.0, le=1.0)] = 1.0
    """Share of the columns, drawn anew for each split, among which the best one is looked for."""


class Boosting(Fitted):
    """See the module's text; called with ``x_BCHW``, ``x_BF``, or ``x_BF, c_BK``."""

    baseline: Tensor

    def __init__(self, shape: TaskShape) -> None:
        super().__init__()
        numbers, self.cardinalities = columns_of(shape)
        self.numbers = numbers
        self.trees = Trees(numbers + len(self.cardinalities))
        self.answers = Answers(shape)
        empty(self, "baseline", 1)

    def forward(self, x: Tensor, c_BK: Tensor | None = None) -> Tensor:
        """Return logarithms of probabilities, or values, ``B x outputs``."""
        if not len(self.baseline):
            return self.answers.nothing(x)
        x_BI = x.flatten(1) if c_BK is None else torch.cat([x.flatten(1), c_BK.to(x.dtype)], dim=1)
        values_BT = wide(self.trees.value[self.trees(x_BI), 0])
        raw_BR = values_BT.unflatten(1, (-1, len(self.baseline))).sum(dim=1) + self.baseline
        if not self.answers.of_classes:
            return self.answers(raw_BR)
        return self.answers(of_two(raw_BR) if len(self.baseline) == 1 else F.log_softmax(raw_BR, dim=1))

    def inputs(self, samples: Samples) -> Floats:
        """Return the columns of samples as scikit-learn takes them: numbers, then codes."""
        return np.column_stack([x.flatten(1).numpy() for x in samples.inputs]).astype(np.float64)

    @property
    def categorical(self) -> list[int]:
        """The columns whose codes are split by as sets."""
        return [self.numbers + place for place, count in enumerate(self.cardinalities) if count <= NATIVE]

    def flaw(self) -> str:
        """Return what is wrong: numbers that are none."""
        return "" if bool(torch.isfinite(self.baseline).all()) else "where it begins is no finite number"

    def mismatch(self) -> str:
        """Return whether rounds are of other numbers of trees than there are classes, values or quantiles."""
        trees, each = len(self.trees.roots), len(self.baseline)
        fits = each == 0 or (each == self.answers.machines and trees % each == 0 and self.trees.value.shape[1] == 1)
        return "" if fits else f"{trees} trees that begin at {each} values"


def fit_boosting(config: BoostingConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Fit rounds in stages, each from where the one before ended, which gives the trees of one go."""
    assert isinstance(module, Boosting)
    inputs, targets = module.inputs(samples), module.answers.fit(samples)
    losses: Sequence[Mapping[str, Any]] = [{}]
    if levels := module.answers.levels:
        losses = [{"loss": "quantile", "quantile": level} for level in levels]
    columns = [targets] if targets.ndim == 1 else list(targets.T)
    fits = [(_estimator(config, module, samples.seed, loss), values) for loss in losses for values in columns]
    boosters = [booster for booster, _ in fits]
    trees: list[Tree] = []
    rounds = 0
    for stage in range(1, samples.stages + 1):
        for booster, values in fits:
            samples.check()
            booster.set_params(max_iter=math.ceil(config.max_iter * stage / samples.stages))
            booster.fit(inputs, values, sample_weight=samples.weights)
        trees += _trees(boosters, module, rounds)
        rounds = boosters[0].n_iter_
        module.trees.take(trees)
        module.hold(baseline=torch.from_numpy(np.concatenate([each._baseline_prediction[0] for each in boosters])))
        yield


def _estimator(config: BoostingConfig, module: Boosting, seed: int, loss: Mapping[str, Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind: Callable[..., Any] = (
        HistGradientBoostingClassifier if module.answers.of_classes else HistGradientBoostingRegressor
    )
    return kind(
        **config.model_dump(),
        **loss,
        categorical_features=module.categorical or None,
        early_stopping=False,
        warm_start=True,
        random_state=seed,
    )


def _trees(boosters: list[Any], module: Boosting, done: int) -> Iterator[Tree]:
    """Yield the trees after so many rounds, round by round, in each round one for each class, value or quantile."""
    # scikit-learn puts the categorical columns first.
    order = np.array(sorted(range(module.numbers + len(module.cardinalities)), key=_first(module.categorical)))
    for together in zip(*(each._predictors[done:] for each in boosters), strict=True):
        for booster, predictors in zip(boosters, together, strict=True):
            yield from (_tree(predictor, booster, order) for predictor in predictors)


def _tree(predictor: Any, booster: Any, order: Ints) -> Tree:
    nodes = predictor.nodes
    own, leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
    subset, goes_left = _subsets(predictor, booster)
    return Tree(
        feature=np.where(leaf, 0, order[nodes["feature_idx"].clip(0)]),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        left=np.where(leaf, own, nodes["left"]),
        right=np.where(leaf, own, nodes["right"]),
        value=nodes["value"][:, None],
        subset=subset,
        goes_left=goes_left,
    )


def _first(columns: list[int]) -> Callable[[int], bool]:
    return lambda column: column not in columns


def _subsets(predictor: Any, booster: Any) -> tuple[Ints | None, NDArray[np.bool_] | None]:
    """Return which nodes split categories, and of each of them which codes go left."""
    nodes = predictor.nodes
    splits = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~nodes["is_leaf"].astype(bool))
    if not len(splits):
        return None, None
    known = booster._preprocessor.named_transformers_["encoder"].categories_
    subset = np.full(len(nodes), -1)
    subset[splits] = np.arange(len(splits))
    goes_left = np.zeros((len(splits), NATIVE + 1), np.bool_)
    for row, node in enumerate(nodes[splits]):
        bits = np.unpackbits(predictor.raw_left_cat_bitsets[node["bitset_idx"]].view(np.uint8), bitorder="little")
        codes = known[node["feature_idx"]].astype(np.int64)
        goes_left[row] = node["missing_go_to_left"]  # as a category goes that was not seen
        goes_left[row, codes] = bits[: len(codes)]
    return subset, goes_left


@family(
    "hist_gradient_boosting",
    summary="scikit-learn's gradient boosting over histograms, for tables and flattened images",
    config=BoostingConfig,
    why_not=why_not,
    fitting=Fitting(fit_boosting, stages=5),
)
def build_boosting(config: BoostingConfig, shape: TaskShape) -> nn.Module:
    """Return the module that holds the trees once they are fitted."""
    del config
    return Boosting(shape)
