"""How the threads of OpenMP, on which torch and scikit-learn compute, wait for each other.

As they come they spin for a while, which is quick on an idle machine and takes away the core that the awaited thread
needs where another process keeps one busy. Asleep they leave it. The library reads the environment once, when it is
loaded, so this has to be there before torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping

_SAID_BY_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def waiting_asleep(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what to add to an environment so that threads wait asleep; nothing where the user has said how."""
    if any(name in environment for name in _SAID_BY_THE_USER):
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE"}
