"""Places for actors on the nodes of a Ray cluster: refused at once where they cannot be, found anew when one is lost.

A place is a reservation (a placement group of one bundle). Ray makes it only after asking the node, keeps it until it
is given back, and moves it when its node is lost, as soon as there is room.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from harness.errors import HardwareError

LOOK_S = 0.02
"""How often the first reservations are looked at; one takes Ray a few milliseconds."""


@dataclass(slots=True)
class Place:
    """Room for one actor."""

    reservation: Any
    node: str = ""
    """The id of its node; empty while there is none."""


class Places:
    """Reserves places for actors that ask for ``bundle`` each, resources by Ray's names (``CPU``, ``GPU``)."""

    def __init__(self, ray: Any, bundle: dict[str, float]) -> None:
        self.bundle = bundle
        self._ray = ray

    def reserve(self, workers: int | None, within_s: float) -> list[Place]:
        """Return so many places; None: as many as there are beside what else runs on the cluster.

        Raises :class:`HardwareError` where the nodes do not have that much, or not within so many seconds.
        """
        free = {"Resources": self._ray.available_resources()}
        fit = self._room(self.alive())
        wanted = workers or max(1, min(fit, self._room([free])))
        if wanted > fit:
            raise HardwareError(
                f"the cluster has no room for {self._asked(wanted)}, only for {fit}: {self.in_words()}; ask for less, "
                "or add nodes"
            )
        places = [Place(self._reservation()) for _ in range(wanted)]
        until_s = time.monotonic() + within_s
        while not all(place.node for place in places) and time.monotonic() < until_s:
            time.sleep(LOOK_S)
            for place in places:
                self.look(place)
        found = [place for place in places if place.node]
        if len(found) < (workers or 1):
            self.give_back(places)
            raise HardwareError(
                f"the cluster has not found room for {self._asked(wanted)} in {within_s:g} s, only for {len(found)}: "
                f"{self.in_words()}, and something else runs there; ask for less, or wait until that is done"
            )
        self.give_back([place for place in places if not place.node])
        return found

    def look(self, place: Place) -> None:
        """Learn where a place is."""
        table = self._ray.util.placement_group_table(place.reservation)
        place.node = table["bundles_to_node_id"][0] if table["state"] == "CREATED" else ""

    def renew(self, place: Place) -> None:
        """Reserve anew where an actor was lost: its node may be gone without Ray's knowledge."""
        self.give_back([place])
        place.reservation, place.node = self._reservation(), ""

    def give_back(self, places: list[Place]) -> None:
        """End reservations, with whatever runs there."""
        for place in places:
            self._ray.util.remove_placement_group(place.reservation)

    def alive(self) -> list[dict[str, Any]]:
        """Return the nodes, as Ray describes them."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def in_words(self) -> str:
        """Say what the nodes have."""
        return ", ".join(
            f"{node['NodeManagerAddress']} has "
            + _amounts({name: node["Resources"].get(name, 0.0) for name in ("CPU", "GPU")})
            for node in self.alive()
        )

    def _asked(self, workers: int) -> str:
        return f"{workers} actor{'s' * (workers > 1)} with {_amounts(self.bundle)}{' each' * (workers > 1)}"

    def _room(self, nodes: list[dict[str, Any]]) -> int:
        """Return how many actors fit on nodes when nothing else is there."""
        return sum(
            min(math.floor(node["Resources"].get(name, 0.0) / amount) for name, amount in self.bundle.items())
            for node in nodes
        )

    def _reservation(self) -> Any:
        return self._ray.util.placement_group([self.bundle])


def _amounts(resources: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}{'s' * (amount != 1)}" for name, amount in resources.items())
