"""The virtual environments of the peers: what all need is installed once, and each adds what is its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMON = "optuna"
ENVIRONMENTS = {
    COMMON: ("torch", "numpy", "scikit-learn", "pyyaml", "optuna"),
    "lightning": ("lightning",),
    "ray": ("ray[tune]",),
    "keras": ("keras", "keras-tuner"),
    "flaml": ("flaml[blendsearch]",),
}
"""Packages by the name of the environment; constraints.txt has the versions of those that harness uses too."""
MODULES = {COMMON: "optuna", "lightning": "lightning", "ray": "ray.tune", "keras": "keras_tuner", "flaml": "flaml"}
"""What is imported from each."""


def prepare(folder: Path) -> dict[str, str]:
    """Make the environments that are not there yet below ``folder``; return why those that failed did."""
    failed = {}
    for name, packages in ENVIRONMENTS.items():
        place = folder / name
        if _is_complete(place, name):
            continue
        print(f"{name}: installing {', '.join(packages)} into {place}", file=sys.stderr)
        venv.create(place, with_pip=True, clear=True)
        if name != COMMON:
            # A line that adds a folder to where Python looks, behind the environment's own.
            (_packages(place) / "common.pth").write_text(f"{_packages(folder / COMMON)}\n")
        command = [place / "bin" / "pip", "install", "-q", "-c", ROOT / "constraints.txt", *packages]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            failed[name] = done.stderr.strip().splitlines()[-1]
    return failed


def _packages(place: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(place.resolve())}))


def _is_complete(place: Path, name: str) -> bool:
    python = place / "bin" / "python"
    check = [python, "-c", f"import {MODULES[name]}"]
    return python.is_file() and subprocess.run(check, check=False, capture_output=True).returncode == 0


def interpreter(name: str, folder: Path | None) -> Path | None:
    """Return the Python of an environment; this one where there is none but the packages are, else None."""
    python = folder / name / "bin" / "python" if folder else None
    if python and python.is_file():
        return python
    return Path(sys.executable) if find_spec(MODULES[name].partition(".")[0]) else None
