"""Order for contexts: a trainer sees windows, not a path, so windows are what is filled and improved.

Windows are filled one by one: a seed, then always the row that is most similar to those within, until no row fits.
Seeds come in the order of a tour, and so does the next row where no neighbour is left. `ordering_refinement` then
improves them.
"""

import numpy as np

from stages.ordering_compiled import kernel
from stages.ordering_graph import Graph, Ints, Longs, row_of, similarity_of

ALONE = -1


def fill(graph: Graph, tour: Ints, tokens: Longs, capacity: int) -> Ints:
    """The window (n,) of each row, counted in the order of their seeds; `tokens` (n,) sum up to `capacity` at most.

    A row above the capacity has a window of its own.

    >>> from stages.ordering_graph import undirected
    >>> lists = np.array([[2], [3], [0], [1]], np.int32), np.array([[5], [5], [5], [5]], np.int32)
    >>> fill(undirected(*lists), np.arange(4, dtype=np.int32), np.ones(4, np.int64), 2).tolist()
    [0, 1, 0, 1]
    """
    return _fill(graph, tour, tokens, capacity)


def order_of(windows: Ints, tour: Ints) -> Ints:
    """Rows by window, and in the order of the tour within each.

    >>> order_of(np.array([1, 0, 1, 0], np.int32), np.array([3, 2, 1, 0], np.int32)).tolist()
    [3, 1, 2, 0]
    """
    return tour[np.argsort(windows[tour], kind="stable")]


@kernel
def _gather(row: int, graph: Graph, windows: Ints, scores: Longs, near: Ints, found: int, weight: int) -> int:
    """Add what a new member says of its neighbours to their scores; the number of rows that are near."""
    for place in range(graph.starts[row], graph.starts[row + 1]):
        other = row_of(graph.edges[place])
        if windows[other] < 0:
            if scores[other] == 0:
                near[found] = other
                found += 1
            scores[other] += np.int64(weight) * max(similarity_of(graph.edges[place]), 1)
    return found


@kernel
def _fittest(near: Ints, found: int, scores: Longs, windows: Ints, tokens: Longs, room: int) -> int:
    """The best of the rows that are near and fit, or -1; ties go to the smaller row."""
    best = ALONE
    for place in range(found):
        row = near[place]
        if windows[row] < 0 and tokens[row] <= room:
            better = best < 0 or scores[row] > scores[best]
            if better or (scores[row] == scores[best] and row < best):
                best = row
    return best


@kernel
def _fill(graph: Graph, tour: Ints, tokens: Longs, capacity: int) -> Ints:
    count = len(tour)
    windows = np.full(count, -1, np.int32)
    scores = np.zeros(count, np.int64)
    near = np.empty(count, np.int32)
    window = 0
    at = 0
    for seed in tour:
        if windows[seed] >= 0:
            continue
        room, row, found = capacity, seed, 0
        while row >= 0:
            windows[row] = window
            room -= tokens[row]
            found = _gather(row, graph, windows, scores, near, found, tokens[row])
            row = _fittest(near, found, scores, windows, tokens, room)
            if row < 0:
                while at < count and windows[tour[at]] >= 0:
                    at += 1
                if at < count and tokens[tour[at]] <= room:
                    row = tour[at]
        for place in range(found):
            scores[near[place]] = 0
        window += 1
    return windows
