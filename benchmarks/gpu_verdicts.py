"""What the check of a GPU found: a verdict for each step, from what was checked in it, as JSON and as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PASSED, FAILED, NOT_MEASURED = "passed", "failed", "not measured"
REHEARSAL = "rehearsal"
"""Why nothing is measured that needs a real GPU, where there is none."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    verdict: str
    why: str = ""


@dataclass(slots=True)
class Findings:
    """Everything that a step looked at; ``figures`` are what it measured, for people to read."""

    rehearsal: bool
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def check(self, what: str, holds: bool, why: str = "") -> None:
        """Note whether something holds; ``why`` says what was found where it does not."""
        self.checks.append(Check(what, PASSED) if holds else Check(what, FAILED, why))

    def on_gpu(self, what: str, holds: bool, why: str = "") -> None:
        """Note whether something holds that only a real GPU can show."""
        if self.rehearsal:
            self.missing(what, REHEARSAL)
        else:
            self.check(what, holds, why)

    def missing(self, what: str, why: str) -> None:
        """Note what could not be measured."""
        self.checks.append(Check(what, NOT_MEASURED, why))

    def verdict(self) -> tuple[str, str]:
        """Return the verdict of the step and why.

        Failed where one check is; not measured where none could be; else passed, with what was not measured.
        """
        failed = [check for check in self.checks if check.verdict == FAILED]
        missing = [check for check in self.checks if check.verdict == NOT_MEASURED]
        if failed:
            return FAILED, "; ".join(f"{check.what}: {check.why}" if check.why else check.what for check in failed)
        reasons = "; ".join(dict.fromkeys(check.why for check in missing))
        if len(missing) == len(self.checks):
            return NOT_MEASURED, reasons or "nothing was checked"
        return PASSED, f"{len(missing)} of {len(self.checks)} not measured: {reasons}" if missing else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the findings with their verdict, as JSON has it."""
        verdict, why = self.verdict()
        checks = [asdict(check) for check in self.checks]
        return {"verdict": verdict, "why": why, "checks": checks, "figures": plain(self.figures)}


def plain(value: Any) -> Any:
    """Return a value as JSON has it, with None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_json(path: Path, value: Any) -> None:
    """Write a file as a whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def page(report: Mapping[str, Any]) -> str:
    """Return the verdicts as Markdown."""
    lines = [f"# GPU check: {report['device']}", ""]
    if report["rehearsal"]:
        lines += ["A rehearsal on a CPU, to find mistakes in the check itself: nothing here was measured on a GPU.", ""]
    lines += ["| step | verdict | seconds | why |", "| --- | --- | --- | --- |"]
    steps: Mapping[str, Mapping[str, Any]] = report["steps"]
    lines += [
        f"| {name} | {step['verdict']} | {step['seconds']:.1f} | {_cell(step['why'])} |" for name, step in steps.items()
    ]
    for name, step in steps.items():
        lines += ["", f"## {name}", ""]
        lines += [f"- {_told(check)}" for check in step["checks"]]
        lines += [f"- {key}: {value}" for key, value in step["figures"].items()]
    return "\n".join(lines) + "\n"


def _told(check: Mapping[str, str]) -> str:
    why = f" ({check['why']})" if check["why"] else ""
    return f"{check['verdict']}{why}: {check['what']}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
