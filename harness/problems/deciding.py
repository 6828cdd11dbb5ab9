"""From the probabilities of classes to one class: the most probable, or the second of two from a threshold on.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def decide(probabilities_NC: NDArray[np.floating], threshold: float | None) -> NDArray[np.int64]:
    """Return the code of the class that each sample is said to be of; None: the most probable one."""
    import numpy as np

    if threshold is None:
        likeliest_N: NDArray[np.int64] = probabilities_NC.argmax(axis=1).astype(np.int64)
        return likeliest_N
    # In float64: a threshold between two numbers of float32 may be none of float32 itself.
    second_N: NDArray[np.bool_] = probabilities_NC[:, 1].astype(np.float64) >= threshold
    return second_N.astype(np.int64)
