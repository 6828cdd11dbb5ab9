"""What a packed run may hold: names that lead nowhere else, plain files, and no more than it says.

A zip file may come from anyone. So that none writes beside its folder, over another of its files, or until the disk is
full, all of it is looked at before anything is written.
"""

from __future__ import annotations

import re
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PureWindowsPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

from harness.errors import InputError

CRATE = "ro-crate-metadata.json"
"""What a packed run says of itself, at the top of the zip file and not in the run."""
MANY = 200_000
"""Entries; a run has a few for each trial."""
LARGE = 64 << 30
"""Bytes of all files together."""
SMALL = 1 << 20
"""Bytes of a file that may have been packed however well."""
RATIO = 200
"""How many times smaller a larger file may have become; deflate makes 1,032 of nothing but zeros."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_names(names: Iterable[str], where: object) -> None:
    """Raise :class:`InputError` unless these are names of files of a run, on every system each another one."""
    known: dict[str, str] = {}
    for name in names:
        if flaw := _flaw(name):
            raise InputError(f"{where}: {name!r} in it {flaw}; no run was packed so")
        key = _key(name)
        if key in known:
            raise InputError(f"{where}: {known[key]!r} and {name!r} in it are one name; no run was packed so")
        known[key] = name
    for key, name in known.items():
        parts = key.split("/")
        above = next((folder for n in range(1, len(parts)) if (folder := "/".join(parts[:n])) in known), None)
        if above is not None:
            raise InputError(f"{where}: {known[above]!r} in it is a file, and the folder of {name!r}")


def check_entries(entries: Sequence[ZipInfo], where: object) -> None:
    """Raise :class:`InputError` unless these are the entries of a packed run, by what they say of themselves."""
    if len(entries) > MANY:
        raise InputError(f"{where}: {len(entries):,} files in it, at most {MANY:,} are unpacked")
    for entry in entries:
        if flaw := _entry_flaw(entry):
            raise InputError(f"{where}: {entry.orig_filename!r} in it {flaw}; no run was packed so")
    check_names((entry.orig_filename for entry in entries), where)
    if (total := sum(entry.file_size for entry in entries)) > LARGE:
        raise InputError(f"{where}: would take {total >> 30} GiB unpacked, at most {LARGE >> 30} are")


def _key(name: str) -> str:
    """Return what a name is on systems that know neither case nor how a letter is composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _flaw(name: str) -> str:
    """Return what is wrong with a name, or ``""``."""
    parts, windows = name.split("/"), PureWindowsPath(name)
    if not name.isprintable():
        return "has control characters"
    if "\\" in name or ":" in name:
        return "has a backslash or a colon"
    if windows.anchor or not all(parts):
        return "is no path below the run"
    if any(part.startswith(".") or part.endswith((".", " ")) for part in parts):
        return "leads elsewhere or is hidden"
    return "names a device of Windows" if any(map(_RESERVED.fullmatch, parts)) else ""


def _entry_flaw(entry: ZipInfo) -> str:
    """Return what is wrong with an entry beside its name, or ``""``."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        return "is no plain file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is compressed in another way than by deflate"
    if entry.file_size > SMALL and entry.file_size > RATIO * max(entry.compress_size, 1):
        return f"would become more than {RATIO} times larger"
    return ""
