"""Texts as counts of their tokens and of pairs of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PAIRS = 2**16
"""Columns that pairs of tokens share, by a hash."""
PER_TOKEN = 2
"""Columns that are not zero, for each token of a text: its own and that of the pair which it begins."""
_PRIME = 1_000_003


def token_counts(codes_NT: NDArray[Any], *, codes: int) -> csr_matrix:
    """Return how often each token and each pair of neighbours occurs in each text; 0 is padding.

    The columns are the ``codes`` of the tokens, then :data:`PAIRS` of pairs.
    """
    from scipy.sparse import csr_matrix

    tokens_NT = codes_NT.astype(np.int64)
    rows, places = np.nonzero(tokens_NT)
    first = tokens_NT[rows, places]
    following = np.pad(tokens_NT, ((0, 0), (0, 1)))[rows, places + 1]
    pair = following != 0
    hashed = codes + (first[pair] * _PRIME + following[pair]) % PAIRS
    columns, own = np.concatenate([first, hashed]), np.concatenate([rows, rows[pair]])
    return csr_matrix((np.ones(len(own)), (own, columns)), shape=(len(tokens_NT), codes + PAIRS))
