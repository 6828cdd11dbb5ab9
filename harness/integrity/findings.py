"""What a verification has found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["intact", "unsealed", "damaged"]

MOST = 5
"""Differences of one kind that are told one by one; of a thousand changed cells a few say all."""
LONGEST = 120
"""Letters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a run that is not as it should be.

    >>> print(Finding("stats.json", "best.trial is not the winner of trials.parquet", expected="3", found="4"))
    stats.json: best.trial is not the winner of trials.parquet: expected 3, found 4
    """

    file: str
    """Its name in the run."""
    what: str
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        told = ", ".join(f"{word} {value}" for word, value in self._values() if value)
        return f"{self.file}: {self.what}" + (f": {told}" if told else "")

    def _values(self) -> tuple[tuple[str, str], ...]:
        return ("expected", self.expected), ("found", self.found)


@dataclass(frozen=True, slots=True)
class Verification:
    """What :func:`harness.verify` found out about a run.

    >>> import harness
    >>> harness.verify(run).findings
    ()
    """

    run: Path
    kind: str
    """``search``, ``train``, ``compare`` or ``bench``."""
    sealed: bool
    """Whether it has a manifest; an interruption by force, and a benchmark, leave none."""
    files: int
    """How many files were looked at."""
    findings: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()
    """What could not be checked, and why."""

    @property
    def state(self) -> State:
        """``damaged`` where anything was found; else ``intact``, or ``unsealed`` where there is no manifest."""
        if self.findings:
            return "damaged"
        return "intact" if self.sealed else "unsealed"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, as ``harness verify --json`` prints it."""
        findings = [asdict(finding) for finding in self.findings]
        told = {"run": str(self.run), "kind": self.kind, "state": self.state, "files": self.files}
        return {**told, "findings": findings, "unchecked": list(self.unchecked)}


def shown(value: Any) -> str:
    """Return a value as a finding shows it: in one line, cut where it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def differing(file: str, what: str, expected: Any, found: Any) -> Iterator[Finding]:
    """Yield a finding where two values are not the same."""
    if not same(expected, found):
        yield Finding(file, what, shown(expected), shown(found))


def same(a: Any, b: Any, *, rel: float = 0.0, abs_: float = 0.0) -> bool:
    """Tell whether two values are the same: numbers up to a tolerance, and NaN is NaN, or None as JSON has it."""
    a, b = (math.nan if value is None else value for value in (a, b))
    if _is_number(a) and _is_number(b):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=rel, abs_tol=abs_)
    return bool(a == b)


def differences(file: str, against: str, expected: Any, found: Any, path: str = "") -> Iterator[Finding]:
    """Yield a finding for each place at which plain data is not what it is ``against``."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*expected, *found]):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(file, against, expected.get(key), found.get(key), below)
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple) and len(expected) == len(found):
        for place, pair in enumerate(zip(expected, found, strict=True)):
            yield from differences(file, against, *pair, f"{path}.{place}" if path else str(place))
    else:
        yield from differing(file, f"{path or 'it'} is not that of {against}", expected, found)


def first_few(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first findings of a kind, then how many more there are."""
    found = list(findings)
    yield from found[:MOST]
    if len(found) > MOST:
        yield Finding(found[0].file, f"{len(found) - MOST} more differences of this kind")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
