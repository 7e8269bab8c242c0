"""An order of documents, from their vectors: the three modes in one place, independent of the order of the input.

- `fast`: a greedy walk. Least work; similar neighbours along the path.
- `path`: greedy edge matching and stitching. More similar along the path.
- `context`: windows of a capacity filled and refined, seeds in the order of `path`. Most similar inside windows.
"""

from typing import Literal, NamedTuple

import numpy as np

from stages.ordering_compiled import kernel
from stages.ordering_contexts import fill, order_of
from stages.ordering_graph import Ints, Longs, undirected
from stages.ordering_neighbours import Index, Neighbours, Ties
from stages.ordering_path import path
from stages.ordering_refinement import refine
from stages.ordering_vectors import Units
from stages.ordering_walk import walk

Mode = Literal["fast", "path", "context"]


class Windows(NamedTuple):
    """What `context` fills: the tokens (n,) of each row and how many a window holds."""

    tokens: Longs
    capacity: int


def ordered(
    vectors: Units,
    near: Neighbours,
    ties: Ties,
    mode: Mode,
    windows: Windows,
    *,
    index: Index = "auto",
) -> Ints:
    """Every row (n, dimensions) once, in order; `near` are its lists, `ties` (n,) hashes of the ids, all different.

    The same ids come out in the same order however the rows are permuted.

    >>> vectors = np.array([[16384, 0], [0, 16384], [16384, 0], [0, 16384]], np.int16)
    >>> near = Neighbours(np.array([[2], [3], [0], [1]], np.int32), np.full((4, 1), 2**28, np.int32))
    >>> one_each = Windows(np.ones(4, np.int64), 2)
    >>> ordered(vectors, near, np.arange(4, dtype=np.uint64), "context", one_each).tolist()
    [2, 0, 1, 3]
    """
    if not len(vectors):
        return np.empty(0, np.int32)
    rows = np.argsort(ties).astype(np.int32)
    renumbered = _renumbered(near, rows)
    if mode == "fast":
        return rows[walk(*renumbered)]
    vectors = vectors[rows]
    tour = path(vectors, *renumbered, index=index)
    if mode == "path":
        return rows[tour]
    graph, tokens = undirected(*renumbered), windows.tokens[rows]
    filled = fill(graph, tour, tokens, windows.capacity)
    return rows[order_of(refine(vectors, graph, filled, tokens, windows.capacity), tour)]


def _renumbered(near: Neighbours, rows: Ints) -> Neighbours:
    """The lists of the rows in their order, and by their places in it."""
    found = Neighbours(np.empty(near.ids.shape, np.int32), np.empty(near.ids.shape, np.int32))
    _renumber(near.ids, near.similarities, rows, np.empty(len(rows), np.int32), *found)
    return found


@kernel
def _renumber(ids: Ints, similarities: Ints, rows: Ints, numbers: Ints, new_ids: Ints, new_similarities: Ints) -> None:
    for place in range(len(rows)):
        numbers[rows[place]] = place
    for place in range(len(rows)):
        row = rows[place]
        for near in range(ids.shape[1]):
            other = ids[row, near]
            new_ids[place, near] = numbers[other] if other >= 0 else -1
            new_similarities[place, near] = similarities[row, near]
