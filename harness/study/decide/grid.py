"""Grid search over a space with conditional parameters: every candidate once, in a shuffled order.

Optuna's GridSampler wants a flat table and its BruteForceSampler rebuilds the tree of all trials at each step; counting
through the tree of the space needs neither, and trial ``n`` is the same candidate in whatever run it is asked for.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from harness.errors import SpecError
from harness.spec import Categorical, Choice, Fixed, Group, Node, Range, parameters, size


def check_grid(group: Group) -> int:
    """Return how many candidates the grid has. Raises :class:`SpecError` where a range is continuous."""
    for parameter in parameters(group):
        if isinstance(parameter.node, Range) and parameter.node.grid() is None:
            raise SpecError(
                f"space.{parameter.path}: a grid needs values to step through; give it a `step:` or list the values"
            )
    return int(size(group))


def point(node: Node, index: int, path: str = "") -> dict[str, Any]:
    """Return the parameters of candidate ``index`` (0 to size - 1): the index read as a number of mixed radix."""
    match node:
        case Fixed():
            return {}
        case Categorical(choices):
            return {path: choices[index]}
        case Range():
            grid = node.grid()
            assert grid is not None
            return {path: grid[index]}
        case Group(items):
            chosen: dict[str, Any] = {}
            for name, item in items.items():
                index, digit = divmod(index, int(size(item)))
                chosen |= point(item, digit, f"{path}.{name}" if path else name)
            return chosen
        case Choice(options):
            for name, option in options.items():
                if index < size(option):
                    own = {path: name} if len(options) > 1 else {}
                    return own | point(option, index, f"{path}.{name}")
                index -= int(size(option))
    raise AssertionError("index beyond the size of the grid")


def shuffled(number: int, count: int, seed: int) -> int:
    """Return where trial ``number`` stands in a permutation of ``range(count)``, without building it.

    An affine map ``a * n + b mod count`` with ``a`` coprime to ``count`` visits each index once.
    """
    digest = hashlib.sha256(f"grid:{seed}".encode()).digest()
    step = 1 + int.from_bytes(digest[:8], "big") % count
    while math.gcd(step, count) != 1:
        step += 1
    return (step * number + int.from_bytes(digest[8:16], "big")) % count
