"""Columns of numbers written as people write them: decimal commas, thousands, currencies, percent signs, units.

A column is read in one way or not at all. What its own values leave open is settled by what the user says
(:class:`Style`) or by the other columns of the file (:data:`Hints`); what stays open, or contradicts itself, is
:class:`Unclear`.
"""

from harness.data.numbers.column import Unclear
from harness.data.numbers.known import Odd, read_known
from harness.data.numbers.marks import Hints, Style, decimal_evidence, usual_mark
from harness.data.numbers.reading import Numbers, looks_missing, read_numbers

__all__ = [
    "Hints",
    "Numbers",
    "Odd",
    "Style",
    "Unclear",
    "decimal_evidence",
    "looks_missing",
    "read_known",
    "read_numbers",
    "usual_mark",
]
