"""One registry for everything that is chosen by name: tasks, families, optimisers, samplers, pruners.

What an installed package adds is found by its entry points: ``harness.families`` for architectures, and so on. Loading
one runs the package's code, as importing it does; names alone are read without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

from harness.errors import InputError, described, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


_registered: dict[str, set[str]] = {}
"""Names by kind, for whoever must not load the registries themselves."""
_GROUPS = {
    "architecture": "harness.families",
    "metric": "harness.metrics",
    "optimizer": "harness.optimizers",
    "problem": "harness.problems",
    "pruner": "harness.pruners",
    "sampler": "harness.samplers",
    "schedule": "harness.schedules",
    "source": "harness.sources",
}
"""Groups of entry points by kind."""


def registered(kind: str) -> frozenset[str]:
    """Return the names of a kind that modules have registered so far, or that installed packages say they will."""
    return frozenset({*_registered.get(kind, ()), *_offered(kind)})


@cache
def _offered(kind: str) -> dict[str, EntryPoint]:
    """Return what installed packages offer by name; asking takes some 20 ms, so it is asked once."""
    from importlib.metadata import entry_points

    return {offer.name: offer for offer in entry_points(group=_GROUPS[kind])} if kind in _GROUPS else {}


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from name to entry whose unknown names get a suggestion.

    ``kind`` is the word that messages use, such as ``"optimizer"``.

    >>> colours = Registry("colour")
    >>> @colours.register("red")
    ... def red():
    ...     return "#ff0000"
    >>> colours["red"]()
    '#ff0000'
    >>> colours["rad"]
    Traceback (most recent call last):
        ...
    harness.errors.InputError: unknown colour 'rad'; did you mean 'red'?
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register ``entry`` under ``name``; a name is registered once."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        _registered.setdefault(self.kind, set()).add(name)
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> T:
        """Return the entry, or raise :class:`InputError` with a suggestion."""
        if name not in self._entries and name in _offered(self.kind):
            self._load(name)
        try:
            return self._entries[name]
        except KeyError:
            raise InputError(f"unknown {self.kind} {name!r}{did_you_mean(name, self)}") from None

    def _load(self, name: str) -> None:
        """Load the module or object that an installed package offers under a name; doing so is to register it."""
        offer = _offered(self.kind)[name]
        try:
            offer.load()
        except Exception as error:
            raise InputError(
                f"{self.kind} {name!r}: {offer.value} of {_owner(offer)} cannot be loaded: {described(error)}"
            ) from error
        if name not in self._entries:
            raise InputError(
                f"{self.kind} {name!r}: {offer.value} of {_owner(offer)} does not register it; update that package"
            )

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in _offered(self.kind)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries.keys() | _offered(self.kind).keys()))

    def __len__(self) -> int:
        return len(self._entries.keys() | _offered(self.kind).keys())


def _owner(offer: EntryPoint) -> str:
    return offer.dist.name if offer.dist is not None else "an installed package"
