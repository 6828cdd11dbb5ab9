"""A search told to MLflow or TensorBoard while it runs, from threads of its own: it neither waits nor fails for them.

Names load on first use, so that a typo in ``--track`` is found without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.tracking.asked import check_track
    from harness.tracking.tracking import Tracking, tracked

__all__ = ["Tracking", "check_track", "tracked"]

__getattr__, __dir__ = lazy_names(__name__, {"asked": ("check_track",), "tracking": ("Tracking", "tracked")})
