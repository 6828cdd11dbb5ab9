"""Texts from a folder with one sub-folder of text files per class, or with such folders for each part of the data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from harness.data.files import existing_file, existing_folder
from harness.data.raw_texts import Texts
from harness.data.sources.class_folders import Content, find_samples, folder_source, readable
from harness.data.sources.decoding import is_utf_8, open_text, text_errors
from harness.data.sources.source import Source, read_source
from harness.errors import DataError
from harness.spec.task import TextsTask

TEXT_FILES = Content("text files", frozenset({".txt", ".text", ".md", ".rst"}))


@read_source.register
def read_text_folder(task: TextsTask) -> Source:
    """Read every text file below the sub-folders of ``task.texts``; names of sub-folders are the classes, sorted."""
    root = existing_folder(task.texts)
    layout = find_samples(root, TEXT_FILES)
    texts = read_texts(layout.files, task.encoding)
    empty = [file for file, text in zip(layout.files, texts, strict=True) if not text.strip()]
    if len(empty) == len(texts):
        raise DataError(f"{readable(root)}: every text file is empty; name another folder")
    first = f"{readable(root)}: {len(empty):,} text files are empty, the first is {readable(empty[0])}" if empty else ""
    return folder_source(
        root,
        layout,
        Texts(texts, task.reading),
        encoding="" if is_utf_8(task.encoding) else task.encoding,
        notes=(*layout.notes, first) if first else layout.notes,
    )


def read_texts(files: Iterable[Path], encoding: str) -> pd.Series:
    """Return what text files hold. Raises :class:`DataError` for one that is of another encoding."""
    return pd.Series([_read(existing_file(file), encoding) for file in files], dtype="str")


def _read(file: Path, encoding: str) -> str:
    with text_errors(file, encoding), open_text(file, encoding) as opened:
        return opened.read()
