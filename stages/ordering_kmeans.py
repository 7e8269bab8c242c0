"""Buckets: centroids on the sphere, none of which holds more than a share of a sample.

Lloyd's iterations on unit vectors. What ends up too large is split again by itself; what cannot be split, since its
rows are all the same, stays. Assignment is computed in whole numbers, so it is the same on every machine.
"""

import numpy as np
import numpy.typing as npt

from stages.ordering_graph import Ints, Longs
from stages.ordering_neighbours import Ties
from stages.ordering_vectors import Units, units

ITERATIONS = 12
ROWS_AT_ONCE = 16_384


def centroids(sample: Units, ties: Ties, count: int, largest: float, seed: int = 0) -> Units:
    """At least `count` unit vectors (or as many as there are rows), whatever the order of the rows (n, dimensions).

    No centroid is the nearest one of more than `largest`, a share of the sample, if its rows differ; `ties` (n,) are
    hashes of the ids, all different.

    >>> corners = np.array([[16384, 0]] * 3 + [[0, 16384]], np.int16)
    >>> centroids(corners, np.arange(4, dtype=np.uint64), 2, 0.9).tolist()
    [[0, 16384], [16384, 0]]

    Raises ValueError if `largest` is not above 0.
    """
    if not largest > 0:
        raise ValueError(f"the largest share of a bucket must be above 0, not {largest}")
    rows = sample[np.argsort(ties, kind="stable")]
    found = _lloyd(rows, min(count, len(rows)), seed)
    limit = max(1, int(largest * len(rows)))
    while len(found):
        homes = nearest(rows, found, 1)[:, 0]
        sizes = np.bincount(homes, minlength=len(found))
        parts = [_split(rows[homes == one], sizes[one], limit, seed) if sizes[one] > limit else found[one : one + 1]
                 for one in range(len(found))]  # fmt: skip
        if all(len(part) == 1 for part in parts):
            break
        found = np.concatenate(parts)
    return found


def nearest(vectors: Units, centres: Units, count: int) -> Ints:
    """The `count` nearest centroids of each row, the nearest first, ties to the smaller number: (n, count)."""
    width = min(count, len(centres))
    found = np.empty((len(vectors), width), np.int32)
    for begin in range(0, len(vectors), ROWS_AT_ONCE):
        products = _products(vectors[begin : begin + ROWS_AT_ONCE], centres)
        best = products.argmax(axis=1)[:, None] if width == 1 else np.argsort(-products, axis=1, kind="stable")
        found[begin : begin + ROWS_AT_ONCE] = best[:, :width]
    return found


def _products(vectors: Units, centres: Units) -> npt.NDArray[np.float64]:
    """Exact: whole numbers below 2**53."""
    return vectors.astype(np.float64) @ centres.astype(np.float64).T


def _split(rows: Units, size: int, limit: int, seed: int) -> Units:
    """Two or more centroids for the rows of one, or one if all rows are the same."""
    return _lloyd(rows, max(2, -(-int(size) // limit)), seed)


def _lloyd(rows: Units, count: int, seed: int) -> Units:
    """Up to `count` centroids that all are the nearest of some row."""
    if not len(rows):
        return rows
    distinct = np.unique(rows, axis=0)
    chosen = np.random.default_rng(seed).permutation(len(distinct))[:count]
    found = distinct[np.sort(chosen)]
    for _ in range(ITERATIONS):
        homes = nearest(rows, found, 1)[:, 0]
        moved = _means(rows, homes.astype(np.int64), found)
        if np.array_equal(moved, found):
            break
        found = moved
    used = np.unique(nearest(rows, found, 1)[:, 0])
    return found[used]


def _means(rows: Units, homes: Longs, found: Units) -> Units:
    """The mean direction of each centroid's rows; one whose rows are none, or cancel out, stays."""
    order = np.argsort(homes, kind="stable")
    sizes = np.bincount(homes, minlength=len(found))
    held = np.flatnonzero(sizes)
    begins = (np.cumsum(sizes) - sizes)[held]
    sums = np.add.reduceat(rows[order].astype(np.int64), begins, axis=0)
    whole = sums.any(axis=1)
    moved = found.copy()
    moved[held[whole]] = units(sums[whole])
    return moved
