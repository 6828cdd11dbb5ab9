"""``random_forest``: scikit-learn's random forest (Breiman, 2001); categories are one-hot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from harness.models.families.classical.answers import Answers
from harness.models.families.classical.inputs import OneHot, why_not, wide
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
        mean_BV = wide(self.trees.value[self.trees(self.columns(*inputs))]).mean(dim=1)
        return self.answers(mean_BV.log() if self.answers.of_classes else mean_BV)

    def mismatch(self) -> str:
        """Return whether leaves have other numbers of values than there are classes or values."""
        values = self.trees.value.shape[1]
        fits = not len(self.trees.roots) or values == self.answers.width
        return "" if fits else f"leaves of {values} values for {self.answers.width}"


def fit_forest(config: ForestConfig, module: nn.Module, samples: Samples) -> Iterator[None]:
    """Fit the trees, a few at a time, which gives those of one go."""
    assert isinstance(module, Forest)
    inputs, targets = module.columns.fit(samples), module.answers.fit(samples)
    forest = _estimator(config, module, samples.seed)
    for trees in range(AT_ONCE, config.n_estimators + AT_ONCE, AT_ONCE):
        samples.check()
        forest.set_params(n_estimators=min(trees, config.n_estimators))
        forest.fit(inputs, targets, sample_weight=samples.weights)
    module.trees.take([_tree(each.tree_, of_classes=module.answers.of_classes) for each in forest.estimators_])
    yield


def _estimator(config: ForestConfig, module: Forest, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind: Callable[..., Any] = RandomForestClassifier if module.answers.of_classes else RandomForestRegressor
    options = {key: value for key, value in config.model_dump().items() if value is not None}
    return kind(**options, warm_start=True, random_state=seed)


def _tree(tree: Any, *, of_classes: bool) -> Tree:
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    return Tree(
        feature=np.where(leaf, 0, tree.feature),
        threshold=np.where(leaf, 0.0, tree.threshold),
        left=np.where(leaf, own, tree.children_left),
        right=np.where(leaf, own, tree.children_right),
        value=tree.value[:, 0, :] if of_classes else tree.value[:, :, 0],
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
