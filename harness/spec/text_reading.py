"""What a task may say of its texts: how they become tokens, and how a file stands for characters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.spec.base import Frozen

BYTES = 256
"""Tokens that byte pairs begin with: one for each byte."""
RESERVED = 2
"""Codes that are no tokens: of padding, and of what is unknown."""


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError(f"unknown encoding {encoding!r}; use a name of Python's, such as latin-1 or cp1252") from None
    return encoding


Encoding = Annotated[str, AfterValidator(_known)]
"""The name of Python's for how bytes stand for characters."""


class TextReading(Frozen):
    """How texts become tokens; the base of every task that may have texts.

    >>> TextReading(tokeniser="words").length
    128
    """

    tokeniser: Literal["bpe", "words"] = "bpe"
    """``bpe``: byte pairs, which spell what they have not seen; ``words``: whole words, of which the rare are unknown.
    """
    vocabulary: Annotated[int, Field(ge=10, le=200_000)] = 8000
    """Codes at most: of tokens, of padding and of what is unknown."""
    length: Annotated[int, Field(ge=1, le=8192)] = 128
    """Tokens of a text that are read at most; fewer where 95 % of the training texts have no more."""

    @model_validator(mode="after")
    def _holds_every_byte(self) -> TextReading:
        if self.tokeniser == "bpe" and self.vocabulary < RESERVED + BYTES:
            raise ValueError(f"a vocabulary of byte pairs has at least {RESERVED + BYTES} codes, one for each byte")
        return self

    @property
    def reading(self) -> TextReading:
        """These keys alone."""
        return TextReading(tokeniser=self.tokeniser, vocabulary=self.vocabulary, length=self.length)
