"""What a modality is: one kind of inputs, such as tables or images, from samples as they were read to tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from harness.data.features import Fault, Features, Outline
from harness.data.unusual import Unusual
from harness.records import Input
from harness.registry import Registry

if TYPE_CHECKING:
    from harness.data.part import Normalise

Raw = TypeVar("Raw")


class Prepared(NamedTuple):
    """Samples as :class:`harness.data.part.Part` has them."""

    inputs: tuple[np.ndarray, ...]
    """One array for each input of the task's shape."""
    normalise: Normalise | None = None
    """What is still to be applied to the first of them."""


class Modality(ABC, Generic[Raw]):
    """One kind of inputs. Its fitted preprocessing is plain JSON, with its name under ``inputs``."""

    name: ClassVar[str]
    raw: ClassVar[type]
    """What holds samples as they were read; by it a source's modality is known. It has a length."""
    form: ClassVar[type]
    """The TypedDict that a received ``preprocessing.json`` must fit, its ``inputs`` a literal."""
    seconds_a_value: ClassVar[float] = 0.0
    """What :meth:`features` takes for each value of a sample, on one core; 0: nothing beside what looks at them."""

    @abstractmethod
    def take(self, raw: Raw, rows: np.ndarray, what: str) -> Raw:
        """Return some samples. Raises :class:`DataError`, with ``what`` they are, where there is no room for them."""

    @abstractmethod
    def alike(self, raw: Raw) -> np.ndarray:
        """Return a code (N,) for each sample; samples with identical inputs have the same."""

    @abstractmethod
    def fit(self, raw: Raw, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return the preprocessing that the samples ``rows`` alone decide. Raises :class:`DataError`.

        ``target`` is in it only where the targets are in the units of the inputs.
        """

    @abstractmethod
    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return what a model is called with."""

    @abstractmethod
    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return samples as a model takes them: those of a source, or new ones in any form that users give.

        What is unlike training is counted in ``unusual``. Raises :class:`DataError` for what cannot be read alike.
        """

    @abstractmethod
    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return about how many values one sample has."""

    def features(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Features | None:
        """Return what prepared samples are like as columns; None where they are not to be compared one by one."""
        del fitted, inputs
        return None

    def outline(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Outline | None:
        """Return what copies of prepared samples have in common; None where chance makes too many alike."""
        found = self.features(fitted, inputs)
        few = found is None or found.numbers.shape[1] < 2
        return None if found is None or few else Outline(found.columns)

    def traits(self, raw: Raw) -> dict[str, np.ndarray]:
        """Return figures of samples as they were read, (N,) in their own units, beside those that are inputs."""
        del raw
        return {}

    def faults(self, raw: Raw) -> Iterator[Fault]:
        """Yield what may be wrong with single samples as they were read."""
        del raw
        yield from ()

    def described(self, raw: Raw, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return further columns of the table of test samples, which say what they are; nothing where none do."""
        del raw, rows  # only stretches of series have a place in time
        return {}

    def columns(self, fitted: Mapping[str, Any]) -> list[str]:
        """Return the columns of a table that are learnt from, where samples are rows of one."""
        del fitted
        return []

    def remarks(self, fitted: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what to tell of what was fitted."""
        del fitted
        return ()

    def beyond_training(self, fitted: Mapping[str, Any], raw: Raw, rows: np.ndarray) -> dict[str, int]:
        """Return by column how many values of some samples lie so far outside of training that they are clipped."""
        del fitted, raw, rows  # only numbers of tables are
        return {}


modalities: Registry[Modality[Any]] = Registry("modality")
"""Modalities by the name that fitted preprocessing has under ``inputs``."""


def modality_of(raw: object) -> Modality[Any]:
    """Return the modality of samples as they were read."""
    return next(each for each in modalities.values() if isinstance(raw, each.raw))
