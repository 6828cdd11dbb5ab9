"""Trees in buffers: all nodes of all trees in one row, through which the samples of a batch walk at once.

Shape legend: B batch, I columns, N nodes, T trees, M splits by categories, C codes, V values of a node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.models.families.classical.inputs import Floats, empty
from harness.models.fitted import Fitted

Ints = NDArray[np.int64]

DEEPEST = 4096
"""Splits on the way to a leaf, which is about what a batch pays for."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree; a leaf is a node that is its own child, and every other child comes after its parent."""

    feature: Ints
    threshold: Floats
    """What is at most this goes left."""
    left: Ints
    right: Ints
    value: Floats
    """``N x V``; only those of leaves are asked for."""
    subset: Ints | None = None
    """The row of ``goes_left`` by which a node splits categories; -1 where it splits numbers."""
    goes_left: NDArray[np.bool_] | None = None
    """``M x C``, whether a code goes left."""


class Trees(Fitted):
    """Trees, each of which has a leaf for each sample.

    Thresholds are float32, rounded down: of float32 numbers just the same are at most a threshold, so each sample comes
    to the leaf to which scikit-learn takes it.
    """

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    subset: Tensor
    goes_left: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self._columns = columns
        self._depth = 0
        for name in ("roots", "feature", "left", "right", "subset"):
            empty(self, name, 1, torch.int64)
        empty(self, "threshold", 1)
        empty(self, "value", 2)
        empty(self, "goes_left", 2, torch.bool)

    def take(self, trees: list[Tree]) -> None:
        """Hold these trees. Raises ``ValueError`` for what is no tree."""
        sizes = [len(tree.feature) for tree in trees]
        starts = np.cumsum([0, *sizes[:-1]])
        sets = [np.zeros((0, 1), np.bool_) if tree.goes_left is None else tree.goes_left for tree in trees]
        first_set = np.cumsum([0, *map(len, sets)])
        codes = max((each.shape[1] for each in sets), default=1)
        subsets = [
            np.full(size, -1) if tree.subset is None else np.where(tree.subset < 0, -1, tree.subset + first)
            for tree, size, first in zip(trees, sizes, first_set, strict=False)
        ]
        self.hold(
            roots=torch.from_numpy(starts),
            feature=_joined([tree.feature for tree in trees]),
            threshold=torch.from_numpy(rounded_down(np.concatenate([tree.threshold for tree in trees]))),
            left=_joined([tree.left + start for tree, start in zip(trees, starts, strict=True)]),
            right=_joined([tree.right + start for tree, start in zip(trees, starts, strict=True)]),
            value=_joined([tree.value for tree in trees]),
            subset=_joined(subsets),
            goes_left=_joined([np.pad(each, ((0, 0), (0, codes - each.shape[1]))) for each in sets]),
        )

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return the node of each tree to which a sample comes, ``B x T``; codes are numbers as well."""
        node_BT = self.roots.expand(x_BI.shape[0], -1)
        for _ in range(self._depth):
            x_BT = x_BI.gather(1, self.feature[node_BT])
            goes_left_BT = x_BT <= self.threshold[node_BT]
            if len(self.goes_left):
                subset_BT = self.subset[node_BT]
                code_BT = x_BT.clamp(0, self.goes_left.shape[1] - 1).long()
                listed_BT = self.goes_left[subset_BT.clamp(min=0), code_BT]
                by_set_BT = subset_BT >= 0
                # Not torch.where: of booleans onnxruntime has none.
                goes_left_BT = (by_set_BT & listed_BT) | (~by_set_BT & goes_left_BT)
            node_BT = torch.where(goes_left_BT, self.left[node_BT], self.right[node_BT])
        return node_BT

    def flaw(self) -> str:
        """Return what is wrong: what are no trees of the columns, or trees in which a walk would not end."""
        nodes = len(self.feature)
        if any(len(each) != nodes for each in (self.threshold, self.left, self.right, self.value, self.subset)):
            return "its trees have parts of different lengths"
        if nodes == 0:
            self._depth = 0
            return "" if len(self.roots) == 0 else "its trees have no nodes"
        within = (
            (self.feature, 0, self._columns),
            (self.roots, 0, nodes),
            (self.left, 0, nodes),
            (self.right, 0, nodes),
            (self.subset, -1, len(self.goes_left)),
        )
        if any(len(each) and not low <= int(each.min()) <= int(each.max()) < end for each, low, end in within):
            return "a node of its trees is none, or asks for a column that is none"
        return self._walk_flaw(torch.arange(nodes, device=self.left.device))

    def _walk_flaw(self, own: Tensor) -> str:
        """Return why a walk may not end, or be long; else take down the longest."""
        inner = (self.left != own) | (self.right != own)
        children = torch.cat([self.left[inner], self.right[inner]])
        reached = torch.cat([children, self.roots])
        if bool((children <= torch.cat([own[inner]] * 2)).any()) or len(reached.unique()) != len(reached):
            return "its trees have a node that is reached in two ways, or comes before its parent"
        if not bool(torch.isfinite(self.value).all()) or bool(self.threshold.isnan().any()):
            return "a value of its trees is no finite number"
        depth, reached = 0, self.roots
        while len(reached := reached[inner[reached]]):
            depth += 1
            if depth > DEEPEST:
                return f"its trees are deeper than {DEEPEST} splits"
            reached = torch.cat([self.left[reached], self.right[reached]])
        self._depth = depth
        return ""


def rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """Return the largest float32 numbers that are not above."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    with np.errstate(over="ignore"):  # below the least number there is none, and none is asked for
        below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near > thresholds, below, near).astype(np.float32)


def _joined(parts: list[NDArray[np.generic]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))
