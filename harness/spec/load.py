"""From a space file and ``--set`` values to a validated :class:`Spec`."""

from __future__ import annotations

import functools
import hashlib
import json
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import SpecError, did_you_mean
from harness.spec.document import Budget, Limits, Resampling, Search, Spec
from harness.spec.explain import explain
from harness.spec.first import point_of
from harness.spec.parameters import Group, Node, NodeError, Range
from harness.spec.reader import MAX_BYTES, Document, read_mapping, read_yaml, write_yaml
from harness.spec.shipped import find_space, space_of_task
from harness.spec.space import parse_space
from harness.spec.task import TaskSpec, form_of, sources
from harness.spec.training import NESTED, Preprocessing, Training

SECTIONS: Mapping[str, type[BaseModel]] = {
    "limits": Limits,
    "budget": Budget,
    "search": Search,
    "training": Training,
    "evaluation": Resampling,
}


def load_spec(
    space: str | Mapping[str, Any], overrides: Iterable[str] = (), given: Mapping[str, str] | None = None
) -> Spec:
    """Read a shipped space by name, a space file by path, or a space as a mapping; apply ``key.path=value`` overrides.

    The name of a built-in task without a space of its own stands for the shipped space of its kind, with that task.
    ``given`` is the form of data from Python, which takes the place of where the space's task has its data.

    Relative paths under ``task`` are taken from the folder of the space file, those of a shipped space from the
    current directory. Raises :class:`SpecError` or :class:`InputError`.

    >>> spec = load_spec("digits", ["budget.trials=5"])
    >>> spec.budget.trials, dict(spec.objective)
    (5, {'accuracy': 'maximize'})
    """
    if isinstance(space, Mapping):
        return _validated(read_mapping(space, "space"), Path.cwd(), overrides, given)
    path, folder = find_space(space)
    if shipped := space_of_task(space):
        # The task's own override comes first, so that the user's may change what is below it.
        overrides = [f"task={{builtin: {space}}}", *overrides]
    spec = _validated(read_yaml(read_text(path), str(path)), folder, overrides, given)
    if shipped:
        spec._notes = (f"{space} is a task: it is searched with the shipped space {shipped}", *spec.notes)
    return spec


def read_space(space: str) -> str:
    """Return the text of a space file as it is. Raises :class:`SpecError`."""
    return read_text(find_space(space)[0])


def parse_spec(text: str, *, origin: str, folder: Path | None = None, overrides: Iterable[str] = ()) -> Spec:
    """Validate the text of a space file; see :func:`load_spec`."""
    return _validated(read_yaml(text, origin), folder or Path.cwd(), overrides)


def _validated(
    document: Document, folder: Path, overrides: Iterable[str], given: Mapping[str, str] | None = None
) -> Spec:
    if not isinstance(document.data, dict):
        raise document.error((), "expected a mapping with `task:` and `space:`")
    if given is not None:
        _put_given(document, given)
    for override in overrides:
        _override(document, override)
    _check_keys(document)
    task = _parse_task(document, folder)
    sections = {name: _section(document, name, model) for name, model in SECTIONS.items() if name in document.data}
    space = parse_space(document)
    notes: list[str] = []
    if isinstance(search := sections.get("search"), Search):
        sections["search"] = _with_fitting_first(document, search, space, notes)
    try:
        fields = {**sections, "task": task, "space": space}
        fields |= {key: document.data[key] for key in ("metrics", "objective") if document.data.get(key) is not None}
        spec = Spec.model_validate(fields)
        spec._notes = tuple(notes)
        return spec
    except ValidationError as error:
        raise explain(document, (), Spec, error) from None


LATER: Mapping[tuple[str, ...], Any] = {
    ("search", "first"): [],
    ("search", "plan"): "auto",
    ("search", "checks"): True,
    ("search", "winner"): "cheapest",
    ("budget", "stagnation"): None,
    ("training", "ema"): 0.0,
    ("training", "swa"): 0.0,
    ("training", "threshold"): None,
    ("training", "sampling"): "random",
    ("training", "augment", "cutmix"): 0.0,
    ("training", "augment", "erase"): 0.0,
    ("training", "augment", "fill"): "zero",
    ("training", "augment", "magnitude"): 0.5,
    ("training", "augment", "operations"): 0,
    ("training", "augment", "time_mask"): 0.0,
    ("training", "augment", "frequency_mask"): 0.0,
    ("training", "augment", "masks"): 1,
    ("training", "augment", "jitter"): 0.0,
    ("training", "augment", "amplitude"): 0.0,
    ("training", "preprocessing"): Preprocessing().model_dump(),
}
"""Keys that came after the first runs, with their defaults: left out there, so that a space's hash is what it was."""


