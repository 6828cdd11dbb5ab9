"""Trials of a run trained once more, and what shows how far they come to the same: ``harness.reproduce``."""

from harness.reproduction.levels import Check, Level, Reproduced, Reproduction
from harness.reproduction.story import reproduce

__all__ = ["Check", "Level", "Reproduced", "Reproduction", "reproduce"]
