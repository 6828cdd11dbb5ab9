"""What the suite and the process of a group say to each other: one JSON object on each line.

The suite asks with a :class:`Request`; the process answers with rows and then with an end, or with what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.bench.rows import Case, Row
from harness.bench.workload import UNWATCHED, Idle


@dataclass(frozen=True, slots=True)
class Request:
    """Measure one group; without a name: describe the device and the machine."""

    group: str
    seconds: float
    round: int = 0
    rounds: int = 1
    """How many turns the group has, and which one this is, counted from 0."""
    idle: Idle = UNWATCHED
    threads: int = 0
    """CPU threads that torch is to use; 0: as many as there are usable cores."""


def encode_request(request: Request) -> str:
    """Return the line of a request."""
    return json.dumps(asdict(request)) + "\n"


def decode_request(line: str) -> Request:
    """Return the request of a line."""
    fields = json.loads(line)
    return Request(**{**fields, "idle": Idle(*fields["idle"])})


def encode_row(row: Row) -> str:
    """Return the line of a row; NaN travels as Python's JSON has it."""
    return json.dumps({"row": asdict(row)}) + "\n"


def encode_end(facts: Mapping[str, Any]) -> str:
    """Return the line that ends an answer, with facts that go with it."""
    return json.dumps({"end": dict(facts)}) + "\n"


def decode(line: str) -> Row | dict[str, Any]:
    """Return a row, or the facts that an answer ends with."""
    message = json.loads(line)
    if "row" not in message:
        return dict(message["end"])
    fields = message["row"]
    return Row(
        **{
            **fields,
            "case": Case(**fields["case"]),
            "blocks_s": tuple(fields["blocks_s"]),
            "round_blocks": tuple(fields["round_blocks"]),
        }
    )
