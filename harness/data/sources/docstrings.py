"""What Python packages say of their functions and classes: texts that are on every machine, the package their class."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from harness.data.files import sha256_of_bytes
from harness.data.raw_texts import Texts, text_series
from harness.data.sources.source import Source
from harness.errors import DataError
from harness.spec.text_reading import TextReading

PACKAGES = ("numpy", "pandas", "scipy", "sklearn")
MOST = 500
"""Texts of a package."""
_FEWEST_WORDS = 6
_LONGEST = 400
"""Characters of a text."""
_LEFT_OUT = {"tests", "externals", "_lib", "vendored"}
"""Folders of a package that hold no words of its own."""
_NAMES = re.compile(r"\b(numpy|np|pandas|pd|scipy|sp|scikit|sklearn)\b[.-]?", re.IGNORECASE)
"""What would give the package away."""
_END = re.compile(r"^(?:[^\n]+\n\s*-{3,}|\s*\.\. |\s*>>> )", re.MULTILINE)
"""Where a section, such as the one on parameters, a directive or an example begins."""


def read_docstrings(name: str) -> Source:
    """Return the beginnings of docstrings of the installed packages, whose sources are read and not run.

    They are from the files of each package that come first by the digests of their paths, which is a sample of all of
    it. Each text is there once, and what several packages say is left out, as are the names of the packages.
    """
    by_package = [list(_texts_of(package)) for package in PACKAGES]
    counts = Counter(text for texts in by_package for text in texts)
    own = [[text for text in texts if counts[text] == 1] for texts in by_package]
    texts = [text for some in own for text in some]
    return Source(
        name=name,
        inputs=Texts(text_series(texts), TextReading()),
        targets=np.repeat(np.arange(len(PACKAGES)), [len(some) for some in own]),
        class_names=PACKAGES,
        target="package",
        fingerprint=sha256_of_bytes("\0".join(texts).encode()),
    )


def _texts_of(package: str) -> list[str]:
    """Return different texts of a package, as many as are wanted of it."""
    found: dict[str, None] = {}
    for file in _files(package):
        found |= dict.fromkeys(_texts_in(file))
        if len(found) >= MOST:
            break
    return list(found)[:MOST]


def _files(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"docstrings: the package {package} is not installed as files; install it")
    root = Path(spec.submodule_search_locations[0])
    names = (file.relative_to(root) for file in root.rglob("*.py"))
    own = [name for name in names if not _LEFT_OUT.intersection(name.parts)]
    return [root / name for name in sorted(own, key=lambda name: hashlib.sha256(name.as_posix().encode()).digest())]


def _texts_in(file: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes in somebody else's source
        tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (said := ast.get_docstring(node)):
            beginning = _END.split(said, maxsplit=1)[0]
            text = " ".join(_NAMES.sub("", beginning).split())[:_LONGEST]
            if len(text.split()) >= _FEWEST_WORDS:
                yield text
