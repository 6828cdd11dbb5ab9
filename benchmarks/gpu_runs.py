"""A step of ``gpu_check.py`` while it is taken: where it writes, its time, and the program as it calls it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_verdicts import Findings

ROOT = Path(__file__).resolve().parents[1]


class CommandFailed(Exception):
    """The program ended with an error; ``str`` is the exit code and what it said last."""


@dataclass
class Step:
    """What a step needs to know, and what it has found."""

    folder: Path
    seconds: float
    """Until it is killed."""
    rehearse: bool
    findings: Findings = field(init=False)

    def __post_init__(self) -> None:
        self.findings = Findings(self.rehearse)

    @property
    def device(self) -> str:
        """The device by the name that the program's commands take."""
        return "cpu" if self.rehearse else "cuda"

    @property
    def runs(self) -> Path:
        """Folder for the folders of runs; only what is taken out of it stays."""
        return self.folder / "runs"

    def harness(self, *arguments: str, label: str = "") -> Any:
        """Run a command of the program in the step's folder and return the JSON that it prints.

        Names of files are best relative, as the program keeps its command line.
        Raises :class:`CommandFailed`; what the command had to say is in ``LABEL.log``.
        """
        name = label or arguments[0]
        answer, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        with answer.open("wb") as out, log.open("wb") as err:
            command = [sys.executable, "-m", "harness", *arguments]
            code = subprocess.run(command, stdout=out, stderr=err, cwd=self.folder, check=False).returncode
        said = log.read_text(encoding="utf-8", errors="replace")
        sys.stderr.write(said)
        if code:
            last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
            raise CommandFailed(f"harness {arguments[0]} ended with exit code {code} and said: {last}")
        found = json.loads(answer.read_text(encoding="utf-8"))
        answer.unlink()  # it names folders of this machine
        return found

    def keep(self, run: Path, *names: str, prefix: str = "") -> None:
        """Take files out of the folder of a run, which is too large to be kept, and remove it."""
        for name in names:
            if (run / name).exists():
                shutil.copy(run / name, self.folder / f"{prefix}{name}")
        shutil.rmtree(self.runs)
