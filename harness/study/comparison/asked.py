"""What a comparison was asked for, written down before anything is trained, so that nothing of it is chosen later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from harness.data import derive_seed
from harness.errors import StorageError
from harness.store.files import damaged, read_object
from harness.store.runs import DESIGN

SCHEMA_VERSION = 1
SEARCHES = 0.5
"""Share of the time that is for all searches together."""
SPARE = 2
"""A pair in which a training fails is replaced by another one, until there are so many times the pairs asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question, and how it is to be answered."""

    families: Mapping[str, str] = field(default_factory=dict)
    """The architecture of the space that each name stands for; empty where runs are compared."""
    runs: Mapping[str, str] = field(default_factory=dict)
    """The earlier run whose winner each name stands for; empty where a space is searched."""
    seeds: int | Literal["auto"] = "auto"
    margin: float | None = None
    """Within which a difference counts as none, in the units of the comparison; None: not asked."""
    time_s: float | None = None
    """Seconds for everything, of which half are for the searches; None: no end."""
    seed: int = 0
    """What the seeds of the pairs and the resamples of the statistics are drawn from."""
    reopen: bool = False
    """Whether test samples that were opened before may be opened again."""
    schema: int = SCHEMA_VERSION

    @property
    def share_s(self) -> float | None:
        """Seconds of each search, however often the comparison is gone on with; what one leaves goes to the seeds."""
        return SEARCHES * self.time_s / len(self.families) if self.time_s is not None and self.families else None

    def pair_seed(self, pair: int) -> int:
        """Return the seed that decides the split of a pair, and that the seeds of its trainings are drawn from."""
        return derive_seed(self.seed, "pair", pair) % 2**32

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def read_asked(folder: Path) -> Asked:
    """Return what the comparison in ``folder`` was asked for. Raises :class:`StorageError`."""
    path = folder / DESIGN
    contents = read_object(path)
    if (version := contents.get("schema")) != SCHEMA_VERSION:
        raise StorageError(
            f"{path}: schema version {version!r}, this harness reads {SCHEMA_VERSION}; "
            "use the version of harness that it was made with"
        )
    try:
        return TypeAdapter(Asked).validate_python(contents)
    except ValidationError as error:
        raise damaged(path, error) from None
