"""What ``--track`` asks for: the name of a tracker, and where it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import InputError, did_you_mean

TRACKERS = ("mlflow", "tensorboard")


@dataclass(frozen=True, slots=True)
class Asked:
    """One tracker that is to hear of a search."""

    name: str
    where: str
    """The address of a server, or a folder; empty: where the tracker itself puts things."""


def check_track(track: str | Iterable[str]) -> tuple[Asked, ...]:
    """Return what texts such as ``mlflow`` and ``tensorboard=DIR`` ask for. Raises :class:`InputError`.

    >>> check_track("mlflow=http://127.0.0.1:5000")
    (Asked(name='mlflow', where='http://127.0.0.1:5000'),)
    """
    found = []
    for text in [track] if isinstance(track, str) else track:
        name, equals, where = text.partition("=")
        if name not in TRACKERS:
            raise InputError(f"track {name!r}: unknown{did_you_mean(name, TRACKERS)}")
        if equals and not where:
            raise InputError(f"track {text!r}: nothing follows the =; write {name}, or {name}=WHERE")
        found.append(Asked(name, where))
    if len({each.name for each in found}) < len(found):
        raise InputError("track: a tracker is named twice; name each once")
    return tuple(found)
