"""Embeddings as unit vectors of whole numbers, so that every similarity is the same on every machine.

A component of 1 is `UNIT`; a product of two vectors is below 2**29 at every step of its sum, so sums of 32 bits are
exact. The rounding costs less than .0002 of cosine. Vectors that are zero or not finite poison indexes: mask them.
"""

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import exact_sums
from stages.ordering_graph import Ints

Units = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
UNIT = 2**14
SCALE = UNIT * UNIT
"""A cosine of 1, as `similarity` and `pair_similarities` count it."""
ROWS_AT_ONCE = 65_536


def usable(vectors: npt.ArrayLike) -> Mask:
    """Which rows (n, dimensions) of float16, 32 or 64 are finite and not zero: these can be placed.

    >>> usable([[1, 2], [0, 0], [np.nan, 1], [np.inf, 1]]).tolist()
    [True, False, False, False]
    """
    given = np.asarray(vectors)
    found = np.empty(len(given), np.bool_)
    for begin in range(0, len(given), ROWS_AT_ONCE):
        part = given[begin : begin + ROWS_AT_ONCE]
        found[begin : begin + ROWS_AT_ONCE] = np.isfinite(part).all(axis=1) & part.any(axis=1)
    return found


def units(vectors: npt.ArrayLike) -> Units:
    """Rows (n, dimensions) as unit vectors of whole numbers; every row must be usable.

    >>> units([[3, 4], [0, -1e-30]]).tolist()
    [[9830, 13107], [0, -16384]]

    Raises ValueError if a row is zero or not finite.
    """
    given = np.asarray(vectors)
    if given.ndim != 2:
        raise ValueError(f"vectors must be (rows, dimensions), not of shape {given.shape}")
    if not usable(given).all():
        raise ValueError("there is a vector that is zero or not finite: select the rows that are `usable` first")
    found = np.empty(given.shape, np.int16)
    for begin in range(0, len(given), ROWS_AT_ONCE):
        part = given[begin : begin + ROWS_AT_ONCE].astype(np.float64)
        part /= np.abs(part).max(axis=1, keepdims=True)
        part *= UNIT / np.sqrt(np.square(part).sum(axis=1, keepdims=True))
        found[begin : begin + ROWS_AT_ONCE] = np.rint(part)
    return found


def floats(vectors: Units) -> Floats:
    """The same as float32 unit vectors (n, dimensions), for indexes."""
    return vectors.astype(np.float32) / np.float32(UNIT)


def cosine(similarities: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Whole numbers as cosines.

    >>> cosine([SCALE, 0, -SCALE // 2]).tolist()
    [1.0, 0.0, -0.5]
    """
    return np.asarray(similarities, np.float64) / SCALE


@exact_sums
def similarity(vectors: Units, one: int, other: int) -> int:
    """The product of two rows, in units of `SCALE`."""
    total = np.int32(0)
    for place in range(vectors.shape[1]):
        total = np.int32(total + np.int32(vectors[one, place]) * np.int32(vectors[other, place]))
    return int(total)


@exact_sums
def pair_similarities(vectors: Units, ones: Ints, others: Ints) -> Ints:
    """Of each pair of rows, (pairs,)."""
    found = np.empty(len(ones), np.int32)
    for pair in range(len(ones)):
        found[pair] = similarity(vectors, ones[pair], others[pair])
    return found


@exact_sums
def list_similarities(vectors: Units, ids: Ints) -> Ints:
    """Of each row and its neighbours (n, k); `-SCALE` where there is -1."""
    found = np.full(ids.shape, -SCALE, np.int32)
    for row in range(ids.shape[0]):
        for place in range(ids.shape[1]):
            if ids[row, place] >= 0:
                found[row, place] = similarity(vectors, row, ids[row, place])
    return found
