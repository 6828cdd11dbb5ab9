"""The files of a benchmark: rows and blocks as tables with fixed columns, written whole and read back with care.

``bench.parquet`` and ``bench.csv`` have a row per case, ``blocks.parquet`` one per timed block, ``env.json`` says where
they were measured. Each carries the version of the schema; another version is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from harness.bench.rows import SCHEMA_VERSION, Case, Row
from harness.errors import InputError, StorageError
from harness.store import to_csv, to_parquet, write_file, write_json
from harness.store.files import read_object, read_parquet

BENCH, CSV, BLOCKS, ENV = "bench.parquet", "bench.csv", "blocks.parquet", "env.json"

_OF_TYPE = {"str": "string", "int": "int64", "float": "float64", "bool": "bool"}


def _dtypes(record: type[Case] | type[Row]) -> dict[str, str]:
    """Return the columns of a record's plain fields; its annotations are text."""
    return {each.name: _OF_TYPE[str(each.type)] for each in fields(record) if str(each.type) in _OF_TYPE}


_LAST = ("status", "note")
_CASE, _MEASURED = _dtypes(Case), _dtypes(Row)
ROW_DTYPES: Mapping[str, str] = {
    "schema_version": "int64",
    **_CASE,
    **{name: dtype for name, dtype in _MEASURED.items() if name not in _LAST},
    "facts": "string",
    **{name: _MEASURED[name] for name in _LAST},
}
"""``facts`` is a JSON object."""

BLOCK_DTYPES: Mapping[str, str] = {
    "schema_version": "int64",
    **_CASE,
    "round": "int64",
    "block": "int64",
    "seconds": "float64",
}
"""``round`` and ``block`` count from 0 in the order of time; ``seconds`` are per call."""


def rows_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Return one line per row, in their order."""
    return _frame([_line(row) for row in rows], ROW_DTYPES)


def blocks_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Return one line per timed block."""
    lines = [
        {"schema_version": SCHEMA_VERSION, **_values(row.case), "round": number, "block": block, "seconds": seconds}
        for row in rows
        for number, (block, seconds) in zip(_rounds(row), enumerate(row.blocks_s), strict=True)
    ]
    return _frame(lines, BLOCK_DTYPES)


def _rounds(row: Row) -> Iterator[int]:
    """Yield for each block of a row the number of its round."""
    for number, blocks in enumerate(row.round_blocks or (len(row.blocks_s),)):
        yield from [number] * blocks


def write_bench(folder: Path, rows: Sequence[Row], env: Mapping[str, Any]) -> None:
    """Write the four files of a benchmark, each whole. Raises :class:`StorageError`.

    Blocks come first: rows never lack theirs, wherever the writing is cut off.
    """
    bench = rows_frame(rows)
    write_file(folder / BLOCKS, to_parquet(blocks_frame(rows)))
    write_file(folder / BENCH, to_parquet(bench))
    write_file(folder / CSV, to_csv(bench))
    write_json(folder / ENV, {"schema_version": SCHEMA_VERSION, **env})


def read_bench(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return rows, blocks and environment of a benchmark's folder.

    Raises :class:`InputError` where the folder is none, and :class:`StorageError`, which names the file, where one of
    them is missing, torn, empty, of another version or not of the same benchmark. There may be more blocks than the
    rows tell of: those of a later round whose rows were not written any more.

    >>> bench, blocks, env = read_bench(a)
    >>> bool((bench["n_blocks"] <= len(blocks)).all()), {"bench", "shape", "t_median_s"} <= set(bench.columns)
    (True, True)
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that `harness bench` wrote, such as results/*-bench-*")
    if not any((folder / name).exists() for name in (BENCH, BLOCKS, ENV)):
        raise InputError(f"{folder}: not a bench folder (no {BENCH} in it); give one that `harness bench` wrote")
    env = read_object(folder / ENV)
    _check_version(folder / ENV, env.get("schema_version"))
    bench = _read(folder / BENCH, ROW_DTYPES)
    blocks = _read(folder / BLOCKS, BLOCK_DTYPES)
    if bench.empty:
        raise StorageError(f"{folder / BENCH}: holds no rows; measure again with `harness bench`")
    counted = blocks.groupby(list(_CASE), sort=False).size().to_dict()
    expected = bench.set_index(list(_CASE))["n_blocks"].to_dict()
    if any(counted.get(case, 0) < number for case, number in expected.items()):
        raise StorageError(f"{folder / BLOCKS}: not all blocks of {BENCH}; measure again with `harness bench`")
    return bench, blocks, env


def _read(path: Path, dtypes: Mapping[str, str]) -> pd.DataFrame:
    frame = read_parquet(path)
    if "schema_version" in frame and len(frame):
        _check_version(path, frame["schema_version"].iloc[0])
    missing = [name for name in dtypes if name not in frame]
    if missing:
        raise StorageError(f"{path}: no column {missing[0]!r}; the file is damaged, or not of a bench")
    try:
        frame = frame[list(dtypes)].astype(dict(dtypes))
        if "facts" in frame:
            frame["facts"].map(json.loads)
    except (TypeError, ValueError) as error:
        raise StorageError(f"{path}: a column is not of its type ({error}); the file is damaged") from None
    return frame


def _check_version(path: Path, found: object) -> None:
    if found != SCHEMA_VERSION:
        raise StorageError(
            f"{path}: schema version {found}, and this harness reads version {SCHEMA_VERSION}; "
            "measure again, or use the harness that wrote it"
        )


def _line(row: Row) -> dict[str, Any]:
    facts = json.dumps(dict(sorted(row.facts.items())))
    return {"schema_version": SCHEMA_VERSION, **_values(row.case), **_values(row), "facts": facts}


def _values(record: Case | Row) -> dict[str, Any]:
    return {name: getattr(record, name) for name in (_CASE if isinstance(record, Case) else _MEASURED)}


def _frame(lines: Sequence[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series([line[name] for line in lines], dtype=dtype) for name, dtype in dtypes.items()}
    )
