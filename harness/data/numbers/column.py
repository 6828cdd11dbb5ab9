"""The different texts of a column, and the numbers that they are."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.data.numbers.numeral import Numeral, is_censored, normalise, take_apart
from harness.data.numbers.units import is_known_unit

MOSTLY = 0.5
"""With at least this share of numbers, a column is one of numbers with mistakes in it, not of categories."""
MANY, FEW = 20, 3
"""So it is with this many different numbers and at most so few other texts."""
INFINITE = ("inf", "infinity", "∞")


@dataclass(frozen=True, slots=True)
class Unclear:
    """A column that looks like numbers but cannot be read without a word from the user.

    ``why`` follows the column's label in a message, ``row`` is the position of the first value that it is about.
    """

    why: str
    row: int
    fix: str

    def message(self, place: Callable[[int], str]) -> str:
        """Return the message after the column's label; ``place`` names a row, such as ``line 17``."""
        return f"{self.why}, first in {place(self.row)}; {self.fix}"


class Column:
    """The different texts of a column in order of appearance, and where each stands."""

    def __init__(self, texts: pd.Series) -> None:
        codes, uniques = pd.factorize(texts)
        self.codes = codes
        self.texts: list[str] = uniques.tolist()
        self.counts = np.bincount(codes[codes >= 0], minlength=len(self.texts))

    @cached_property
    def lines(self) -> str:
        """All texts, each ended by a line break; "" where a text holds one itself."""
        lines = "\n".join((*self.texts, ""))
        return lines if lines.count("\n") == len(self.texts) else ""

    @cached_property
    def infinite(self) -> dict[int, float]:
        """The texts that are infinite values, with their value."""
        found = {}
        for index in set(range(len(self.texts))) - self.numerals.keys():
            word = normalise(self.texts[index]).casefold()
            if word.removeprefix("-").removeprefix("+") in INFINITE:
                found[index] = -np.inf if word.startswith("-") else np.inf
        return found

    @cached_property
    def numerals(self) -> dict[int, Numeral]:
        """The texts that are numbers; not those with a suffix of their own, such as ``12A`` and ``12B``."""
        taken = {index: take_apart(text) for index, text in enumerate(self.texts)}
        found = {index: numeral for index, numeral in taken.items() if numeral}
        units = Counter[str]()
        for index, numeral in found.items():
            units[numeral.unit] += int(self.counts[index])
        bare = units.pop("", 0)
        known = {unit for unit in units if is_known_unit(unit)}
        if known == units.keys() or (len(units) == 1 and units.total() > bare):
            return found
        # Beside unknown letters, a capital is one of them too: 12A, 12B, 12M.
        known = {"", *(unit for unit in known if not (len(unit) == 1 and unit.isupper()))}
        return {index: numeral for index, numeral in found.items() if numeral.unit in known}

    @cached_property
    def odd(self) -> list[int]:
        """The texts that are no numbers."""
        return [i for i in range(len(self.texts)) if i not in self.numerals and i not in self.infinite]

    @cached_property
    def is_mostly_numbers(self) -> bool:
        """Whether numbers were meant, whatever else the column holds."""
        censored = [i for i in self.odd if is_censored(self.texts[i])]
        if len(censored) < 3:  # "<18" and ">65" are the ends of a list of classes
            censored = []
        if not self.numerals and not censored:
            return False
        share = self.counts[[*self.numerals, *self.infinite, *censored]].sum() / self.counts.sum()
        return bool(share >= MOSTLY or (len(self.numerals) >= MANY and len(self.odd) <= FEW))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return the value of each row from the value of each text, NaN where missing."""
        return np.append(values, np.nan)[self.codes]

    def first(self, holds: Callable[[Numeral], bool]) -> int | None:
        """Return the first text whose number meets a condition."""
        return next((i for i, numeral in self.numerals.items() if holds(numeral)), None)

    def unclear(self, why: str, indices: Sequence[int], fix: str) -> Unclear:
        """Return what is wrong with some of the texts; ``why`` names them by ``{}``."""
        texts = " and ".join(reprlib.repr(self.texts[index]) for index in indices)
        return Unclear(why.replace("{}", texts), int(np.argmax(self.codes == min(indices))), fix)
