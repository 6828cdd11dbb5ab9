"""What carries out assignments: this process, worker processes on this machine, or the nodes of a cluster.

The coordinator decides and remembers; an executor only trains, and never sees the study, the run folder or a test
sample. Everything here travels between processes, so it is plain data: weights and checkpoints are safetensors bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from harness.records import EpochRecord, Outcome, Plan, TelemetryRecord, TrialRecord
from harness.spec import Candidate
from harness.study.stop import Stop

if TYPE_CHECKING:
    from harness.hardware.fork_server import ForkServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One stretch of one trial: train this candidate up to an epoch."""

    trial: int
    seed: int
    candidate: Candidate
    params: Mapping[str, Any]
    """What the sampler chose, by dotted path."""
    until: int
    """The epoch to stop after: the last one, or a rung of successive halving."""
    checkpoint: bytes = b""
    """Where an earlier stretch ended; empty: start anew."""
    micro_batch: int = 0
    """Samples that may go through the model at once; 0: the whole batch."""
    time_s: float = math.inf
    """The trial's own time; the seconds that its checkpoint stands for count towards it."""
    left_s: float = math.inf
    """What is left of the run's time when it is assigned."""
    spent_s: float = 0.0
    """Device-seconds of its earlier stretches, whatever came of them."""
    shared: bool = False
    """Whether other trials may be on the same device: running out of memory is then no fault of its own."""
    judged: bool = False
    """Whether every epoch is judged before the next one begins."""
    attempt: int = 1
    plan: Plan | None = None
    """How it is trained; None: that is chosen by what its model and this machine are, past the gates."""
    shorten: bool = False
    """Whether it is trained for as many epochs as there is time for, where that is fewer than were asked for."""


Group = tuple[Assignment, ...]
"""Assignments that are trained as one program; usually there is one."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which assignments are trained as one program: those of one kind, None of which is trained alone."""

    size: int = 1
    """The most of a group."""
    kind: Callable[[Assignment], Hashable | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a stretch left."""

    record: TrialRecord
    """Of the whole trial so far, earlier stretches included."""
    epochs: Sequence[EpochRecord]
    weights: bytes = b""
    """Safetensors of the best epoch; empty when none was finished."""
    checkpoint: bytes = b""
    """To go on from, when the stretch ended at a rung; else empty."""
    telemetry: Sequence[TelemetryRecord] = field(default_factory=tuple)
    traceback: str = ""
    """Of a crash, for the log of the run."""
    predictions: bytes = b""
    """What the weights predict of the validation samples, as :mod:`harness.study.keeping` packs it; empty: unknown."""

    @property
    def trial(self) -> int:
        """Number of the trial."""
        return self.record.trial

    @property
    def outcome(self) -> Outcome:
        """How the stretch ended."""
        return self.record.outcome

    @property
    def seconds(self) -> float:
        """Device-seconds of the trial so far."""
        return self.record.seconds


@dataclass(frozen=True, slots=True)
class Report:
    """An epoch has ended."""

    epoch: EpochRecord
    """With the trial's number."""
    figures: Mapping[str, float]
    """What is known of the candidate before it is trained: ``parameters``, ``flops``."""
    finished: bool = False
    """Whether it is the last epoch of its fold."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An assignment that ended without an evaluation, because what carried it out is gone."""

    trial: int
    outcome: Outcome
    """What it looks like: ``crashed``, ``oom`` (killed for memory) or ``timeout`` (killed for not answering)."""
    reason: str
    seconds: float
    """Spent on it since it was assigned."""


class Watcher(Protocol):
    """Who hears of a training while it runs: the coordinator."""

    def judge(self, report: Report) -> str:
        """Return why the trial is to be given up, or ``""`` to go on."""

    def judge_all(self, reports: Sequence[Report]) -> list[str]:
        """Return the same of each of several trials that one program trains, asked for in one round trip."""

    def keep(self, trial: int, checkpoint: bytes) -> None:
        """Keep a checkpoint, in place of the trial's earlier one."""


class Trainer(Protocol):
    """Carries out groups of assignments one after the other, where it stands."""

    def evaluate(self, group: Group, watcher: Watcher) -> Iterator[Evaluation]:
        """Train and measure; yield the evaluation of each assignment as it ends.

        Whatever a candidate raises becomes an outcome. What a program takes that trains several at once is divided
        among them, by :class:`harness.study.trial.share.Share`.
        """


class Workshop(Protocol):
    """Opens a trainer in whatever process it is sent to. It is pickled, and its large arrays are shared, not copied."""

    def open(self, stop: Stop, *, threads: int, device: int = 0) -> AbstractContextManager[Trainer]:
        """Return a trainer that computes on so many CPU threads and is asked to end through ``stop``.

        ``device`` is the number of its device, of those that the workshop has.
        """


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor can do at once."""

    slots: int
    """Groups carried out at the same time."""
    threads: int
    """CPU threads of each."""
    device: str
    """The kind of device of each: ``cpu``, ``cuda``, ``mps``."""
    where: str
    """In words: ``this process``, ``2 worker processes``, ``4 actors on 2 nodes``."""
    exclusive: bool = False
    """Whether each has a device of its own, so that none runs out of memory for another's sake."""


@dataclass(frozen=True, slots=True)
class Helpers:
    """Where processes come from that do what is left once all trials are trained."""

    source: ForkServer
    count: int
    """How many may be at work at once."""

    @property
    def ready(self) -> bool:
        """Whether there may be several, and each is there at once."""
        return self.count > 1 and self.source.alive


class Executor(Protocol):
    """Carries out groups of assignments, several at once."""

    def capabilities(self) -> Capabilities:
        """Return how many groups it can carry out at once, and where."""

    def submit(self, group: Group) -> int:
        """Begin a group, for which there must be a free slot; return the number of the device that it is on.

        Groups on one device share its memory. Where each slot has a device of its own the number says nothing. The slot
        is free again when every assignment of the group has ended.
        """

    def wait(self, watcher: Watcher, timeout_s: float) -> list[Evaluation | Lost]:
        """Serve the watcher until an assignment ends, or for ``timeout_s`` seconds; return those that ended.

        With nothing to carry out it returns at once.
        """

    def cancel(self, trial: int, reason: str) -> None:
        """Ask the group of a trial to end soon; it then ends as ``interrupted`` for this reason, or as it was."""

    def rest(self) -> Helpers | None:
        """End the workers, and give the devices back; return who else there is to help until it is closed, if any."""

    def close(self) -> None:
        """End at once whatever still runs, and give everything back."""
