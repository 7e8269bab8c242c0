"""Near-duplicates: of documents that say the same, the best rated one stays.

Greedy: in the order of ranks each row that is still there drops the later ones that it is a duplicate of. So each of
the dropped was like one that stood when it fell, which connected components, chaining from row to row, do not
promise; and at least one copy stays. A high cosine only proposes: templates filled differently reach it, so the text
decides (`ordering_shingles`).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import kernel
from stages.ordering_graph import Ints, Longs
from stages.ordering_neighbours import Neighbours, search
from stages.ordering_vectors import SCALE, Mask, Units

Confirm = Callable[[Ints, Ints], Mask]
MULTIPLIER = -7046029254386353131
WIDEST = 256
"""Neighbours that are looked at, at most, of a row all of whose neighbours are too similar."""


def near_duplicates(
    vectors: Units, near: Neighbours, ranks: Ints, threshold: float, confirm: Confirm, alike: Longs | None = None
) -> Ints:
    """The row (n,) that each row is a near-duplicate of; -1 for those that stay. That row stays itself.

    `near` are the neighbour lists of the rows (n, dimensions), `ranks` (n,) are all different, and the smallest stays;
    `threshold` is a cosine, exceeded by duplicates; `confirm` says which pairs of rows have about the same text.
    `alike` (n,) are hashes of texts: where they are the same, and not negative, no cosine is asked, since embeddings
    of one text in other cases or with other blanks may differ.
    A list that is full of such rows may hide others: it is searched again among those that are left, until no list
    brings a pair; twice as far where it brought none, up to `WIDEST`. A row that fell to one that falls later goes to
    whoever that one fell to.

    >>> lists = Neighbours(np.array([[1], [0], [1]], np.int32), np.array([[SCALE], [SCALE], [0]], np.int32))
    >>> vectors = np.array([[16384, 0], [16384, 0], [0, 16384]], np.int16)
    >>> near_duplicates(vectors, lists, np.array([1, 0, 2], np.int32), 0.9, lambda one, other: one >= 0).tolist()
    [1, -1, -1]
    """
    fell_to = np.full(len(vectors), -1, np.int32)
    rows, found, width = np.arange(len(vectors), dtype=np.int32), near, near.ids.shape[1]
    least = round(threshold * SCALE)
    for groups in (_hashes(vectors), alike):
        if groups is not None:
            _drop(fell_to, ranks, *_confirmed(*_equals(groups, ranks), fell_to, confirm))
    while len(rows) and width:
        fallen = _drop(fell_to, ranks, *_confirmed(*_close(rows, found, least), fell_to, confirm))
        full = rows[(fell_to[rows] < 0) & (found.similarities > least).all(axis=1)]
        left = np.flatnonzero(fell_to < 0).astype(np.int32)
        if not len(full) or (not fallen and (width >= WIDEST or width >= len(left) - 1)):
            break
        width = width if fallen else 2 * width
        again = search(vectors[left], np.searchsorted(left, full).astype(np.int32), width)
        rows, found = full, Neighbours(np.where(again.ids >= 0, left[again.ids], -1), again.similarities)
    return _settled(fell_to)


def compact(near: Neighbours, kept: Mask, count: int) -> Neighbours:
    """The lists of the rows that are kept (n,), of them only, renumbered, the best `count`; -1 where there are fewer.

    >>> lists = Neighbours(np.array([[1, 2], [0, 2], [0, 1]], np.int32), np.array([[5, 4], [5, 3], [4, 3]], np.int32))
    >>> compact(lists, np.array([True, False, True]), 1).ids.tolist()
    [[1], [0]]
    """
    numbers = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    ids = np.where(near.ids[kept] >= 0, numbers[near.ids[kept]], -1).astype(np.int32)
    order = np.argsort(ids < 0, axis=1, kind="stable")[:, :count]
    ids = np.take_along_axis(ids, order, axis=1)
    similarities = np.take_along_axis(near.similarities[kept], order, axis=1)
    return Neighbours(ids, np.where(ids >= 0, similarities, -SCALE).astype(np.int32))


def _equals(groups: Longs, ranks: Ints) -> tuple[Ints, Ints]:
    """Rows of the same group, each with the one before it by rank and with the first: lists cannot hold all."""
    order = np.lexsort((ranks, groups)).astype(np.int32)
    order = order[groups[order] >= 0]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = groups[order[1:]] != groups[order[:-1]]
    leaders = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
    before = np.roll(order, 1)
    return np.concatenate([leaders[~fresh], before[~fresh]]), np.concatenate([order[~fresh], order[~fresh]])


def _close(rows: Ints, found: Neighbours, least: int) -> tuple[Ints, Ints]:
    """Listed pairs above the threshold."""
    ones, others = rows.repeat(found.ids.shape[1]), found.ids.ravel()
    close = (found.similarities.ravel() > least) & (others >= 0)
    return ones[close], others[close]


def _confirmed(ones: Ints, others: Ints, fell_to: Ints, confirm: Confirm) -> tuple[Ints, Ints]:
    """The pairs of rows that still stand, each once, whose text is about the same."""
    standing = (fell_to[ones] < 0) & (fell_to[others] < 0)
    pairs: npt.NDArray[np.int32] = np.unique(
        np.sort(np.stack([ones[standing], others[standing]], axis=1), axis=1), axis=0
    )
    same = confirm(pairs[:, 0], pairs[:, 1]) if len(pairs) else np.empty(0, np.bool_)
    return pairs[same, 0], pairs[same, 1]


def _drop(fell_to: Ints, ranks: Ints, ones: Ints, others: Ints) -> int:
    """Let the later ones fall; how many did."""
    swapped = ranks[ones] > ranks[others]
    first, later = np.where(swapped, others, ones), np.where(swapped, ones, others)
    order = np.lexsort((ranks[later], ranks[first]))
    return _fall(fell_to, first[order], later[order])


@kernel
def _fall(fell_to: Ints, first: Ints, later: Ints) -> int:
    """Pairs in the order of the rank of their first: whoever stands drops the later one."""
    fallen = 0
    for pair in range(len(first)):
        if fell_to[first[pair]] < 0 and fell_to[later[pair]] < 0:
            fell_to[later[pair]] = first[pair]
            fallen += 1
    return fallen


@kernel
def _hashes(vectors: Units) -> Longs:
    """Of each row (n,), not negative: the same for the same vectors, and hardly ever for others."""
    found = np.zeros(len(vectors), np.int64)
    for row in range(len(vectors)):
        for place in range(vectors.shape[1]):
            found[row] = (found[row] ^ vectors[row, place]) * MULTIPLIER
            found[row] ^= found[row] >> 29
    return found & np.int64(2**63 - 1)


def _settled(fell_to: Ints) -> Ints:
    """Followed to the end.

    >>> _settled(np.array([-1, 0, 1], np.int32)).tolist()
    [-1, 0, 0]
    """
    fallen = fell_to >= 0
    while (moved := fallen & (fell_to[fell_to] >= 0)).any():
        fell_to = np.where(moved, fell_to[fell_to], fell_to)
    return fell_to
