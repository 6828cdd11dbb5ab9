"""The suite: every group in its own process, within the time of a level, and what is left of it on disk.

All groups are gone through several times, so that the blocks of each row spread over the whole of the run and over
several processes. A group that dies or hangs costs its own rows. Files are written now and then, so that Ctrl-C and
worse leave what was measured until then.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.bench.catalog import ONCE, ROUNDS, in_order, load_groups
from harness.bench.frames import write_bench
from harness.bench.peaks import Peaks, measured_peaks, with_peaks
from harness.bench.process import GroupFailed, GroupProcesses, Request
from harness.bench.remarks import with_memory_roof, with_other_library, with_public_figures
from harness.bench.rows import Case, Row, skipped
from harness.bench.schedule import LEAST_GROUP_S, LEVEL_S, SAVE_EVERY_S, Schedule
from harness.bench.timing.rounds import merge_rounds
from harness.bench.workload import Level, groups
from harness.errors import InputError, did_you_mean
from harness.hardware import choose_device, usable_cores
from harness.hardware.fork_server import FORKS
from harness.store import environment, storage_errors

FIRST_START_S = 4.0
"""What a process takes to load torch."""
START_LIMIT_S = 180.0
GRACE: Mapping[Level, tuple[float, float]] = {"quick": (2.0, 10.0), "standard": (3.0, 60.0), "full": (3.0, 120.0)}
"""A group may take so many times its time, and so many seconds more, before it counts as hung."""
CUDA_GRACE_S = 30.0
"""The least of these seconds where libraries of kernels are read from what may be a cold disk."""
TURN_S = 0.3
"""What a turn takes beyond its time, until some have been seen."""


class BenchObserver:
    """Whoever follows a suite; what it does not override it lets pass.

    ``left_s`` is an estimate of the seconds until its end.

    >>> class Printer(BenchObserver):
    ...     def group_ended(self, name, left_s):
    ...         print(name, left_s)
    >>> Printer().group_ended("copy", 9.5)
    copy 9.5
    """

    def suite_started(self, folder: Path, turns: int, left_s: float) -> None:
        """Results will be in the folder, after so many turns of groups."""

    def group_started(self, name: str, left_s: float) -> None:
        """A group has its turn; of several rounds ``name`` tells which."""

    def row_measured(self, row: Row, left_s: float) -> None:
        """A row is there, or one more round of it; its shares of the peaks are known only at the end."""

    def group_ended(self, name: str, left_s: float) -> None:
        """A turn is over."""


def run_suite(
    *,
    level: Level,
    device: str,
    out: Path,
    only: Sequence[str] = (),
    threads: int | None = None,
    observer: BenchObserver | None = None,
    seed: int = 0,
) -> Path:
    """Measure this machine and return the folder of the results, ``<time>-bench-<id>`` in ``out``.

    >>> folder = run_suite(level="quick", device="cpu", out=Path("results"), only=["copy"])  # doctest: +SKIP
    >>> bench, blocks, env = read_bench(folder)  # doctest: +SKIP

    ``only`` names the groups to measure, all of them if empty; ``threads`` are the CPU threads of torch, None: as many
    as there are usable cores. Raises :class:`InputError` for names that are none and threads that there are not,
    :class:`HardwareError` for a device that is not there and :class:`StorageError` where nothing can be written. An
    interruption passes through when what was measured is saved.
    """
    if level not in LEVEL_S:
        raise InputError(f"unknown level {level!r}{did_you_mean(level, LEVEL_S)}")
    cores = usable_cores()
    if threads is not None and not 1 <= threads <= cores:
        raise InputError(f"--threads {threads}: this machine has {cores} usable cores; use 1 to {cores}")
    load_groups()
    names = in_order(only or list(groups))
    chosen = str(choose_device(device))
    suite = _Suite(level, chosen, names, _make_folder(out), observer or BenchObserver(), seed, threads or cores)
    try:
        suite.run()
    finally:
        suite.finish()
    return suite.folder


class _Suite:
    """A suite while it runs."""

    def __init__(
        self,
        level: Level,
        device: str,
        names: Sequence[str],
        folder: Path,
        observer: BenchObserver,
        seed: int,
        threads: int,
    ) -> None:
        self.folder = folder
        self._level: Level = level
        self._device = device
        self._names = names
        self._observer = observer
        self._seed = seed
        self._threads = threads
        self._started = (time.time(), time.monotonic())
        self._plan = Schedule(names, level, turn_s=TURN_S if FORKS else TURN_S + FIRST_START_S)
        self._saved_s = time.monotonic()
        self._cache = tempfile.TemporaryDirectory(prefix="harness-compile-", ignore_cleanup_errors=True)
        self._rows: list[Row] = []
        self._facts: dict[str, Any] = {}
        self._processes: GroupProcesses | None = None
        self._environment = environment([Path(sys.argv[0]).name, *sys.argv[1:]], Path.cwd())
        if self._environment["git"]:
            self._environment["git"].pop("diff")  # the versions matter here, not what is being worked on

    def run(self) -> None:
        """Measure all groups."""
        self._observer.suite_started(self.folder, len(self._plan.left), self._plan.left_s())
        while self._plan.left:
            number, name = turn = self._plan.left[0]
            label = name if name in ONCE else f"{name}, round {number + 1} of {self._plan.rounds}"
            self._observer.group_started(label, self._plan.left_s())
            try:
                self._measure(number, name)
            except GroupFailed as failure:
                self._add(Row(case=Case(bench=name), status=failure.status, note=str(failure)))
                self._plan.skip(name)
            if all(row.status == "skipped" for row in self._rows if row.case.bench == name):
                self._plan.skip(name)  # another round would not find more
            if turn in self._plan.left:
                self._plan.end_turn()
            if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
                self._save("running")
            self._observer.group_ended(label, self._plan.left_s())

    def finish(self) -> None:
        """Leave what there is, and nothing if that is nothing."""
        if self._processes is not None:
            self._processes.close()
        self._cache.cleanup()
        if self._rows:
            self._save("interrupted" if self._plan.left else "complete")
        else:
            with suppress(OSError):
                self.folder.rmdir()

    def _measure(self, number: int, name: str) -> None:
        if self._plan.left_s() < LEAST_GROUP_S + (FIRST_START_S if self._processes is None else 0.0):
            if number == 0:
                given = f"the {self._plan.total_s:.0f} s of level {self._level}"
                note = f"no time was left of {given}: the machine is slow, or busy"
                self._add(skipped(Case(bench=name), note))
            self._plan.missed[name] += 1
            return
        if not self._facts:
            self._describe()
        seconds = self._plan.share_s(name)
        factor, more = GRACE[self._level]
        more = max(more, CUDA_GRACE_S) if self._device.startswith("cuda") else more
        request = Request(name, seconds, number, self._plan.rounds_of(name), self._facts["idle"], self._threads)
        start = time.monotonic()
        self._ask(request, factor * seconds + more)
        self._plan.took(seconds, time.monotonic() - start)

    def _describe(self) -> None:
        """Ask what the machine is; until it has answered once nothing is measured."""
        self._ask(Request("", 0.0, threads=self._threads), START_LIMIT_S)

    def _ask(self, request: Request, limit_s: float) -> None:
        if self._processes is None:
            self._processes = GroupProcesses(self._device, self._level, self._seed, Path(self._cache.name))
        for answer in self._processes.ask(request, limit_s):
            if isinstance(answer, Row):
                self._add(answer)
            else:
                self._facts = self._facts or answer

    def _add(self, row: Row) -> None:
        self._rows.append(row)
        self._observer.row_measured(row, self._plan.left_s())

    def _save(self, state: str) -> None:
        spec = Peaks(**self._facts["peaks"]) if self._facts else Peaks()
        self._saved_s = time.monotonic()
        merged = [self._with_missed(row) for row in merge_rounds(self._rows)]
        measured = measured_peaks(merged)
        rows = with_memory_roof(with_other_library(merged), measured)
        rows = with_public_figures(rows, str(self._facts.get("device_name")))
        rows = [with_peaks(row, spec=spec, measured=measured) for row in rows]
        env = {
            "state": state,
            "level": self._level,
            "device": self._device,
            "device_name": self._facts.get("device_name"),
            "threads": self._facts.get("threads"),
            "machine": self._facts.get("machine"),
            "groups": list(self._names),
            "rounds": self._plan.rounds,
            "started_unix_s": self._started[0],
            "seconds": time.monotonic() - self._started[1],
            "seed": self._seed,
            "peaks": {name: _described(peaks) for name, peaks in (("specified", spec), ("measured", measured))},
            "environment": self._environment,
        }
        write_bench(self.folder, rows, env)

    def _with_missed(self, row: Row) -> Row:
        """Say so in a row for which there was no time in some rounds."""
        missed = self._plan.missed[row.case.bench]
        if not missed or not row.blocks_s:
            return row
        missed_note = f"no time was left for {missed} of {ROUNDS[self._level]} rounds"
        return replace(row, note="; ".join(filter(None, (row.note, missed_note))))


def _described(peaks: Peaks) -> dict[str, Any]:
    return {"tflops": dict(peaks.tflops), "gbps": peaks.gbps, "source": peaks.source}


def _make_folder(out: Path) -> Path:
    """Make the folder of the results first: what cannot be written should show before minutes of measuring."""
    folder = out / f"{time.strftime('%Y%m%d-%H%M%S')}-bench-{secrets.token_hex(2)}"
    with storage_errors(folder):
        folder.mkdir(parents=True)
    return folder
