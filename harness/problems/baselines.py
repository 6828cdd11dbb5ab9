"""What the models of scikit-learn are that a kind of problem is compared with; they are loaded when they are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from harness.records import NAN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Estimator(NamedTuple):
    """One of scikit-learn's models, to be fitted beside the winner."""

    name: str
    model: Any
    """None when it is not to be fitted."""
    seconds: float = NAN
    """About what its two fits take."""
    note: str = ""
    """What was reduced, or why it is not fitted."""


class Baselines(ABC):
    """scikit-learn's models of one kind of problem."""

    naive: ClassVar[str]
    """The name of the one that ignores the inputs."""
    sparse: ClassVar[bool] = True
    """Whether the linear model can be fitted to many columns of mostly zeros, such as those of texts."""

    @abstractmethod
    def most_rows(self, width: int, outputs: int) -> float:
        """Return how many rows of so many columns they are fitted on."""

    @abstractmethod
    def constant(self) -> Estimator:
        """Return the model that ignores the inputs."""

    @abstractmethod
    def linear(self, rows: int, width: int, outputs: int) -> Estimator:
        """Return the linear model, for inputs that are standardised and one-hot."""

    @abstractmethod
    def boosting(self, outputs: int) -> tuple[Callable[..., Any], int] | str:
        """Return the class of gradient boosting and the trees of its rounds, or why there is none."""

    @abstractmethod
    def answers_of(self, estimator: Any, inputs: Floats, outputs: int) -> Floats:
        """Return what a fitted estimator answers."""
