"""How one space has grown out of another: values and options were added, ranges widened, and nothing else changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.spec.parameters import Categorical, Choice, Fixed, Group, Node, NodeError, Path, Range, Scalar, contains


def growth(old: Node, new: Node, path: Path = ()) -> Iterator[str]:
    """Yield what a space has gained, each with the path of its parameter; nothing where both are alike.

    Every point of the old space is then one of the new space, with the same parameters. Raises :class:`NodeError` at
    the first change by which it would not be.

    >>> list(growth(Categorical((16, 32)), Categorical((16, 32, 64)), ("batch_size",)))
    ['batch_size: 64 is new']
    """
    match old, new:
        case Group(items), Group(others):
            yield from _members(items, others, path)
        case Choice(options), Choice(others):
            yield from _options(options, others, path)
        case Categorical(choices), Categorical(others):
            for choice in choices:
                if not contains(new, choice):
                    raise NodeError(path, f"{_text(choice)} is missing")
            yield from _gained(path, (choice for choice in others if not contains(old, choice)))
        case Range(), Range():
            yield from _widened(old, new, path)
        case Fixed(value), Fixed(other):
            if value != other or type(value) is not type(other):
                raise NodeError(path, f"it was {_text(value)} and is {_text(other)}")
        case Fixed(value), _:
            raise NodeError(path, f"it was always {_text(value)}, so that earlier trials have no value of it")
        case _:
            raise NodeError(path, "it is of another kind")


def _members(old: Mapping[str, Node], new: Mapping[str, Node], path: Path) -> Iterator[str]:
    for name in [*old, *new]:
        if name not in new:
            raise NodeError((*path, name), "it is missing")
        if name not in old:
            raise NodeError((*path, name), "it is new, so that earlier trials have no value of it")
    for name, node in old.items():
        yield from growth(node, new[name], (*path, name))


def _options(old: Mapping[str, Group], new: Mapping[str, Group], path: Path) -> Iterator[str]:
    for name in old:
        if name not in new:
            raise NodeError((*path, name), "it is missing")
    added = [name for name in new if name not in old]
    if added and len(old) == 1:
        raise NodeError(path, f"it was always {next(iter(old))}, so that earlier trials have no value of it")
    yield from _gained(path, added)
    for name, option in old.items():
        yield from growth(option, new[name], (*path, name))


def _widened(old: Range, new: Range, path: Path) -> Iterator[str]:
    """Yield the ends of a range, where it has new ones."""
    if (old.integer, old.log, old.step) != (new.integer, new.log, new.step):
        raise NodeError(path, "it is a range of another kind")
    kind = int if old.integer else float
    for end in (kind(old.low), kind(old.high)):
        if not contains(new, end):
            raise NodeError(path, f"it no longer has {end:g}")
    if old != new:
        yield f"{_at(path)}: from {old.low:g} to {old.high:g} before, from {new.low:g} to {new.high:g} now"


def _gained(path: Path, values: Iterable[Scalar]) -> Iterator[str]:
    names = [_text(value) for value in values]
    if names:
        yield f"{_at(path)}: {', '.join(names)} {'are' if len(names) > 1 else 'is'} new"


def _at(path: Path) -> str:
    return ".".join(map(str, path))


def _text(value: Scalar) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
