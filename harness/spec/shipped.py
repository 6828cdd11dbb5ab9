"""The spaces that come with harness, found by name."""

from __future__ import annotations

from pathlib import Path

from harness.errors import SpecError, did_you_mean
from harness.spec.names import TASKS

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder() -> Path:
    """Return the folder of shipped spaces: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """Return the shipped spaces by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.yaml"))}


def shipped_summaries() -> dict[str, str]:
    """Return by name what each shipped space is for: its first line, a comment."""
    return {
        name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").rstrip(".")
        for name, path in shipped_spaces().items()
    }


def space_of_task(name: str) -> str:
    """Return the shipped space that is searched for a built-in task which has none of its own name, else ``""``."""
    return "" if name in shipped_spaces() or Path(name).is_file() else TASKS.get(name, "")


def find_space(space: str) -> tuple[Path, Path]:
    """Return the file of ``space`` and the folder that its relative paths start from.

    ``space`` is the name of a shipped space, or else a path. Raises :class:`SpecError`.
    """
    shipped = shipped_spaces()
    if (name := space_of_task(space) or space) in shipped:
        return shipped[name], Path.cwd()
    path = Path(space).expanduser()
    if path.is_file():
        refuse_data(space, path)
        return path, path.parent
    if path.is_dir():
        raise SpecError(f"{space}: a folder, not a space file; {_advice_on(path)}")
    if path.suffix or len(path.parts) > 1:
        raise SpecError(f"{space}: no such file")
    hint = did_you_mean(space, {*shipped, *TASKS})
    raise SpecError(f"{space}: neither a shipped space nor a built-in task nor a file{hint}")


def refuse_data(space: str, path: Path) -> None:
    """Refuse a file of data in place of a space, with the command that searches it. Raises :class:`SpecError`."""
    if kind := {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}.get(path.suffix.lower()):
        raise SpecError(
            f"{space}: a table, not a space file; search it with "
            f"harness search tabular --set 'task={{{kind}: {space}, target: COLUMN}}'"
        )
    if path.suffix.lower() == ".ts":
        raise SpecError(
            f"{space}: time series, not a space file; search them with "
            f"harness search series --set 'task={{ts: {space}}}'"
        )
    if path.suffix.lower() == ".npz":
        raise SpecError(
            f"{space}: arrays, not a space file; search them with harness search tabular (or digits, for images) "
            f"--set 'task={{npz: {space}}}'"
        )


def _advice_on(folder: Path) -> str:
    if (folder / "status.json").is_file():
        return f"it is a run: go on with it by harness search --resume {folder}"
    if any(folder.glob("*.yaml")):
        return "name a YAML file in it"
    return f"if it holds images, search them with harness search digits --set 'task={{images: {folder}}}'"
