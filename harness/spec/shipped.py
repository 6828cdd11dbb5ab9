"""The spaces that come with harness, found by name."""

from __future__ import annotations

from pathlib import Path

from harness.errors import SpecError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder() -> Path:
    """Return the folder of shipped spaces: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """Return the shipped spaces by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


def find_space(space: str) -> tuple[Path, Path]:
    """Return the file of ``space`` and the folder that its relative paths start from.

    ``space`` is the name of a shipped space, or else a path. Raises :class:`SpecError`.
    """
    shipped = shipped_spaces()
    if space in shipped:
        return shipped[space], Path.cwd()
    path = Path(space).expanduser()
    if path.is_file():
        return path, path.parent
    if path.is_dir():
        raise SpecError(f"{space}: a folder, not a space file; name a YAML file in it")
    if path.suffix or len(path.parts) > 1:
        raise SpecError(f"{space}: no such file")
    raise SpecError(f"{space}: neither a shipped space nor a file{did_you_mean(space, shipped)}")
