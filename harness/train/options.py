"""What optimisers and schedules have in common: options with parameters, chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from harness.errors import InputError
from harness.records import Named
from harness.registry import Registry
from harness.spec.base import Described
from harness.spec.explain import reason
from harness.spec.idle import Idle

T = TypeVar("T")


class OptionConfig(Described):
    """The parameters of an option; the docstring under a field becomes its description in the JSON Schema."""


@dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One entry of a registry of options: of optimisers, or of schedules.

    >>> class Halving(OptionConfig):
    ...     every: int = 10
    >>> def build(config, steps_per_epoch, steps):
    ...     return lambda step: 0.5 ** (step // (config.every * steps_per_epoch))
    >>> option = Option("half the rate every so many epochs", Halving, build)
    >>> factor = option.build(option.config(every=1), 2, 6)
    >>> [factor(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    summary: str
    config: type[OptionConfig]
    """Its parameters with their bounds and defaults."""
    build: Callable[..., T]
    """Takes an instance of ``config`` first."""
    idle: tuple[Idle, ...] = ()
    """Parameters that do nothing beside some values of others."""


def configure(options: Registry[Option[T]], named: Named, key: str = "") -> tuple[Option[T], OptionConfig]:
    """Return the option and its checked parameters.

    Raises :class:`InputError` with the key path (``optimizer.sgd.momentum: ...``), and a suggestion for unknown names.
    The path begins with ``key``, or the kind of the options.
    """
    option = options[named.name]
    try:
        return option, option.config.model_validate(dict(named.params))
    except ValidationError as error:
        finding: Any = error.errors()[0]
        path = ".".join((key or options.kind, named.name, *(str(key) for key in finding["loc"])))
        raise InputError(f"{path}: {reason(finding, option.config)}") from None
