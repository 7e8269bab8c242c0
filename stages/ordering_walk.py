"""Order by walking: from a document to its most similar unvisited neighbour; at a dead end, start elsewhere.

Where to start decides how many documents are left over: at the one with the fewest *unvisited* neighbours, since
those are the ones that nobody will come by later. A static degree leaves them behind.
Source: "In-Context Pretraining: Language Modeling Beyond Document Boundaries" (ICLR 2024), with that other restart.
"""

import numpy as np

from stages.ordering_compiled import kernel
from stages.ordering_graph import NONE, Ints, Longs, mirrored, row_of

VISITED = -1


def walk(ids: Ints, similarities: Ints) -> Ints:
    """Each row of neighbour lists (n, k) once, neighbours next to each other; in time linear in the number of edges.

    >>> lists = np.array([[2], [2], [0], [1]], np.int32), np.array([[5], [7], [5], [4]], np.int32)
    >>> walk(*lists).tolist()  # it starts at an end of the chain 0 - 2 - 1 - 3
    [3, 1, 2, 0]
    """
    graph = mirrored(ids, similarities)
    degrees = np.diff(graph.starts).astype(np.int32)
    stacks = np.empty((len(ids) + len(graph.edges), 2), np.int32)
    return _walk(graph.starts, graph.edges, degrees, stacks)


@kernel
def _walk(starts: Longs, edges: Longs, degrees: Ints, stacks: Ints) -> Ints:
    """One stack of rows for each degree; a row lies in those of its former degrees too, and is passed over there.

    A degree counts an edge twice if both lists hold it, which orders as well as counting it once.
    """
    count = len(degrees)
    top = np.full(degrees.max() + 1 if count else 1, -1, np.int32)  # of each stack: a row, and what is below it
    for row in range(count - 1, -1, -1):
        used = count - 1 - row
        stacks[used, 0], stacks[used, 1], top[degrees[row]] = row, top[degrees[row]], used
    used, lowest, row = count, 0, -1
    order = np.empty(count, np.int32)
    for step in range(count):
        while row < 0:
            while top[lowest] < 0:
                lowest += 1
            row = stacks[top[lowest], 0]
            top[lowest] = stacks[top[lowest], 1]
            row = row if degrees[row] == lowest else -1
        order[step] = row
        degrees[row] = VISITED
        best = NONE
        for place in range(starts[row], starts[row + 1]):
            other = row_of(edges[place])
            if degrees[other] != VISITED:
                best = max(best, edges[place])
                degrees[other] -= 1
                degree = degrees[other]
                stacks[used, 0], stacks[used, 1], top[degree] = other, top[degree], used
                used += 1
                lowest = min(lowest, degree)
        row = row_of(best) if best > NONE else -1
    return order
