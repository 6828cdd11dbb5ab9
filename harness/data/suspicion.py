"""What a check of the data noticed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One thing about the data that a user should know before the scores are believed; docs/spaces.md has the codes.

    >>> Suspicion("target-leak", "column 'paid' is equal to the target", "put it under `drop`", subject="paid").text
    "column 'paid' is equal to the target; put it under `drop`"
    """

    code: str
    evidence: str
    """In numbers."""
    remedy: str
    subject: str = ""
    """The column that it is about; empty where it is about samples."""
    share: float | None = None
    """Of the samples that it is about; None where it is about all of them."""
    examples: tuple[str, ...] = ()
    """A few samples or columns, each with its figures."""

    @property
    def text(self) -> str:
        """Evidence and remedy in one line."""
        return f"{self.evidence}; {self.remedy}"
