"""How many trials may share a device, by the memory that earlier ones needed, and which device is next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection

USABLE_SHARE = 0.9
"""Of a device's memory; the rest is left to contexts, fragments and whatever else begins to use it."""


def usable_mib(total_mib: float, others_mib: float) -> float:
    """Return what trials may take of a device, of which other programs hold ``others_mib`` already."""
    return max(0.0, USABLE_SHARE * total_mib - others_mib)


class Packing:
    """Says how many assignments may be under way at once, by how earlier ones ended.

    A device gets one trial until a first peak is known, then as many as fit if each were as large as the largest one
    so far. A peak may be measured too low, or a later trial be larger: when one runs out of memory beside others, a
    device never again gets as many. That no device gets more than its share is up to :class:`Placement`.
    """

    def __init__(self, slots: int, devices: int, usable_mib: float) -> None:
        """Share ``devices`` equal devices among ``slots`` workers, dealt out evenly.

        ``usable_mib`` is the memory of the smallest device (see :func:`usable_mib`); infinite where memory is not what
        bounds the workers, as on a CPU: all slots may then be used from the start.
        """
        self._slots = slots
        self._devices = devices
        self._usable_mib = usable_mib
        self._largest_mib = math.nan
        self._bound = math.inf if math.isinf(usable_mib) else math.ceil(slots / devices)

    def allowed(self) -> int:
        """Return how many assignments may be under way at once over all devices; at least one."""
        return max(1, int(min(self._slots, self._devices * self._per_device())))

    def finished(self, peak_mib: float) -> None:
        """Learn the peak memory of one trial's own process; NaN, not measured, says nothing."""
        if peak_mib > 0:
            self._largest_mib = max(peak_mib, self._largest_mib) if self._largest_mib > 0 else peak_mib

    def out_of_memory(self, sharing: int) -> bool:
        """Learn that a trial ran out of memory while ``sharing`` trials, itself included, were on its device.

        Returns whether it shared, so that it should be tried again and not count as out of memory. Each time lowers
        how many may share, so a trial is tried again at most as often as there are workers to a device.
        """
        if sharing <= 1:
            return False
        self._bound = min(self._bound, sharing - 1)
        return True

    def _per_device(self) -> float:
        if math.isinf(self._usable_mib):
            return self._bound
        if math.isnan(self._largest_mib):
            return 1
        return max(1, min(self._bound, self._usable_mib // self._largest_mib))


class Placement:
    """Says which of ``workers``, dealt out to ``devices`` in turn, gets the next assignment.

    It is one whose device has the fewest: then no device stands idle beside a shared one, and none has more than its
    share of those that :class:`Packing` allows.
    """

    def __init__(self, workers: int, devices: int = 1) -> None:
        self._workers = workers
        self._devices = devices

    def device_of(self, worker: int) -> int:
        """Return the number of the device that a worker is on."""
        return worker % self._devices

    def choose(self, busy: Collection[int], rank: Callable[[int], int]) -> int:
        """Return an idle worker, of equally loaded devices the one with the lowest rank, then the lowest number."""
        load = Counter(map(self.device_of, busy))
        idle = [worker for worker in range(self._workers) if worker not in busy]
        assert idle, f"all {self._workers} workers are busy"
        return min(idle, key=lambda worker: (load[self.device_of(worker)], rank(worker), worker))
