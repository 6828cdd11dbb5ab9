"""From a space file and ``--set`` values to a validated :class:`Spec`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import SpecError, did_you_mean
from harness.spec.candidate import CHOICES
from harness.spec.document import Budget, Limits, Search, Spec
from harness.spec.explain import explain, reason
from harness.spec.first import point_of
from harness.spec.parameters import Group, Node, NodeError, Range, parse_choice, parse_group, parse_node
from harness.spec.reader import MAX_BYTES, Document, read_yaml
from harness.spec.shipped import find_space
from harness.spec.task import TASK_TYPES, BuiltinTask, parse_task
from harness.spec.training import OF_THE_WINNER, Augment, Training

SECTIONS: Mapping[str, type[BaseModel]] = {"limits": Limits, "budget": Budget, "search": Search, "training": Training}
SEARCHABLE = (*CHOICES, *(name for name in Training.model_fields if name not in OF_THE_WINNER))
"""Keys that ``space:`` may hold."""


def load_spec(space: str, overrides: Iterable[str] = ()) -> Spec:
    """Read a shipped space by name, or a space file by path, and apply ``key.path=value`` overrides.

    Relative paths under ``task`` are taken from the folder of the space file, those of a shipped space from the
    current directory. Raises :class:`SpecError` or :class:`InputError`.
    """
    path, folder = find_space(space)
    return parse_spec(_read(path), origin=str(path), folder=folder, overrides=overrides)


def read_space(space: str) -> str:
    """Return the text of a space file as it is. Raises :class:`SpecError`."""
    return _read(find_space(space)[0])


def parse_spec(text: str, *, origin: str, folder: Path | None = None, overrides: Iterable[str] = ()) -> Spec:
    """Validate the text of a space file; see :func:`load_spec`."""
    document = read_yaml(text, origin)
    if not isinstance(document.data, dict):
        raise document.error((), "expected a mapping with `task:` and `space:`")
    for override in overrides:
        _override(document, override)
    _check_keys(document)
    task = _parse_task(document, folder or Path.cwd())
    sections = {name: _section(document, name, model) for name, model in SECTIONS.items() if name in document.data}
    space = _parse_space(document)
    notes: list[str] = []
    if isinstance(search := sections.get("search"), Search):
        sections["search"] = _with_fitting_first(document, search, space, notes)
    try:
        fields = {**sections, "task": task, "space": space}
        if document.data.get("objective") is not None:
            fields["objective"] = document.data["objective"]
        spec = Spec.model_validate(fields)
        spec._notes = tuple(notes)
        return spec
    except ValidationError as error:
        raise explain(document, (), Spec, error) from None


def canonical(spec: Spec) -> dict[str, Any]:
    """Return the spec as plain data with every default spelled out: loading it again gives the same spec."""
    data = spec.model_dump(mode="json", exclude={"space"})
    task = data["task"]
    if isinstance(spec.task, BuiltinTask) and task["directory"] is None:
        del task["directory"]
    data["space"] = _plain(spec.group)
    data["training"] = _without(data["training"], data["space"])
    if not data["search"]["first"]:
        # So that the hash of a space is what it was before there was such a key.
        del data["search"]["first"]
    return data


def spec_hash(spec: Spec) -> str:
    """Return a sha256 of everything that decides the trials; how many there are, how long, or baselines do not."""
    data = canonical(spec)
    del data["search"]["baselines"]
    data["budget"] = {"epochs": spec.budget.epochs}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:  # a table, say, that was given in place of its space
            raise SpecError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no space file needs")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not UTF-8 text; a space file is YAML") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None


def _without(training: dict[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the space decides, since a key may be set in one place only."""
    augment = {key: value for key, value in training["augment"].items() if key not in space.get("augment", {})}
    return {"augment": augment, **{key: value for key, value in training.items() if key not in (*space, "augment")}}


def _plain(node: Node) -> Any:
    """Return the YAML form of a node."""
    if isinstance(node, Group):
        return {name: _plain(item) for name, item in node.items.items()}
    if isinstance(node, Range):
        extra = {"log": True} if node.log else {"step": node.step} if node.step is not None else {}
        return {"int" if node.integer else "float": [node.low, node.high], **extra}
    if hasattr(node, "options"):
        return {name: _plain(option) for name, option in node.options.items()}
    return node.value if hasattr(node, "value") else list(node.choices)


def _override(document: Document, override: str) -> None:
    """Set one value of the document, and remember where it came from."""
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise SpecError(f"--set {override}: expected key.path=value, such as budget.trials=50")
    at: dict[str, Any] = document.data
    for i, part in enumerate(keys[:-1]):
        inner = at.setdefault(part, {})
        if inner is None:
            inner = at[part] = {}
        if not isinstance(inner, dict):
            raise SpecError(f"--set {override}: {'.'.join(keys[: i + 1])} is a plain value and has no keys of its own")
        at = inner
    value, changed = read_yaml(text, "--set"), tuple(keys)
    at[keys[-1]] = value.data
    document.overridden.add(changed)
    for path in [path for path in document.written if path[: len(changed)] == changed]:
        del document.written[path]
    document.written.update({(*changed, *path): text for path, text in value.written.items()})