def canonical(spec: Spec) -> dict[str, Any]:
    """Return the spec as plain data with every default spelled out: loading it again gives the same spec."""
    data = spec.model_dump(mode="json", exclude={"space"})
    data["space"] = _plain(spec.group)
    data["training"] = _without(data["training"], data["space"])
    for (*sections, key), default in LATER.items():
        section = functools.reduce(operator.getitem, sections, data)
        if key in section and section[key] == default:
            del section[key]
    if not data["metrics"]:
        del data["metrics"]
    if spec.evaluation == Resampling():
        del data["evaluation"]
    return data


def as_yaml(spec: Spec) -> str:
    """Return the text of a space file that gives the same spec."""
    return write_yaml(canonical(spec))


def spec_hash(spec: Spec) -> str:
    """Return a sha256 of everything that decides the trials; how many and how long, checks and baselines do not."""
    data = canonical(spec)
    del data["search"]["baselines"]
    data["search"].pop("checks", None)
    if spec.task.split.seed == spec.search.seed:
        # Before the split had a seed of its own, it was drawn from the search's: the hash of such a run is what it was.
        del data["task"]["split"]["seed"]
    data["budget"] = {"epochs": spec.budget.epochs}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def read_text(path: Path) -> str:
    """Return the text of a YAML file. Raises :class:`SpecError`."""
    try:
        if path.stat().st_size > MAX_BYTES:  # a table, say, that was given in place of its space
            raise SpecError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which none of its kind needs")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not UTF-8 text, as YAML is") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None


def _without(training: dict[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the space decides, since a key may be set in one place only."""
    nested = {
        section: {key: value for key, value in training[section].items() if key not in space.get(section, {})}
        for section in NESTED
    }
    return {**nested, **{key: value for key, value in training.items() if key not in (*space, *NESTED)}}


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
    """Set one value of the document, or take it out, and remember where it came from."""
    if override.startswith("~"):
        _take_out(document, override)
        return
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise SpecError(f"--set {override}: expected key.path=value, such as budget.trials=50")
    at: dict[str, Any] = document.data
    if keys[0] == "task" and len(keys) > 1 and isinstance(at.get("task"), str):
        at["task"] = {"builtin": at["task"]}
    for i, part in enumerate(keys[:-1]):
        if part not in at:
            document.overridden.add(tuple(keys[: i + 1]))
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


def _take_out(document: Document, override: str) -> None:
    """Take a key and all below it out of the document."""
    keys = override.removeprefix("~").strip().split(".")
    if not all(keys):
        raise SpecError(f"--set {override}: expected ~key.path, such as ~space.architecture.mlp")
    at: Any = document.data
    for place, part in enumerate(keys):
        if not isinstance(at, dict) or part not in at:
            where = ".".join(keys[:place]) or "the space"
            known = at if isinstance(at, dict) else {}
            raise SpecError(f"--set {override}: {where} has no {part!r} to take out{did_you_mean(part, known)}")
        if place < len(keys) - 1:
            at = at[part]
    del at[keys[-1]]
    document.overridden.add(tuple(keys))


def _put_given(document: Document, given: Mapping[str, str]) -> None:
    """Put data from Python where a document's task has its data; what else the task says stays, as does its name."""
    task = document.data.get("task")
    kept = task if isinstance(task, dict) else {}
    document.data["task"] = {
        **{key: kept.get(key, name) if key in sources else name for key, name in given.items()},
        **{key: value for key, value in kept.items() if key not in sources and key not in given},
    }


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


def _parse_task(document: Document, folder: Path) -> TaskSpec:
    """Return the task, its relative paths taken from ``folder``."""
    try:
        form, fields = form_of(document.data["task"])
    except ValueError as error:
        raise document.error(("task",), str(error)) from None
    try:
        return form.model_validate(fields, context=lambda path: (folder / path.expanduser()).absolute())
    except ValidationError as error:
        raise explain(document, ("task",), form, error) from None
