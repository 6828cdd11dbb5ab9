"""Several small trainings as one program, on one CPU thread."""

from __future__ import annotations

from harness.train.stack.key import stack_key
from harness.train.stack.member import Member
from harness.train.stack.samples import Lengths
from harness.train.stack.stack import Stack

__all__ = ["Lengths", "Member", "Stack", "stack_key"]
