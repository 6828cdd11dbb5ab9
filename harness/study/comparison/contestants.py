"""Who is compared: the architectures of a space, each searched alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.errors import InputError, did_you_mean
from harness.spec import Choice, Group, Spec, options_of
from harness.spec.first import point_of
from harness.spec.parameters import NodeError

SEARCHES = "searches"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One side of a comparison: a name, and the space that its winner is searched in."""

    name: str
    spec: Spec

    def within(self, seconds: float | None) -> Contestant:
        """Return the contestant with so much time for its search; None leaves it what its space says."""
        if seconds is None:
            return self
        budget = self.spec.budget.model_copy(update={"time": seconds})
        return Contestant(self.name, self.spec.model_copy(update={"budget": budget}))

    @property
    def folder(self) -> str:
        """Where its search is, below the folder of the comparison."""
        return f"{SEARCHES}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.name).strip('.-') or 'family'}"


def contestants_of(spec: Spec, families: Iterable[str] | Mapping[str, str] | None = None) -> tuple[Contestant, ...]:
    """Return a contestant for each architecture of a space, or for each of ``families`` in their order.

    A mapping of names to architectures lets one take part under several names. Raises :class:`InputError` for fewer
    than two, a name that comes twice, and one that is not in the space.
    """
    known = options_of(spec)
    named = families if isinstance(families, Mapping) else _unique(known if families is None else families)
    for family in named.values():
        if family not in known:
            raise InputError(f"--families {family}: no architecture of this space{did_you_mean(family, known)}")
    if len(named) < 2:
        raise InputError(
            f"a comparison takes at least two architectures, and there is only {', '.join(named) or 'none'}; "
            f"this space has {', '.join(known)}"
        )
    found = tuple(Contestant(name, with_architecture(spec, family)) for name, family in named.items())
    if len({each.folder.lower() for each in found}) < len(found):
        raise InputError(f"{', '.join(named)}: two of these names would have one folder; use letters, digits, _ and -")
    return found


def with_architecture(spec: Spec, name: str) -> Spec:
    """Return the spec with one of its architectures alone, and those of its first candidates that still fit."""
    options = spec.group.items["architecture"]
    assert isinstance(options, Choice)
    space = Group({**spec.group.items, "architecture": Choice({name: options.options[name]})})
    first = tuple(candidate for candidate in spec.search.first if _fits(space, candidate))
    return spec.model_copy(update={"space": space, "search": spec.search.model_copy(update={"first": first})})


def _unique(families: Iterable[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for family in families:
        if family in named:
            raise InputError(f"--families: {family} is named twice; name each architecture once")
        named[family] = family
    return named


def _fits(space: Group, candidate: Mapping[str, object]) -> bool:
    try:
        point_of(space, candidate)
    except NodeError:
        return False
    return True
