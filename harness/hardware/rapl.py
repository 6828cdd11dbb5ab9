"""Energy of the processor's packages as they count it themselves (RAPL, running average power limit).

Source: Linux power capping, https://docs.kernel.org/power/powercap/powercap.html. A package counts its cores, caches
and memory controller, whatever runs there. Since Linux 5.10 the counters are readable by root only (CVE-2020-8694).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.hardware.cgroup import read_text
from harness.records import Figures

FOLDER = "sys/class/powercap"
_NAME = "cpu_energy_j"


@dataclass
class _Package:
    folder: Path
    last_uj: int
    wrapped_uj: int = 0

    def read_uj(self) -> int:
        """Return the counter as it would be if it had not started anew since the first reading."""
        now_uj = _microjoules(self.folder / "energy_uj")
        if now_uj < self.last_uj:
            self.wrapped_uj += _microjoules(self.folder / "max_energy_range_uj")
        self.last_uj = now_uj
        return self.wrapped_uj + now_uj


class RaplMeter:
    """The joules that all packages have counted; it must be read more often than a counter wraps.

    They count from the system's own zero, so that two processes that read them agree until there is a wrap.
    """

    names = (_NAME,)

    def __init__(self, root: Path = Path("/")) -> None:
        self._packages: list[_Package] = []
        # Zones like intel-rapl:0:1 are parts of a package, and the zone "psys" holds the packages.
        zones = sorted((root / FOLDER).glob("intel-rapl:*"))
        folders = [zone for zone in zones if read_text(zone / "name").startswith("package")]
        self._lacking = "" if folders else f"no package under {root / FOLDER} counts energy (RAPL)"
        try:
            self._packages = [_Package(folder, _microjoules(folder / "energy_uj")) for folder in folders]
        except (OSError, ValueError) as error:
            self._lacking = _why(error)

    def read(self) -> Figures:
        """Return the sum of all packages; NaN where one of them cannot be read."""
        if self._lacking:
            return Figures.missing(self._lacking, _NAME)
        try:
            return Figures({_NAME: sum(package.read_uj() for package in self._packages) * 1e-6})
        except (OSError, ValueError) as error:
            return Figures.missing(_why(error), _NAME)


def _microjoules(path: Path) -> int:
    return int(path.read_text())


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return f"{error.filename}: permission denied; RAPL is readable by root only"
    return f"RAPL: {error}"
