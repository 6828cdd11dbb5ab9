"""Names of columns as people type them: composed or decomposed letters and blanks around a name make no difference."""

from __future__ import annotations

import unicodedata


def one_form(name: object) -> str:
    """Return the one form of a name, in which it is compared."""
    return unicodedata.normalize("NFC", str(name)).strip()
