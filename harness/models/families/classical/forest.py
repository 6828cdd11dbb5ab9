"""``random_forest``: scikit-learn's random forest (Breiman, 2001); categories are one-hot.

Of quantiles each leaf keeps one of its training samples, drawn at random, and what the trees have kept for a sample is
what it may be (Meinshausen, 2006, JMLR 7:983, as his package quantregForest does it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers, quantiles_of
from harness.models.families.classical.inputs import Floats, OneHot, why_not, wide
from harness.models.families.classical.trees import Tree, Trees
from harness.models.family import FamilyConfig, Fitting, family
from harness.models.fitted import Fitted, Samples
from harness.records import TaskShape

AT_ONCE = 10
"""Trees between two looks whether the fit is to be given up."""


class ForestConfig(FamilyConfig):
    """Parameters of ``random_forest``: scikit-learn's, with its defaults."""

    n_estimators: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100
    """Trees."""
    max_features: Annotated[float, Field(strict=True, gt=0.0, le=1.0)] | None = None
    """Share of the columns among which a split is looked for; none: of classes the root of their number, of values
    all."""
    min_samples_leaf: Annotated[int, Field(strict=True, ge=1)] = 1
    """Fewest samples of a leaf."""
    max_depth: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    """Most splits on the way to a leaf; none: until leaves are pure."""


class Forest(Fitted):
    """See the module's text; called with ``x_BCHW``, ``x_BF``, or ``x_BF, c_BK``."""

    def __init__(self, shape: TaskShape) -> None:
        super().__init__()
        self.columns = OneHot(shape)
        self.trees = Trees(self.columns.columns)
        self.answers = Answers(shape)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logarithms of probabilities, or values, ``B x outputs``: the mean over the trees."""
        if not len(self.trees.roots):
            return self.answers.nothing(inputs[0])
        values_BTV = wide(self.trees.value[self.trees(self.columns(*inputs))])
        if levels := self.answers.levels:
            values_BT = values_BTV[:, :, 0]
            return self.answers(quantiles_of(values_BT, torch.ones_like(values_BT), levels))
        mean_BV = values_BTV.mean(dim=1)
        return self.answers(mean_BV.log() if self.answers.of_classes else mean_BV)

    def mismatch(self) -> str:
        """Return whether leaves have other numbers of values than there are classes or values."""
        values = self.trees.value.shape[1]
        fits = not len(self.trees.roots) or values == self.answers.seen
        return "" if fits else f"leaves of {values} values for {self.answers.seen}"


def fit_forest(config: ForestConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Fit the trees, a few at a time, which gives those of one go."""
    assert isinstance(module, Forest)
    inputs, targets = module.columns.fit(samples), module.answers.fit(samples)
    forest = _estimator(config, module, samples.seed)
    for count in range(AT_ONCE, config.n_estimators + AT_ONCE, AT_ONCE):
        samples.check()
        forest.set_params(n_estimators=min(count, config.n_estimators))
        forest.fit(inputs, targets, sample_weight=samples.weights)
    trees = [each.tree_ for each in forest.estimators_]
    if module.answers.levels:
        values = _one_each(trees, inputs.astype(np.float32), targets, np.random.default_rng(samples.seed))
    else:
        values = [tree.value[:, 0, :] if module.answers.of_classes else tree.value[:, :, 0] for tree in trees]
    module.trees.take([_tree(tree, own) for tree, own in zip(trees, values, strict=True)])
    yield


def _estimator(config: ForestConfig, module: Forest, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind: Callable[..., Any] = RandomForestClassifier if module.answers.of_classes else RandomForestRegressor
    options = {key: value for key, value in config.model_dump().items() if value is not None}
    return kind(**options, warm_start=True, random_state=seed)


def _one_each(trees: list[Any], inputs: NDArray[np.float32], targets: Floats, chance: Generator) -> list[Floats]:
    """Return for the leaves of each tree the target of one of the samples that come to it, ``nodes x 1``."""
    values = []
    for tree in trees:
        own, order = np.zeros((tree.node_count, 1)), chance.permutation(len(targets))
        own[tree.apply(inputs)[order], 0] = targets[order]  # the last one stays
        values.append(own)
    return values


def _tree(tree: Any, value: Floats) -> Tree:
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    return Tree(
        feature=np.where(leaf, 0, tree.feature),
        threshold=np.where(leaf, 0.0, tree.threshold),
        left=np.where(leaf, own, tree.children_left),
        right=np.where(leaf, own, tree.children_right),
        value=value,
    )


@family(
    "random_forest",
    summary="scikit-learn's random forest, for tables and flattened images",
    config=ForestConfig,
    why_not=why_not,
    fitting=Fitting(fit_forest),
)
def build_forest(config: ForestConfig, shape: TaskShape) -> nn.Module:
    """Return the module that holds the trees once they are fitted."""
    del config
    return Forest(shape)
