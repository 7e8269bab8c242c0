"""The graph of documents: neighbour lists as undirected edges, in compressed sparse rows.

Similarities are whole numbers (`ordering_vectors.SCALE` stands for a cosine of 1), so that no order depends on
rounding. Ties go to the smaller row. For an order that does not depend on that of the input, renumber the rows first.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import kernel

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
LAST_ROW = 2**31 - 1
NONE = -(2**63)
"""Less than any edge."""


class Graph(NamedTuple):
    """Row `i` has the edges `edges[starts[i]:starts[i + 1]]`."""

    starts: Longs
    """(n + 1,)"""
    edges: Longs
    """(2 * edges,): a similarity and a row in one number, see `edge`; the larger is the better."""


@kernel
def edge(similarity: int, row: int) -> int:
    """An edge to a row: ordered by similarity, ties by the smaller row.

    >>> edge(7, 3) > edge(7, 4) > edge(-1, 0), similarity_of(edge(-7, 3)), row_of(edge(-7, 3))
    (True, -7, 3)
    """
    return int((np.int64(similarity) << 31) | np.int64(LAST_ROW - row))


@kernel
def row_of(value: int) -> int:
    """The row that an edge leads to."""
    return LAST_ROW - int(np.int64(value) & np.int64(LAST_ROW))


@kernel
def similarity_of(value: int) -> int:
    """The similarity of the two rows of an edge."""
    return int(np.int64(value) >> 31)


def undirected(ids: Ints, similarities: Ints) -> Graph:
    """Neighbour lists (n, k) as a graph: an edge wherever either lists the other, once, the best first; no -1, no loop.

    >>> graph = undirected(np.array([[1], [0], [1]], np.int32), np.array([[9], [9], [5]], np.int32))
    >>> graph.starts.tolist(), [row_of(value) for value in graph.edges]
    ([0, 1, 3, 4], [1, 0, 2, 1])
    """
    return Graph(*_once(*mirrored(ids, similarities)))


def mirrored(ids: Ints, similarities: Ints) -> Graph:
    """The same, sooner: an edge that both lists hold is there twice, and rows are not sorted."""
    ids = np.ascontiguousarray(ids, np.int32)
    starts = np.zeros(len(ids) + 2, np.int64)
    edges = np.empty(2 * ids.size, np.int64)  # made by NumPy, which asks for huge pages
    _mirror(ids, np.ascontiguousarray(similarities, np.int32), starts, edges)
    return Graph(starts[:-1], edges[: starts[-2]])


@kernel
def _mirror(ids: Ints, similarities: Ints, starts: Longs, edges: Longs) -> None:
    """While edges are put in, `starts[row + 1]` is where the next one of a row goes; then it is where they end."""
    count, width = ids.shape
    for row in range(count):
        for place in range(width):
            other = ids[row, place]
            if other not in (-1, row):
                starts[row + 2] += 1
                starts[other + 2] += 1
    for row in range(count):
        starts[row + 2] += starts[row + 1]
    for row in range(count):
        for place in range(width):
            other = ids[row, place]
            if other not in (-1, row):
                edges[starts[row + 1]] = edge(similarities[row, place], other)
                edges[starts[other + 1]] = edge(similarities[row, place], row)
                starts[row + 1] += 1
                starts[other + 1] += 1


@kernel
def _once(starts: Longs, edges: Longs) -> tuple[Longs, Longs]:
    """Rows sorted, in place, without what is there twice; by insertion, since rows are short."""
    kept = 0
    fresh = np.zeros_like(starts)
    for row in range(len(starts) - 1):
        begin, end = starts[row], starts[row + 1]
        if end - begin > 100:  # a hub
            edges[begin:end] = np.sort(edges[begin:end])[::-1]
        for place in range(begin + 1, end):
            value, slot = edges[place], place
            while slot > begin and edges[slot - 1] < value:
                edges[slot] = edges[slot - 1]
                slot -= 1
            edges[slot] = value
        for place in range(begin, end):
            if place == begin or edges[place] != edges[place - 1]:
                edges[kept] = edges[place]
                kept += 1
        fresh[row + 1] = kept
    return fresh, edges[:kept].copy()
