"""Actors on the nodes of a Ray cluster: each trains one group at a time, and losing one, or its node, costs no more.

The workshop is sent to each node once. An actor starts when it is first needed and stays warm. One that dies is
replaced when the next assignment comes, if the cluster still has room; else the group waits for another slot.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from harness.errors import HardwareError
from harness.records import Outcome
from harness.study.contract import Capabilities, Evaluation, Group, Lost, Watcher, Workshop
from harness.study.execute.messages import Checkpoint, Interrupt, Ready, Reports, Verdicts
from harness.study.execute.ray.actor import Failed, TrainingActor
from harness.study.execute.ray.joining import join, load_ray
from harness.study.execute.ray.places import Place, Places
from harness.study.execute.task import Task

START_S = 300.0
"""An actor that is not ready by then is given up: its node may have to fetch much data, and load torch."""

TURN_S = 0.25
"""How often places and silent actors are looked at."""

CALLS = 4
"""Of an actor at once: one always waits for the next event, and what it is to hear must still get through."""


@dataclass(slots=True)
class _Slot:
    """A place, and the actor there once one was needed."""

    place: Place
    actor: Any = None
    event: Any = None
    """The actor's next event, asked for in advance, so that its death shows as well."""
    ready: bool = False
    task: Task | None = None


class RayActors:
    """Carries out groups in actors of a Ray cluster, each on ``threads`` CPUs and, for cuda, ``gpus`` GPUs.

    ``address`` is ``auto``, ``host:port`` or, for a cluster of this machine alone, ``local`` or None; a connection that
    this process already has is used as it is. ``workers`` None: as many as fit beside what else runs there. An actor
    that should have ended is killed ``grace_s`` seconds later. Raises :class:`HardwareError` when Ray is not installed,
    there is no such cluster, or it has not had room for the actors for ``place_s`` seconds.
    """

    def __init__(
        self,
        workshop: Workshop,
        *,
        address: str | None,
        workers: int | None,
        threads: int,
        device: str,
        gpus: float = 1.0,
        grace_s: float = 5.0,
        place_s: float = 30.0,
    ) -> None:
        self._ray = load_ray()
        self._threads, self._device = threads, device
        self._grace_s, self._place_s = grace_s, place_s
        self._places = Places(self._ray, {"CPU": float(threads)} | ({"GPU": gpus} if device == "cuda" else {}))
        self._slots: list[_Slot] = []
        self._waiting: deque[Group] = deque()
        self._ended: list[Evaluation | Lost] = []
        with ExitStack() as giving_back:
            if join(self._ray, address):
                giving_back.callback(self._ray.shutdown)
            self._slots = [_Slot(place) for place in self._places.reserve(workers, place_s)]
            giving_back.callback(self._let_go)
            self._placed_s = time.monotonic()
            """When there last was a place."""
            self._workshop = self._ray.put(workshop)
            self._given_back = giving_back.pop_all()

    def capabilities(self) -> Capabilities:
        """Return how many groups can be carried out at once; fewer than at first while a node is missing."""
        nodes = [slot.place.node for slot in self._slots if slot.place.node]
        actors, hosts = max(1, len(nodes)), max(1, len(set(nodes)))
        where = f"{actors} actor{'s' * (actors > 1)} on {hosts} node{'s' * (hosts > 1)}"
        return Capabilities(actors, self._threads, self._device, where, exclusive=True)

    def submit(self, group: Group) -> int:
        """Take a group; it waits where a lost node has left fewer slots than there were.

        Every actor has a device of its own, so the number says nothing.
        """
        self._waiting.append(group)
        return 0

    def wait(self, watcher: Watcher, timeout_s: float) -> list[Evaluation | Lost]:
        """Serve the watcher until an assignment ends, or for ``timeout_s`` seconds; return those that ended.

        With nothing to carry out it returns at once. What the watcher raises leaves this function. Raises
        :class:`HardwareError` when the cluster has no room for any actor any more, or an actor cannot work there.
        """
        until_s = time.monotonic() + timeout_s
        while not self._ended and (self._waiting or any(slot.task for slot in self._slots)):
            self._look_for_places()
            self._deal_out()
            self._listen(watcher, max(0.0, min(TURN_S, until_s - time.monotonic())))
            self._kill_overdue()
            if time.monotonic() >= until_s:
                break
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, trial: int, reason: str) -> None:
        """Ask the group of a trial to end soon; an actor that does not answer is killed."""
        for group in list(self._waiting):
            if any(assignment.trial == trial for assignment in group):
                self._waiting.remove(group)
                self._ended += [Lost(assignment.trial, Outcome.INTERRUPTED, reason, 0.0) for assignment in group]
        for slot in self._slots:
            if slot.task is None or trial not in slot.task.pending:
                continue
            if slot.ready:
                slot.actor.hear.remote(Interrupt(reason))
                late = f"{reason}; it did not answer for {self._grace_s:g} s and was killed"
                slot.task.end_within(self._grace_s, Outcome.INTERRUPTED, late)
            else:
                self._ended += slot.task.lost(Outcome.INTERRUPTED, reason)
                slot.task = None

    def rest(self) -> None:
        """Kill the actors, and leave the cluster."""
        self.close()

    def close(self) -> None:
        """Kill the actors, whatever they do, give their places back, and leave the cluster if this has joined it."""
        self._given_back.close()

    def _look_for_places(self) -> None:
        """Learn where slots are, but for those that work. Raises :class:`HardwareError` when none is anywhere."""
        for slot in self._slots:
            if not slot.ready:
                self._places.look(slot.place)
        now = time.monotonic()
        if any(slot.place.node for slot in self._slots):
            self._placed_s = now
        elif now - self._placed_s > self._place_s:
            raise HardwareError(
                f"the cluster has had no room for an actor for {self._place_s:g} s: {self._places.in_words()}; "
                "add nodes and resume the run"
            )

    def _deal_out(self) -> None:
        """Give what waits to free slots, first to those whose actor is warm."""
        free = [slot for slot in self._slots if slot.place.node and not slot.task]
        free.sort(key=lambda slot: not slot.ready)
        for slot in free[: len(self._waiting)]:
            slot.task = Task(self._waiting.popleft())
            slot.task.end_within(START_S, Outcome.CRASHED, f"its actor was not ready after {START_S:g} s")
            if slot.actor is None:
                self._start(slot)
            elif slot.ready:
                self._hand_over(slot)

    def _start(self, slot: _Slot) -> None:
        strategy = self._ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(slot.place.reservation)
        actor = self._ray.remote(TrainingActor).options(
            num_cpus=self._places.bundle["CPU"],
            num_gpus=self._places.bundle.get("GPU", 0.0),
            max_concurrency=CALLS,
            scheduling_strategy=strategy,
        )
        slot.actor = actor.remote(self._workshop, threads=self._threads)
        slot.event = slot.actor.next_event.remote()

    def _hand_over(self, slot: _Slot) -> None:
        """Send an actor that is ready its task; from here on its time counts."""
        assert slot.task is not None
        slot.task.hand_over(self._grace_s)
        slot.actor.hear.remote(slot.task.group)

    def _listen(self, watcher: Watcher, timeout_s: float) -> None:
        """Attend to every actor that has something to say, as soon as one has."""
        slots = {slot.event: slot for slot in self._slots if slot.event is not None}
        if not slots:
            time.sleep(timeout_s)
            return
        events = list(slots)
        if self._ray.wait(events, timeout=timeout_s)[0]:
            for event in self._ray.wait(events, num_returns=len(events), timeout=0)[0]:
                self._attend(slots[event], watcher)

    def _attend(self, slot: _Slot, watcher: Watcher) -> None:
        try:
            event = self._ray.get(slot.event)
        except self._ray.exceptions.RayError as error:
            self._lose(slot, *self._cause_of_loss(slot, error))
            return
        slot.event = slot.actor.next_event.remote()
        match event:
            case Ready():
                slot.ready = True
                if slot.task:
                    self._hand_over(slot)
            case Failed(reason, known):
                self._lose(slot, Outcome.CRASHED, f"its actor failed: {reason}")
                if known is not None:
                    raise known
            case _ if slot.task:
                self._serve(slot, slot.task, event, watcher)

    def _serve(self, slot: _Slot, task: Task, event: Any, watcher: Watcher) -> None:
        """Do what an actor asks for on behalf of its task."""
        match event:
            case Reports(reports, judged):
                verdicts = watcher.judge_all(reports)
                if judged:
                    slot.actor.hear.remote(Verdicts(verdicts))
            case Checkpoint(trial, data):
                watcher.keep(trial, data)
            case Evaluation():
                if task.end(event):
                    slot.task = None
                self._ended.append(event)

    def _kill_overdue(self) -> None:
        for slot in self._slots:
            if slot.task and slot.task.due_s <= time.monotonic():
                self._lose(slot, *slot.task.if_killed)

    def _lose(self, slot: _Slot, outcome: Outcome, reason: str) -> None:
        """Let go of an actor, dead or to be killed; the next assignment for its place gets a new one."""
        self._ray.kill(slot.actor)
        if slot.task is not None:
            self._ended += slot.task.lost(outcome, reason)
        slot.actor, slot.event, slot.task, slot.ready = None, None, None, False
        self._places.renew(slot.place)

    def _cause_of_loss(self, slot: _Slot, error: Exception) -> tuple[Outcome, str]:
        """Tell what became of an actor that does not answer any more."""
        known = self._ray.exceptions
        text = str(error).strip() or type(error).__name__
        if isinstance(error, known.OutOfMemoryError):
            return Outcome.OOM, "out of memory: its actor was killed because its node had hardly any left"
        if isinstance(error, known.ActorUnavailableError):
            # A node that is there says within a second that its actor is dead.
            return Outcome.CRASHED, "its node was lost, or cannot be reached"
        if "node has died" in text or slot.place.node not in {node["NodeID"] for node in self._places.alive()}:
            return Outcome.CRASHED, "its node was lost"
        return Outcome.CRASHED, f"its actor died: {text.splitlines()[-1]}"

    def _let_go(self) -> None:
        for slot in self._slots:
            if slot.actor is not None:
                self._ray.kill(slot.actor)
        self._places.give_back([slot.place for slot in self._slots])
        self._slots.clear()
        self._waiting.clear()
