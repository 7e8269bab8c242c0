"""Whether two texts are about the same, by their sketches (`embed_shingles`): estimates of `ordering_shingles`.

Of two sketches, what lies below the largest hash of a full one is a fair sample of both sets of shingles, so what is
shared there estimates what the texts share; sketches that are not full hold all, so then it is exact.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.embed_shingles import SIZE
from stages.ordering_compiled import kernel
from stages.ordering_duplicates import MULTIPLIER, Confirm
from stages.ordering_graph import Ints, Longs
from stages.ordering_shingles import CONTAINMENT
from stages.ordering_vectors import Mask

FEWEST = 8
"""Hashes of the smaller set that an estimate of containment needs, and a sketch that counts without a cosine."""


def confirmation(column: pa.ListArray, least: float, least_contained: float = CONTAINMENT) -> Confirm:
    """The `confirm` of `near_duplicates` for rows whose sketches (n,) are a list column; null is about like nothing.

    >>> same = confirmation(pa.array([list(range(20)), list(range(15)), [99], []], pa.list_(pa.int32())), 0.5)
    >>> same(np.array([0, 0, 3], np.int32), np.array([1, 2, 3], np.int32)).tolist()
    [True, False, False]
    """
    lists = column.fill_null([]) if column.null_count else column
    ends = lists.offsets.to_numpy().astype(np.int64)
    hashes = np.append(lists.flatten().to_numpy(), np.int32(0))
    starts = ends - ends[0] if len(ends) else np.zeros(1, np.int64)

    def confirm(ones: Ints, others: Ints) -> Mask:
        return _same(hashes, starts, ones, others, least, least_contained)

    return confirm


@kernel
def _same(
    hashes: Ints, starts: npt.NDArray[np.int64], ones: Ints, others: Ints, least: float, least_contained: float
) -> Mask:
    found = np.zeros(len(ones), np.bool_)
    for pair in range(len(ones)):
        one, end = starts[ones[pair]], starts[ones[pair] + 1]
        other, other_end = starts[others[pair]], starts[others[pair] + 1]
        last = np.int64(2**31)
        if end - one >= SIZE:
            last = min(last, np.int64(hashes[end - 1]))
        if other_end - other >= SIZE:
            last = min(last, np.int64(hashes[other_end - 1]))
        mine, theirs, shared = _shared(hashes[one:end], hashes[other:other_end], int(last))
        smaller, everything = min(mine, theirs), mine + theirs - shared
        whole = last == 2**31
        enough = smaller > 0 and (whole or smaller >= FEWEST)
        resembles = everything > 0 and shared >= least * everything
        found[pair] = resembles or (enough and shared >= least_contained * smaller)
    return found


@kernel
def _shared(one: Ints, other: Ints, last: int) -> tuple[int, int, int]:
    """How many of two sorted sets are `last` at most, and how many of these are in both."""
    mine, theirs, shared = 0, 0, 0
    while (mine < len(one) and one[mine] <= last) or (theirs < len(other) and other[theirs] <= last):
        first = one[mine] if mine < len(one) else last + 1
        second = other[theirs] if theirs < len(other) else last + 1
        mine += first <= second
        theirs += second <= first
        shared += first == second
    return mine, theirs, shared


def sketch_hashes(column: pa.ListArray) -> Longs:
    """The `alike` of `near_duplicates`: of each row (n,) a hash of its sketch; -1 for those of fewer than `FEWEST`.

    >>> ten = list(range(10))
    >>> found = sketch_hashes(pa.array([ten, ten, ten[1:], [1, 2], [], None], pa.list_(pa.int32())))
    >>> bool(found[0] == found[1] != found[2]), found[3:].tolist()
    (True, [-1, -1, -1])
    """
    if not len(column):
        return np.empty(0, np.int64)
    lists = column.fill_null([]) if column.null_count else column
    ends = lists.offsets.to_numpy().astype(np.int64)
    return _hashed(np.append(lists.flatten().to_numpy(), np.int32(0)), ends - ends[0])


@kernel
def _hashed(hashes: Ints, ends: Longs) -> Longs:
    found = np.full(len(ends) - 1, -1, np.int64)
    for row in range(len(found)):
        if ends[row + 1] - ends[row] >= FEWEST:
            total = np.int64(ends[row + 1] - ends[row])
            for place in range(ends[row], ends[row + 1]):
                total = (total ^ np.int64(hashes[place])) * MULTIPLIER
                total ^= total >> 29
            found[row] = total & np.int64(2**63 - 1)
    return found
