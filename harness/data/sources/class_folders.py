"""Which samples a folder holds, and what its sub-folders are: classes, or parts of the data with classes inside."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.files import sha256_of_files
from harness.data.sources.source import Source
from harness.errors import DataError

_PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
_PART_NAMES = ("train", "validation", "test")
_DEEPEST = 5
"""Levels below the root that are looked through for samples to tell about."""


@dataclass(frozen=True)
class Content:
    """What the samples of a folder are."""

    name: str
    """In the plural, for messages."""
    suffixes: frozenset[str]
    """In lower case, with their dots, by which the files of samples are known."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """The files of samples below a folder, in their order: by part, class and name, each name as text."""

    files: tuple[Path, ...]
    codes: np.ndarray
    """int64 (N,) into ``class_names``."""
    class_names: tuple[str, ...]
    parts: np.ndarray | None
    """int8 (N,): 0 train, 1 validation, 2 test; None where the folder does not say."""
    notes: tuple[str, ...]


def folder_source(root: Path, layout: Layout, inputs: Any, **more: Any) -> Source:
    """Return the samples of a folder of classes as a source, whose further fields are ``more``."""
    return Source(
        name=readable(root.name),
        inputs=inputs,
        targets=layout.codes,
        class_names=layout.class_names,
        target="class",
        fingerprint=sha256_of_files(root, layout.files),
        files=names_of(root, layout),
        parts=layout.parts,
        **{"notes": layout.notes, **more},
    )


def names_of(root: Path, layout: Layout) -> tuple[str, ...]:
    """Return the files of samples as paths below the folder."""
    return tuple(readable(path.relative_to(root).as_posix()) for path in layout.files)


def readable(path: Path | str) -> str:
    r"""Return a path as valid Unicode: a byte that is not UTF-8 becomes ``\xe9`` or the like."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class _Folder:
    """A folder and what lies in it, looked up when asked for; hidden entries aside."""

    path: Path
    content: Content
    depth: int = 0

    def __str__(self) -> str:
        return readable(self.path)

    @property
    def name(self) -> str:
        return readable(self.path.name)

    @property
    def part(self) -> int | None:
        return _PARTS.get(self.path.name.casefold())

    @cached_property
    def _entries(self) -> tuple[list[Path], list[Path]]:
        """Sub-folders and files, sorted. Links to folders count only where classes may lie: no circles."""
        try:
            with os.scandir(self.path) as listing:
                entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name)
                folders = [entry for entry in entries if entry.is_dir(follow_symlinks=self.depth < 2)]
        except OSError as error:
            raise DataError(f"{self}: may not be listed ({error.strerror}); check its permissions") from None
        files = [entry for entry in entries if not entry.is_dir()]
        return [self.path / entry.name for entry in folders], [self.path / entry.name for entry in files]

    @cached_property
    def folders(self) -> list[_Folder]:
        return (
            [_Folder(path, self.content, self.depth + 1) for path in self._entries[0]] if self.depth < _DEEPEST else []
        )

    @cached_property
    def samples(self) -> list[Path]:
        return [path for path in self._entries[1] if path.suffix.lower() in self.content.suffixes]

    @property
    def others(self) -> int:
        """Number of files that are not named like samples."""
        return len(self._entries[1]) - len(self.samples)

    @cached_property
    def nested(self) -> int:
        """Number of samples in sub-folders."""
        return sum(len(folder.samples) + folder.nested for folder in self.folders)

    @property
    def holds_classes(self) -> bool:
        return any(folder.samples for folder in self.folders)


def find_samples(root: Path, content: Content) -> Layout:
    """Look through ``root``. Raises :class:`DataError` where it cannot be told which class a sample is of."""
    top = _Folder(root, content)
    parts = _part_folders(top)
    if not parts:
        classes = _class_folders(top)
        return _layout([classes], None, [*_similar_names(top, classes), *_left_out(top, [top], classes)])
    by_part = {number: _class_folders(folder) for number, folder in parts.items()}
    _check_same_classes(top, parts, by_part)
    every = [folder for classes in by_part.values() for folder in classes]
    notes = [*_parts_notes(top, parts, by_part), *_similar_names(top, by_part[0])]
    return _layout(list(by_part.values()), list(parts), [*notes, *_left_out(top, [top, *parts.values()], every)])


def samples_below(root: Path, content: Content) -> tuple[list[Path], int]:
    """Return the samples in a folder, then those of each folder below it, sorted; and how many files are others.

    Raises :class:`DataError` for a folder that may not be listed.
    """

    def below(folder: _Folder) -> Iterator[_Folder]:
        yield folder
        for inner in folder.folders:
            yield from below(inner)

    folders = list(below(_Folder(root, content)))
    return [sample for folder in folders for sample in folder.samples], sum(folder.others for folder in folders)


def _layout(by_part: Sequence[Sequence[_Folder]], numbers: list[int] | None, notes: Iterable[str]) -> Layout:
    """Line up the samples; ``numbers`` says which part each element of ``by_part`` is."""
    sizes = [sum(len(folder.samples) for folder in classes) for classes in by_part]
    codes = [code for classes in by_part for code, folder in enumerate(classes) for _ in folder.samples]
    return Layout(
        files=tuple(sample for classes in by_part for folder in classes for sample in folder.samples),
        codes=np.array(codes, np.int64),
        class_names=tuple(folder.name for folder in by_part[0]),
        parts=None if numbers is None else np.repeat(np.array(numbers, np.int8), sizes),
        notes=tuple(notes),
    )


