"""A space in words, for --dry-run and ``spaces validate``."""

from __future__ import annotations

import math
from typing import Any

from harness.cli.console import print_table
from harness.spec import Categorical, Parameter, Spec, parameters, size


def space_rows(spec: Spec) -> list[dict[str, str]]:
    """Return one row per searched parameter."""
    from harness.study import needed_where

    needed = needed_where(spec.group)
    return [
        {
            "parameter": p.path,
            "values": describe(p),
            "exists when": ", ".join(filter(None, (p.condition, needed.get(p.path)))) or "always",
        }
        for p in parameters(spec.group)
    ]


def print_space(spec: Spec) -> None:
    """Print the searched parameters and how many candidates they span."""
    rows = space_rows(spec)
    print_table(rows, columns=("parameter", "values", "exists when"))
    first = f", of which {len(spec.search.first)} are tried first" if spec.search.first else ""
    print(f"{len(rows)} parameters, {describe_size(spec)}{first}")
    for note in spec.notes:
        print(f"note: {note}")


def describe(parameter: Parameter) -> str:
    """Return the values that a parameter can take."""
    node = parameter.node
    if isinstance(node, Categorical):
        return " | ".join(str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in node.choices)
    kind = "int" if node.integer else "float"
    extra = ", log" if node.log else f", step {node.step:g}" if node.step else ""
    return f"{kind} {node.low:g} to {node.high:g}{extra}"


def describe_size(spec: Spec) -> str:
    """Return how many candidates the space has."""
    points = size(spec.group)
    return "a continuous space" if math.isinf(points) else f"{int(points):,} candidates"


def cost_rows(estimates: list[Any]) -> list[dict[str, Any]]:
    """Return one row per architecture with what it costs here."""
    return [
        {
            "architecture": estimate.architecture,
            "parameters": int(estimate.parameters),
            "step ms": estimate.step_ms,
            "epoch s": estimate.epoch_s,
            "trial s": estimate.trial_s,
            "cheapest": estimate.least_s,
            "dearest": estimate.most_s,
        }
        for estimate in estimates
    ]
