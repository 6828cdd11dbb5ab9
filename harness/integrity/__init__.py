"""Whether a run is what it was: its files against its manifest and against each other; and runs in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import lazy_names

if TYPE_CHECKING:
    from harness.integrity.checking import verify
    from harness.integrity.findings import Finding, Verification
    from harness.integrity.packing import Packed, pack
    from harness.integrity.unpacking import Unpacked, unpack

__all__ = ["Finding", "Packed", "Unpacked", "Verification", "pack", "unpack", "verify"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "checking": ("verify",),
        "findings": ("Finding", "Verification"),
        "packing": ("Packed", "pack"),
        "unpacking": ("Unpacked", "unpack"),
    },
)