def _check_keys(document: Document) -> None:
    for key in document.data:
        if key not in Spec.model_fields:
            raise document.error((key,), f"unknown key{did_you_mean(str(key), Spec.model_fields)}")
    for key in ("task", "space"):
        if document.data.get(key) is None:
            raise document.error((), f"the key `{key}:` is missing")


def _section(document: Document, name: str, model: type[BaseModel]) -> BaseModel:
    try:
        return model.model_validate({} if document.data[name] is None else document.data[name])
    except ValidationError as error:
        raise explain(document, (name,), model, error) from None


def _with_fitting_first(document: Document, search: Search, space: Group, notes: list[str]) -> Search:
    """Return the search with those of its first candidates that can be tried, and note which ones are left out.

    One that is not in the space of its own file is an error; one that is not in it any more, since the command line
    changed the space, is left out. A grid has an order of its own.
    """
    if search.first and search.sampler == "grid":
        notes.append("search.first is left out: a grid visits every candidate in an order of its own")
        return search.model_copy(update={"first": ()})
    touched = any(path[0] == "space" for path in document.overridden)
    asked = any(path[:2] == ("search", "first") for path in document.overridden)
    fitting = []
    for number, candidate in enumerate(search.first):
        try:
            point_of(space, candidate, ("search", "first", number))
        except NodeError as error:
            problem = document.error(error.path, str(error))
            if asked or not touched:
                raise problem from None
            where = ".".join(map(str, error.path))
            notes.append(f"{where}: {error}; since --set changed the space, this first candidate is left out")
        else:
            fitting.append(candidate)
    return search.model_copy(update={"first": tuple(fitting)})


def _parse_task(document: Document, folder: Path) -> Any:
    value = _absolute(document.data["task"], folder)
    try:
        return parse_task(value)
    except ValidationError as error:
        model = next(kind for kind in TASK_TYPES if kind.source in value)
        raise explain(document, ("task",), model, error) from None
    except ValueError as error:
        raise document.error(("task",), str(error)) from None


def _absolute(task: Any, folder: Path) -> Any:
    """Return what a task says with its paths taken from ``folder``."""
    if not isinstance(task, dict):
        return task
    found = {**task, "test": _absolute(task["test"], folder)} if "test" in task else dict(task)
    for key in ("directory", "csv", "parquet", "npz", "images"):
        if isinstance(found.get(key), str):
            found[key] = str((folder / Path(found[key]).expanduser()).absolute())
    return found


def _parse_space(document: Document) -> Group:
    value = document.data["space"]
    if not isinstance(value, dict):
        raise document.error(("space",), "expected a mapping with at least `architecture:`")
    fixed = document.data.get("training")
    nodes: dict[str, Node] = {}
    try:
        for key, item in value.items():
            path = ("space", key)
            if key not in SEARCHABLE:
                raise NodeError(path, f"unknown key{did_you_mean(str(key), SEARCHABLE)}")
            nodes[key] = _parse_key(key, item, path)
            _refuse_twice(fixed, key, nodes[key], path)
    except NodeError as error:
        raise document.error(error.path, str(error)) from None
    if "architecture" not in nodes:
        raise document.error(("space",), "the key `architecture:` is missing, such as `architecture: {mlp: {}}`")
    return Group(nodes)


def _refuse_twice(fixed: object, key: str, node: Node, path: tuple[str | int, ...]) -> None:
    """Refuse what `training:` fixes and `space:` varies; an augmentation may be fixed in part."""
    if not isinstance(fixed, dict) or key not in fixed:
        return
    if key == "augment" and isinstance(node, Group) and isinstance(fixed[key], dict):
        shared = [name for name in node.items if name in fixed[key]]
        if not shared:
            return
        path = (*path, shared[0])
    raise NodeError(path, "set in `training:` as well; keep one of them")


def _parse_key(key: str, value: object, path: tuple[str | int, ...]) -> Node:
    if key in CHOICES:
        return parse_choice(value, path)
    if key == "augment":
        group = parse_group(value, path)
        for name, node in group.items.items():
            _check_values(Augment, name, node, (*path, name))
        return group
    node = parse_node(value, path)
    _check_values(Training, key, node, path)
    return node


def _check_values(model: type[BaseModel], name: str, node: Node, path: tuple[str | int, ...]) -> None:
    """Try the ends of a range, or each value of a list, against the field that will take it."""
    if name not in model.model_fields:
        raise NodeError(path, f"unknown key{did_you_mean(name, model.model_fields)}")
    for value in corner_values(node, path):
        try:
            model.model_validate({name: value})
        except ValidationError as error:
            raise NodeError(path, f"{value!r}: {reason(error.errors()[0], model)}") from None


def corner_values(node: Node, path: tuple[str | int, ...] = ()) -> tuple[Any, ...]:
    """Return the values of a plain parameter that suffice to tell whether all are valid.

    Raises :class:`NodeError` for options and groups.
    """
    if isinstance(node, Range):
        return (int(node.low), int(node.high)) if node.integer else (node.low, node.high)
    if hasattr(node, "choices"):
        return tuple(node.choices)
    if hasattr(node, "value"):
        return (node.value,)
    raise NodeError(path, "takes a value, a list or a range, not options of its own")
