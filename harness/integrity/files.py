"""The files of a run one by one: against the manifest, and whether each can be read at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.errors import SpecError, StorageError, first_line
from harness.integrity.contents import Contents
from harness.integrity.findings import Finding
from harness.spec.reader import read_yaml
from harness.store.files import is_file, read_file, read_json, sha256_file, storage_errors
from harness.store.run import MANIFEST, SCHEMA_VERSION, listing, sealed_files

HEADER_BYTES = 100 << 20
"""The longest header that the safetensors format allows."""


def digests_of(run: Path) -> dict[str, str]:
    """Return the sha256 of each file of a run, sorted by name; the manifest and hidden files are left out.

    Raises :class:`StorageError` for what is neither file nor folder, and for a file that cannot be read.
    """
    return {name: sha256_file(run / name) for name in listing(run)}


def manifest_findings(run: Path, digests: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is missing, changed or added since the run was sealed; nothing of one that is not.

    Raises :class:`StorageError` for a damaged manifest.
    """
    sealed = sealed_files(run)
    for name in sorted({*sealed, *digests}) if is_file(run / MANIFEST) else ():
        expected, found = sealed.get(name), digests.get(name)
        if found is None:
            yield Finding(name, "is missing", f"sha256 {expected}", "no file")
        elif expected is None:
            yield Finding(name, "was added since the run was sealed", "no file", f"sha256 {found}")
        elif expected != found:
            yield Finding(name, "was changed since the run was sealed", f"sha256 {expected}", f"sha256 {found}")


KNOWN_SCHEMAS: Mapping[str, tuple[str, int]] = {
    MANIFEST: ("schema_version", SCHEMA_VERSION),
    "stats.json": ("schema_version", 2),
    "replicates.json": ("schema_version", 1),
    "openings.json": ("schema_version", 1),
    "comparison.json": ("schema", 1),
    "env.json": ("schema_version", 1),
}
"""Where each file says its version, and the latest that is known here."""


def check_schemas(contents: Contents) -> bool:
    """Tell whether all versions are known here; a newer one is said, and what is none is a finding."""
    known = True
    for name, (key, latest) in KNOWN_SCHEMAS.items():
        held = contents.object(name)
        if held is None or (name == "openings.json" and key not in held):  # a comparison's has none
            continue
        version = held.get(key)
        if type(version) is not int or version < 1:
            contents.note([Finding(name, "has no schema version", f"1 to {latest}", repr(version))])
            known = False
        elif version > latest:
            contents.leave(f"{name} is of schema version {version}, this harness reads up to {latest}: use a newer one")
            known = False
    return known


def check_readable(contents: Contents, names: Iterable[str]) -> None:
    """Note which of these files cannot be read."""
    readers = {".json": read_json, ".parquet": _read_footer, ".safetensors": _read_header, ".yaml": _read_yaml}
    for name in names:
        reader = readers.get(Path(name).suffix)
        if reader is not None:
            contents.read(name, reader)


def _read_footer(path: Path) -> int:
    """Return the number of rows of a Parquet file."""
    import pyarrow as pa
    from pyarrow.parquet import read_metadata

    try:
        with storage_errors(path), path.open("rb") as file:
            return int(read_metadata(file).num_rows)
    except (ValueError, LookupError, pa.ArrowException) as error:
        raise StorageError(f"{path}: cannot be read ({first_line(error)})") from None


def _read_yaml(path: Path) -> object:
    try:
        return read_yaml(read_file(path).decode(), path.name).data
    except (SpecError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read ({first_line(error)})") from None


def _read_header(path: Path) -> int:
    """Return the number of tensors of a safetensors file whose header fits its size.

    The format: eight bytes with the length of a JSON header, the header, the tensors without a gap
    (https://huggingface.co/docs/safetensors).
    """
    with storage_errors(path), path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_BYTES):
            raise StorageError(f"{path}: is shorter than its header says; the file is cut off or damaged")
        data = file.read(length)
    try:
        header = json.loads(data)
        spans = sorted(tuple(map(int, each["data_offsets"])) for name, each in header.items() if name != "__metadata__")
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        raise StorageError(f"{path}: its header is not that of tensors; the file is damaged") from None
    ends = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != ends[:-1] or ends[-1] != size - 8 - length:
        raise StorageError(f"{path}: its tensors are not those of its header; the file is cut off or damaged")
    return len(spans)
