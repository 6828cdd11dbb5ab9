"""The virtual environments of the peers: what all need is installed once, and each adds what is its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMON = "optuna"
ENVIRONMENTS = {
    COMMON: ("torch", "numpy", "scikit-learn", "pyyaml", "optuna"),
    "lightning": ("lightning",),
    "ray": ("ray[tune]",),
    "keras": ("keras", "keras-tuner", "six"),  # which KerasTuner imports and does not ask for
    "flaml": ("flaml[blendsearch]>=2", "numpy<2"),
}
"""Packages by the name of the environment; what harness is tested with, as far as a peer can go along, is common."""
MODULES = {COMMON: "optuna", "lightning": "lightning", "ray": "ray.tune", "keras": "keras_tuner", "flaml": "flaml"}
"""What is imported from each."""


def prepare(folder: Path) -> dict[str, str]:
    """Make the environments that are not there yet below ``folder``; return why those that failed did."""
    failed = {}
    for name, packages in ENVIRONMENTS.items():
        place = folder / name
        if not _wrong(place, name):
            continue
        print(f"{name}: installing {', '.join(packages)} into {place}", file=sys.stderr)
        venv.create(place, with_pip=True, clear=True)
        constraints = ["-c", str(ROOT / "constraints.txt")] if name == COMMON else [_tested("torch")]
        if name != COMMON:
            # A line that adds a folder to where Python looks, behind the environment's own.
            (_packages(place) / "common.pth").write_text(f"{_packages(folder / COMMON)}\n")
        failed[name] = _said([place / "bin" / "pip", "install", "-q", *packages, *constraints]) or _wrong(place, name)
    return {name: why for name, why in failed.items() if why}


def _tested(package: str) -> str:
    """Return the line of constraints.txt that pins a package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))


def _packages(place: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(place.resolve())}))


def _wrong(place: Path, name: str) -> str:
    """Return why an environment cannot be used; empty if it can."""
    python = place / "bin" / "python"
    return _said([python, "-c", f"import {MODULES[name]}"]) if python.is_file() else "it is not there"


def _said(command: Sequence[str | Path]) -> str:
    """Return the last line that a command said as it failed; empty if it did not."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": "torch"}
    )
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""


def interpreter(name: str, folder: Path | None) -> Path | None:
    """Return the Python of an environment; this one where there is none but the packages are, else None."""
    python = folder / name / "bin" / "python" if folder else None
    if python and python.is_file():
        return python
    return Path(sys.executable) if find_spec(MODULES[name].partition(".")[0]) else None
