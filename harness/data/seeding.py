"""Independent random streams from one seed."""

from __future__ import annotations

import hashlib
import json


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part, its type and its order.

    The first 63 bits of the sha256 of the parts as JSON: streams for neighbouring epochs or trials share no structure.
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
