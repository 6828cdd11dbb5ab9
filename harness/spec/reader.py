"""YAML text to plain data, with the line of every key and with limits on what a hostile file can cost.

Only plain YAML is read: no tags but the standard ones, no duplicate keys, at most ``MAX_BYTES`` of text, ``MAX_DEPTH``
levels and ``MAX_NODES`` values after aliases are followed (a small file can otherwise unfold to gigabytes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

import yaml

from harness.errors import SpecError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

Path = tuple[str | int, ...]
KEY = "[key]"
"""Ends the path of a key itself, as it does in pydantic's findings."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-4 as a number, as every engineer expects (YAML 1.1 wants 1.0e-4).

    What looks like a date stays text: no key of a space takes a date, but a column may be named after one.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node; refuse a deeply nested one, which would exhaust the stack."""
        if self._depth == MAX_DEPTH and self.check_event(yaml.CollectionStartEvent):
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """SafeDumper that puts quotes around text which the loader would read as a number."""


for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


def write_yaml(data: Any) -> str:
    """Return plain data as the text that reads as it."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data read from YAML, the name of where it came from, and the line of each key path."""

    data: Any
    origin: str
    lines: dict[Path, int]
    overridden: set[Path] = field(default_factory=set)
    """Key paths whose value comes from the command line."""
    written: dict[Path, str] = field(default_factory=dict)
    """How the values were written that YAML does not read as text, and under their paths and KEY such keys."""

    def error(self, path: Path, message: str) -> SpecError:
        """Return the error for ``path``, led by the file, the line and the dotted key path."""
        prefixes = [path[:length] for length in range(len(path), -1, -1)]
        line = next((self.lines[prefix] for prefix in prefixes if prefix in self.lines), None)
        place = f"{self.origin}:{line}" if line else self.origin
        if any(prefix in self.overridden for prefix in prefixes):
            place = "command line"
        dotted = ".".join(str(part) for part in path)
        return SpecError(f"{place}: {dotted}: {message}" if dotted else f"{place}: {message}")


def read_yaml(text: str, origin: str) -> Document:
    """Parse ``text``; ``origin`` is the file name that messages carry. Raises :class:`SpecError`."""
    found = _parsed(text, origin)
    return Document(deepcopy(found.data), origin, dict(found.lines), written=dict(found.written))


@lru_cache(maxsize=2)
def _parsed(text: str, origin: str) -> Document:
    """Return a document that nobody may change: one command reads a space several times."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SpecError(f"{origin}: larger than {MAX_BYTES >> 20} MiB, which no space file needs")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            nodes = dict(_walk(node, loader, origin)) if node is not None else {}
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError(_yaml_message(error, origin)) from None
    except (ValueError, OverflowError) as error:
        raise SpecError(f"{origin}: {error}") from None
    lines = {path: line for path, (line, _) in nodes.items()}
    written = {path: node.value for path, (_, node) in nodes.items() if _is_no_text(node)}
    return Document(data, origin, lines, written=written)


def read_mapping(value: Mapping[str, Any], origin: str) -> Document:
    """Return a space given from Python as a document; messages have the path of keys and no line."""
    return Document(_plain(value, (), origin), origin, {})


def _plain(value: Any, path: Path, origin: str) -> Any:
    """Return a copy made of what YAML has: mappings, lists, numbers and text; NumPy's numbers become Python's."""
    if len(path) > MAX_DEPTH:
        raise SpecError(f"{origin}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {key: _plain(item, (*path, key), origin) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, place), origin) for place, item in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral | Real):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, str | PurePath):
        return str(value)
    found = f"expected a mapping, a list, a number or text, got one of type {type(value).__name__}"
    raise Document(None, origin, {}).error(path, found)


def _walk(root: yaml.Node, loader: _Loader, origin: str) -> Iterator[tuple[Path, tuple[int, yaml.Node]]]:
    """Yield path, line and node of every value and key, following aliases, and refuse what unfolds too far."""
    stack: list[tuple[Path, int, yaml.Node]] = [((), root.start_mark.line, root)]
    seen = 0
    while stack:
        path, line, node = stack.pop()
        seen += 1
        if seen > MAX_NODES or len(path) > MAX_DEPTH:
            raise SpecError(f"{origin}: its aliases unfold to more than {MAX_NODES} values or {MAX_DEPTH} levels")
        yield path, (line + 1, node)
        if isinstance(node, yaml.SequenceNode):
            stack += [((*path, i), child.start_mark.line, child) for i, child in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            keys: set[str | int] = set()
            for key, child in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise SpecError(f"{origin}:{key.start_mark.line + 1}: a key must be a plain name")
                name = loader.construct_object(key) if _is_no_text(key) and key.value != "<<" else key.value
                if name in keys:
                    raise SpecError(f"{origin}:{key.start_mark.line + 1}: key {key.value!r} appears twice")
                keys.add(name)
                yield (*path, name, KEY), (key.start_mark.line + 1, key)
                stack.append(((*path, name), key.start_mark.line, child))


def _is_no_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:str"


def _yaml_message(error: yaml.YAMLError, origin: str) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f"{origin}:{mark.line + 1}" if mark is not None else origin
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    if "could not determine a constructor for the tag" in problem:
        tag = problem.split("'")[1] if "'" in problem else "?"
        return f"{place}: the tag {tag} is refused: a space file holds plain values only"
    return f"{place}: not valid YAML: {problem}"