def _part_folders(top: _Folder) -> dict[int, _Folder]:
    """Return the folders that are parts, in the order of the parts; empty where the sub-folders are classes.

    One name alone decides nothing beside other folders of samples: ``train`` may be a class beside ``car`` and ``bus``.
    """
    named = [folder for folder in top.folders if folder.part is not None]
    with_classes = [folder for folder in named if folder.holds_classes]
    flat = [folder for folder in named if folder.samples and not folder.holds_classes]
    beside = any(folder.samples or folder.nested for folder in top.folders if folder.part is None)
    if beside and all(len({folder.part for folder in some}) < 2 for some in (with_classes, flat)):
        return {}
    if flat:
        raise DataError(
            f"{flat[0]}: holds {len(flat[0].samples):,} {top.content.name} and no class folders, so their classes are"
            f" not known; sort them into one sub-folder per class{_use_instead(with_classes)}"
        )
    parts: dict[int, _Folder] = {}
    for folder in sorted(with_classes, key=lambda folder: folder.part or 0):
        number = folder.part or 0
        if number in parts:
            both = f"{parts[number].name} and {folder.name}"
            raise DataError(f"{top}: {both} both name the {_PART_NAMES[number]} part; join them in one folder")
        parts[number] = folder
    if parts and 0 not in parts:
        found = " and ".join(folder.name for folder in parts.values())
        raise DataError(f"{top}: holds {found} but no folder `train` with class folders; add it")
    return parts


def _use_instead(with_classes: Sequence[_Folder]) -> str:
    train = [folder for folder in with_classes if folder.part == 0]
    return f", or use {train[0]} alone" if train else ""


def _class_folders(base: _Folder) -> list[_Folder]:
    """Return the sub-folders of ``base``, each a class."""
    if not base.holds_classes:
        raise DataError(_why_no_classes(base))
    for folder in base.folders:
        if folder.nested and not folder.samples:
            raise DataError(
                f"{folder}: holds no {base.content.name} itself but {folder.nested:,} in sub-folders; put those of a"
                " class directly in its folder, or name the folder whose sub-folders are the classes"
            )
    if len(base.folders) < 2:
        raise DataError(f"{base}: holds only one class ({base.folders[0].name}); there is nothing to learn")
    return base.folders


def _why_no_classes(base: _Folder) -> str:
    level = base.folders
    while level:
        for folder in level:
            if folder.holds_classes:
                found = folder.path if folder.part is None else folder.path.parent
                return (
                    f"{base}: its {base.content.name} lie too deep; name the folder whose sub-folders are the classes"
                    f" ({readable(found)}?), or put those of each class directly in a sub-folder of {base}"
                )
        level = [inner for folder in level for inner in folder.folders]
    if base.samples:
        beside = f"{len(base.samples):,} {base.content.name}"
        return f"{base}: its {beside} lie directly in it; put them in one sub-folder per class"
    return f"{base}: holds no {base.content.name}; expected one sub-folder of {base.content.name} per class"


def _check_same_classes(top: _Folder, parts: Mapping[int, _Folder], by_part: Mapping[int, list[_Folder]]) -> None:
    train = {folder.name for folder in by_part[0]}
    for number, classes in by_part.items():
        names = {folder.name for folder in classes}
        if names != train:
            differences = [
                f"only in {part.name}: {_first(only)}"
                for part, only in ((parts[0], train - names), (parts[number], names - train))
                if only
            ]
            alike = {_key(name) for name in names} == {_key(name) for name in train}
            how = ", in case, blanks or the encoding of accents" if alike else ""
            raise DataError(
                f"{top}: {parts[0].name} and {parts[number].name} differ in their class folders{how}"
                f" ({'; '.join(differences)}); give every part the same ones"
            )


def _parts_notes(top: _Folder, parts: Mapping[int, _Folder], by_part: Mapping[int, list[_Folder]]) -> list[str]:
    sizes = {part: sum(len(folder.samples) for folder in by_part[part]) for part in parts}
    found = ", ".join(f"{folder.name} ({sizes[part]:,})" for part, folder in parts.items())
    missing = " and ".join(name for part, name in enumerate(_PART_NAMES) if part not in parts)
    drawn = f"; {missing} samples are drawn from {parts[0].name}" if missing else ""
    notes = [f"{top}: read as the parts of the data, not as classes: {found} {top.content.name}{drawn}"]
    beside = [folder.name for folder in top.folders if folder not in parts.values()]
    if beside:
        notes.append(f"{top}: folders beside the parts are left out: {_first(beside)}")
    return notes


def _similar_names(top: _Folder, classes: Sequence[_Folder]) -> list[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    for folder in classes:
        alike[_key(folder.name)].append(folder.name)
    return [
        f"{top}: {_first(names)} are different classes although their names differ only in case, blanks or the"
        " encoding of accents; join the folders if they are one"
        for names in alike.values()
        if len(names) > 1
    ]


def _left_out(top: _Folder, holders: Sequence[_Folder], classes: Sequence[_Folder]) -> list[str]:
    beside = sum(len(folder.samples) for folder in holders)
    nested = sum(folder.nested for folder in classes)
    others = sum(folder.others for folder in classes)
    notes = []
    if beside:
        notes.append(f"{top}: {beside:,} {top.content.name} lie beside the class folders, in none of them: left out")
    if nested:
        first = next(folder for folder in classes if folder.nested)
        notes.append(
            f"{top}: {nested:,} {top.content.name} lie in sub-folders of class folders, such as {first.name}: left out"
        )
    if others:
        notes.append(f"{top}: {others:,} entries of the class folders are not named like {top.content.name}: left out")
    return notes


def _key(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _first(names: Iterable[str], most: int = 3) -> str:
    ordered = sorted(names)
    return ", ".join(repr(name) for name in ordered[:most]) + (", ..." if len(ordered) > most else "")
