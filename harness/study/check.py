"""The check that needs to know every family and optimiser: each option of the space exists and takes its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness import models, train
from harness.errors import InputError, SpecError
from harness.records import Named
from harness.spec import CHOICES, DEFAULTS, Choice, Group, Node, Spec, corner_values
from harness.study.grid import check_grid

VALIDATE: Mapping[str, Callable[[Named], None]] = {
    "architecture": models.validate,
    "optimizer": train.validate_optimizer,
    "schedule": train.validate_schedule,
}


def check_spec(spec: Spec) -> None:
    """Try the ends of every range and each listed value of every option.

    Raises :class:`SpecError` with the key path.
    """
    for key in CHOICES:
        node = spec.group.items.get(key)
        if not isinstance(node, Choice):
            assert key in DEFAULTS
            continue
        for name, option in node.options.items():
            _check_option(key, name, option)
    if spec.search.sampler == "grid":
        check_grid(spec.group)


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
