"""The check that needs to know every family and optimiser: each option of the space exists and takes its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from harness import models, train
from harness.errors import InputError, SpecError
from harness.records import Named
from harness.spec import CHOICES, DEFAULTS, Choice, Fixed, Group, Node, Spec, corner_values
from harness.spec.names import SCHEDULES
from harness.study.decide.grid import check_grid

VALIDATE: Mapping[str, Callable[[Named], None]] = {
    "architecture": models.validate,
    "optimizer": train.validate_optimizer,
    **{key: partial(train.validate_schedule, key=key) for key in SCHEDULES},
}


def check_spec(spec: Spec) -> None:
    """Try the ends of every range and each listed value of every option, and how they go together.

    Raises :class:`SpecError` with the key path.
    """
    for key in CHOICES:
        node = spec.group.items.get(key)
        if not isinstance(node, Choice):
            assert key in DEFAULTS
            continue
        for name, option in node.options.items():
            _check_option(key, name, option)
    _check_course(spec)
    if spec.search.sampler == "grid":
        check_grid(spec.group)


def notes_on(spec: Spec) -> tuple[str, ...]:
    """Return what of a space has no effect, although nothing is wrong with it."""
    node = spec.group.items.get("patience", Fixed(spec.training.patience))
    annealing = [name for name in _schedules(spec) if train.anneals(Named(name))]
    notes = []
    if annealing and any(corner_values(node)):
        notes.append(
            f"patience is for a constant rate: trials with {' or '.join(annealing)} run their whole schedule; "
            "search `epochs` to have shorter ones"
        )
    where, own = _own_epochs(spec)
    if (most := max(own)) > spec.budget.epochs:
        notes.append(f"{where}: {most} is more than budget.epochs, {spec.budget.epochs}, and counts as that")
    return tuple(notes)


def _own_epochs(spec: Spec) -> tuple[str, list[int]]:
    """Return where a space says how many epochs a candidate has, and the ends of what it says."""
    where = "space.epochs" if "epochs" in spec.group.items else "training.epochs"
    node = spec.group.items.get("epochs", Fixed(spec.training.epochs))
    return where, [spec.budget.epochs if value is None else int(value) for value in corner_values(node)]


def _check_course(spec: Spec) -> None:
    """Refuse a warm-up in which any candidate would spend all of its epochs."""
    where, own = _own_epochs(spec)
    fewest = min(*own, spec.budget.epochs)
    fix = "raise budget.epochs" if fewest == spec.budget.epochs else f"raise {where}"
    for name, option in _schedules(spec).items():
        warm_up = max(map(float, corner_values(option.items.get("warmup_epochs", Fixed(0)))))
        if warm_up >= fewest:
            raise SpecError(
                f"space.schedule.{name}.warmup_epochs: {warm_up:g} may be all of the {fewest} epochs of a training, "
                f"whose rate then only rises; keep it below {fewest}, or {fix}"
            )


def _schedules(spec: Spec) -> Mapping[str, Group]:
    node = spec.group.items.get("schedule")
    return node.options if isinstance(node, Choice) else {DEFAULTS["schedule"]: Group({})}


def _check_option(key: str, name: str, option: Group) -> None:
    base = {param: next(iter(_values(node))) for param, node in option.items.items()}
    for param, node in [("", None), *option.items.items()]:
        for value in _values(node) if node is not None else (None,):
            tried = {**base, param: value} if param else base
            try:
                VALIDATE[key](Named(name, tried))
            except SpecError:
                raise
            except InputError as error:
                place = "space." if str(error).startswith(f"{key}.") else f"space.{key}: "
                raise SpecError(f"{place}{error}") from None


def _values(node: Node) -> Iterator[Any]:
    """Yield values of a parameter that suffice to tell whether all are valid, options of its own included."""
    if isinstance(node, Choice):
        for name, option in node.options.items():
            inner = {param: list(_values(item)) for param, item in option.items.items()}
            base = {param: values[0] for param, values in inner.items()}
            yield {name: base}
            for param, values in inner.items():
                for value in values[1:]:
                    yield {name: {**base, param: value}}
    else:
        yield from corner_values(node)
