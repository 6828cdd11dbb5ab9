"""Ask Optuna for one candidate: the space is walked, and only the parameters of what was chosen are asked for."""

from __future__ import annotations

import optuna

from harness.spec import Categorical, Choice, Fixed, Group, Node, Range
from harness.spec.parameters import Scalar


def suggest(trial: optuna.Trial, node: Node, path: str = "") -> dict[str, Scalar]:
    """Return the value of every searched parameter that exists at this candidate, by dotted path."""
    match node:
        case Fixed():
            return {}
        case Categorical(choices):
            return {path: trial.suggest_categorical(path, choices)}
        case Range():
            return {path: _suggest_number(trial, node, path)}
        case Group(items):
            chosen: dict[str, Scalar] = {}
            for name, item in items.items():
                chosen |= suggest(trial, item, f"{path}.{name}" if path else name)
            return chosen
        case Choice(options):
            if len(options) == 1:
                name, own = next(iter(options)), {}
            else:
                name = str(trial.suggest_categorical(path, list(options)))
                own = {path: name}
            return own | suggest(trial, options[name], f"{path}.{name}")


def _suggest_number(trial: optuna.Trial, node: Range, path: str) -> Scalar:
    if node.integer:
        return trial.suggest_int(path, int(node.low), int(node.high), log=node.log, step=int(node.step or 1))
    return trial.suggest_float(path, node.low, node.high, log=node.log, step=node.step)
