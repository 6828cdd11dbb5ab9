"""What turns the repository's pages into a site: a hook of MkDocs, and an extension of the reader of docstrings.

Pages are written for the repository, where they link to each other by their files. The site has the files below
``docs/`` at its top, and beside them the pages and examples that live elsewhere in the repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "examples/**/*")
"""What the site shows beside ``docs/``."""
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\n).*)*", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that live outside of ``docs/``."""
    for path in sorted(found for pattern in OUTSIDE for found in ROOT.glob(pattern) if found.is_file()):
        if "__pycache__" not in path.parts:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links from where the repository has a file to where the site has it; show the text of the examples."""
    if page.file.src_uri in ("CHANGELOG.md", "CONTRIBUTING.md"):
        return markdown.replace("](docs/", "](")
    if page.file.src_uri == "examples/README.md":
        scripts = sorted((ROOT / "examples").rglob("*.py"))
        shown = (f"## {_name(path)}\n\n```python\n{path.read_text()}```\n" for path in scripts)
        return "\n".join([markdown.replace("](../docs/", "](../"), *shown])
    return markdown.replace("](../", "](") if "/" not in page.file.src_uri else markdown


def _name(path: Path) -> str:
    return path.relative_to(ROOT / "examples").as_posix()


class Docstrings(Extension):
    """Makes Markdown of docstrings: roles of Sphinx become code, doctests become blocks of code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of one module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Return a docstring as Markdown.

    >>> print(as_markdown("Raises :class:`~harness.errors.DataError`."))
    Raises `DataError`.
    """
    text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    text = _DOCTEST.sub(lambda example: f"```pycon\n{example[0]}\n```", text)
    return re.sub(r" *# doctest: \S+", "", text)
