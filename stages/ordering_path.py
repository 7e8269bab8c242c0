"""Order by one path: the best edges first, wherever they join the ends of two fragments; then fragments by their ends.

Greedy edge matching for the maximum travelling salesman path. What the neighbour lists leave in fragments is joined by
searches among the ends alone, never by row number. Runs along fixed directions keep each search from joining none.
"""

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import kernel
from stages.ordering_graph import Ints
from stages.ordering_neighbours import Index, Neighbours, neighbours
from stages.ordering_vectors import Units, pair_similarities

COMPLETE = 1_200
"""So many ends are joined by all their pairs, at once."""
END_NEIGHBOURS = 12
DIRECTIONS = 2


def path(vectors: Units, ids: Ints, similarities: Ints, *, index: Index = "auto", threads: int = 1) -> Ints:
    """Each row (n, dimensions) once, given its neighbour lists (n, k); ties go to the smaller row.

    `index` and `threads` are those of the searches among ends.

    >>> vectors = np.array([[9, 0], [0, 9], [5, 7]], np.int16)
    >>> path(vectors, np.array([[2], [2], [1]], np.int32), np.array([[45], [63], [63]], np.int32)).tolist()
    [0, 2, 1]
    """
    count = len(vectors)
    joints = np.full((count, 2), -1, np.int32)
    parents = np.arange(count, dtype=np.int32)
    left = count - _match(joints, parents, *_pairs(Neighbours(ids, similarities)))
    while left > 1:
        ends = np.flatnonzero(joints[:, 1] < 0).astype(np.int32)
        wanted = len(ends) - 1 if len(ends) <= COMPLETE else END_NEIGHBOURS
        ties = np.arange(len(ends), dtype=np.uint64)
        near = neighbours(vectors[ends], wanted, ties, index=index, threads=threads)
        near = Neighbours(np.where(near.ids >= 0, ends[near.ids], -1), near.similarities)
        left -= _match(joints, parents, *_pairs(near, ends, _runs(vectors, ends)))
    return _follow(joints)


def _pairs(near: Neighbours, rows: Ints | None = None, more: Ints | None = None) -> tuple[Ints, Ints]:
    """Every listed pair (smaller row, larger row), the most similar first, then by row; `more` is (3, pairs)."""
    width = near.ids.shape[1]
    own = np.arange(len(near.ids), dtype=np.int32) if rows is None else rows
    ones, others, found = own.repeat(width), near.ids.ravel(), near.similarities.ravel()
    if more is not None:
        ones, others, found = np.concatenate([[ones, others, found], more], axis=1).astype(np.int32)
    listed = (others >= 0) & (ones != others)
    small, large = np.minimum(ones, others)[listed], np.maximum(ones, others)[listed]
    order = np.lexsort((large, small, -found[listed]))
    return small[order], large[order]


def _runs(vectors: Units, ends: Ints) -> Ints:
    """Rows that follow each other along fixed directions, and their similarity: (3, pairs), all ends connected."""
    directions = np.random.default_rng(0).integers(-8, 9, (vectors.shape[1], DIRECTIONS))
    found: list[npt.NDArray[np.int32]] = []
    for place in (vectors[ends].astype(np.int64) @ directions).T:
        run = ends[np.argsort(place, kind="stable")]
        found.append(np.stack([run[:-1], run[1:], pair_similarities(vectors, run[:-1], run[1:])]))
    return np.concatenate(found, axis=1)


@kernel
def _root(parents: Ints, row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@kernel
def _match(joints: Ints, parents: Ints, ones: Ints, others: Ints) -> int:
    """Join what can be joined, in the order of the pairs: two ends of different fragments. The number of joins."""
    made = 0
    for pair in range(len(ones)):
        one, other = ones[pair], others[pair]
        if joints[one, 1] < 0 and joints[other, 1] < 0:
            root, target = _root(parents, one), _root(parents, other)
            if root != target:
                parents[max(root, target)] = min(root, target)
                joints[one, 0 if joints[one, 0] < 0 else 1] = other
                joints[other, 0 if joints[other, 0] < 0 else 1] = one
                made += 1
    return made


@kernel
def _follow(joints: Ints) -> Ints:
    """The rows of one path, from its end of the smaller row."""
    count = len(joints)
    order = np.empty(count, np.int32)
    row, before = 0, -1
    while row < count and joints[row, 1] >= 0:
        row += 1
    for step in range(count):
        order[step] = row
        onward = joints[row, 0] if joints[row, 0] != before else joints[row, 1]
        before, row = row, onward
    return order
