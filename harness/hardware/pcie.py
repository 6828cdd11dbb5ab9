"""Traffic of a GPU on its PCIe link: rates out of NVML's counters of bytes.

Where there are counters, reading both takes 0.2 to 0.4 ms. NVML's own measurement counts for 20 ms in each direction
while the caller waits, so it stands in for them once a second at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.records import NAN

MEASURED_EVERY_S = 1.0
_LANE_BYTES_S = 0.25e9
"""One lane of generation 1; each generation has doubled it, less a part for its coding."""
FASTEST_BYTES_S = 16 * _LANE_BYTES_S * 2**5
"""Sixteen lanes of generation 6."""


def link_bytes_s(generation: int, lanes: int) -> float:
    """Return a rate in bytes per second that no link of so many lanes exceeds in one direction."""
    return lanes * _LANE_BYTES_S * 2.0 ** (generation - 1)


class PcieTraffic:
    """What is remembered of one GPU's link from one reading to the next."""

    def __init__(self) -> None:
        self.fastest_bytes_s = NAN
        """What the link can carry in one direction; NaN until it is known."""
        self._last_s = NAN
        self._last: tuple[int, ...] = ()
        self._measured_s = -math.inf

    def rates_mb_s(self, now_s: float, counters: Sequence[int], wraps_at: int) -> tuple[float, ...] | None:
        """Return the rate of each counter since the last reading in 10^6 bytes per second.

        NaN at the first reading. None where a counter may have passed ``wraps_at``, at which it begins anew, more than
        once, or was set back: 16 lanes of generation 4 need 0.13 s for 2**32 bytes, those of generation 5 0.07 s.
        """
        elapsed_s, last = now_s - self._last_s, self._last
        self._last_s, self._last = now_s, tuple(counters)
        if not last or elapsed_s <= 0:
            return (NAN,) * len(counters)
        most = elapsed_s * self.fastest_bytes_s
        moved = [(new - old) % wraps_at for new, old in zip(counters, last, strict=True)]
        if most >= wraps_at or max(moved) > most:
            return None
        return tuple(each / elapsed_s / 1e6 for each in moved)

    def due(self, now_s: float) -> bool:
        """Tell whether NVML may measure again, and count it as done if so."""
        due = now_s - self._measured_s >= MEASURED_EVERY_S
        self._measured_s = now_s if due else self._measured_s
        return due
