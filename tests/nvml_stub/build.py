"""Compile the NVML stub and run Python against it: the real pynvml over a made-up GPU.

pynvml loads ``libnvidia-ml.so.1`` by name, so a fresh process whose LD_LIBRARY_PATH starts with the folder that
:func:`build` returns talks to the stub. The environment selects a scenario: see the top of stub.c.

In a test use the fixture ``nvml_stub`` of tests/conftest.py, a :class:`NvmlStub`:

    def test_something(nvml_stub):
        out = nvml_stub.run("from harness.hardware import open_nvml; print(len(open_nvml().gpus))", mig=1)
        assert out == "3"

or, for a command of one's own, ``subprocess.run(command, env=nvml_stub.environment(lost_after=3), ...)``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]


def compiler() -> str | None:
    """Return the C compiler's path, or None where there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(directory: Path, *defines: str) -> Path:
    """Compile the stub into ``directory`` with ``-D`` for each of ``defines``, and return the directory."""
    found = compiler()
    assert found is not None, "no C compiler"
    target = directory / "libnvidia-ml.so.1"
    flags = [f"-D{name}" for name in defines]
    command = [found, "-shared", "-fPIC", "-Wall", "-Werror", *flags, "-o", str(target), str(_HERE / "stub.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def write_smi(directory: Path) -> Path:
    """Write a command ``nvidia-smi`` that answers out of the stub (see nvidia_smi.py), and return the directory."""
    command = directory / "nvidia-smi"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_HERE / "nvidia_smi.py"}" "$@"\n')
    command.chmod(0o755)
    return directory


@dataclass(frozen=True)
class NvmlStub:
    """A compiled stub; ``directory`` may be an empty folder, for a machine without the library."""

    directory: Path

    def environment(self, **scenario: object) -> dict[str, str]:
        """Return an environment that finds the stub; ``lost_after=3`` sets NVML_STUB_LOST_AFTER=3."""
        settings = {f"NVML_STUB_{name.upper()}": str(value) for name, value in scenario.items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NVML_STUB_")}
        libraries = [str(self.directory), kept.get("LD_LIBRARY_PATH", "")]
        paths = [str(_ROOT), kept.get("PYTHONPATH", "")]
        return {
            **kept,
            **settings,
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def run(self, code: str, **scenario: object) -> str:
        """Run Python code in a fresh process and return what it printed; its failure fails the test."""
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(
            command, env=self.environment(**scenario), capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
