"""Better windows: rows are moved and swapped between them as long as similar tokens come together.

What is raised is the sum, over all pairs of tokens in one window, of the cosine of their documents. With `S` the sum of
the vectors of a window, each times its tokens, that is the sum of `S * S` (less a constant), so a change costs one
product of vectors. All sums are whole numbers below 2**53, exact in float64 and in any order.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import exact_sums, kernel
from stages.ordering_graph import Graph, Ints, Longs, row_of
from stages.ordering_vectors import Units

Doubles = npt.NDArray[np.float64]
PASSES = 4
WINDOWS_PER_ROW = 8
FEWEST = 500
"""A pass that changes less than one row in so many is the last."""


class State(NamedTuple):
    """Windows while they change."""

    windows: Ints
    """(n,) the window of each row."""
    sums: Doubles
    """(windows, dimensions): vectors times tokens."""
    loads: Longs
    """(windows,) tokens."""
    first: Ints
    """(windows,) a row of each, or -1; `after` and `before` (n,) are the rest."""
    after: Ints
    before: Ints


def refine(vectors: Units, graph: Graph, windows: Ints, tokens: Longs, capacity: int, passes: int = PASSES) -> Ints:
    """Windows (n,) of rows (n, dimensions) whose `tokens` (n,) nowhere exceed what they did, or `capacity`.

    No window is added, some may be left empty. A row above the capacity stays where it is.
    """
    state = _state(vectors, windows, tokens)
    for _ in range(passes if len(windows) else 0):
        changes = _pass(state, vectors, graph.starts, graph.edges, tokens, capacity)
        if changes * FEWEST < len(windows):
            break
    return state.windows


def _state(vectors: Units, windows: Ints, tokens: Longs) -> State:
    count = int(windows.max()) + 1 if len(windows) else 0
    sums = np.zeros((count, vectors.shape[1]), np.float64)
    links = [np.full(size, -1, np.int32) for size in (count, len(windows), len(windows))]
    state = State(windows.astype(np.int32), sums, np.zeros(count, np.int64), *links)
    _enter(state, vectors, tokens)
    return state


@kernel
def _put(state: State, vectors: Units, row: int, window: int, tokens: int) -> None:
    state.windows[row] = window
    head = state.first[window]
    state.after[row], state.before[row], state.first[window] = head, -1, row
    if head >= 0:
        state.before[head] = row
    state.loads[window] += tokens
    for place in range(vectors.shape[1]):
        state.sums[window, place] += np.float64(tokens) * vectors[row, place]


@kernel
def _take(state: State, vectors: Units, row: int, tokens: int) -> None:
    window, after, before = state.windows[row], state.after[row], state.before[row]
    if before >= 0:
        state.after[before] = after
    else:
        state.first[window] = after
    if after >= 0:
        state.before[after] = before
    state.loads[window] -= tokens
    for place in range(vectors.shape[1]):
        state.sums[window, place] -= np.float64(tokens) * vectors[row, place]


@kernel
def _enter(state: State, vectors: Units, tokens: Longs) -> None:
    for row in range(len(tokens) - 1, -1, -1):
        _put(state, vectors, row, state.windows[row], tokens[row])


@exact_sums
def product(vector: Units, sums: Doubles) -> float:
    """Of a row and a sum of rows; exact while the sum is of up to 2**25 tokens."""
    total = 0.0
    for place in range(len(vector)):
        total += vector[place] * sums[place]
    return total


@kernel
def _swap_with(state: State, vectors: Units, tokens: Longs, capacity: int, row: int, window: int) -> tuple[int, float]:
    """The best row of a window to swap with (-1: none, move there; -2: stay) and half of what is gained."""
    own, weight, vector = state.windows[row], np.float64(tokens[row]), vectors[row]
    apart = state.sums[own] - state.sums[window]
    square = product(vector, vector.astype(np.float64)) * weight * weight
    lost = weight * product(vector, apart)
    if lost >= square:  # it is better off where it is
        return -2, 0.0
    best, most = -2, 0.0
    if state.loads[window] + tokens[row] <= capacity:
        best, most = -1, square - lost
    for place in range(len(apart)):
        apart[place] -= 2 * weight * vector[place]
    other = state.first[window]
    while other >= 0:
        more = tokens[row] - tokens[other]
        if state.loads[window] + more <= capacity and state.loads[own] - more <= capacity:
            mass = np.float64(tokens[other])
            itself = product(vectors[other], vectors[other].astype(np.float64)) * mass * mass
            gain = mass * product(vectors[other], apart) + itself + square - lost
            if gain > most:
                best, most = other, gain
        other = state.after[other]
    return best, most


@kernel
def _pass(state: State, vectors: Units, starts: Longs, edges: Longs, tokens: Longs, capacity: int) -> int:
    """Each row once: the best change with the windows of its neighbours, if there is one. The number of changes."""
    changes = 0
    seen = np.empty(WINDOWS_PER_ROW, np.int32)
    for row in range(len(tokens)):
        own, tried, target, partner, most = state.windows[row], 0, -1, -2, 0.0
        for place in range(starts[row], starts[row + 1]):
            window = state.windows[row_of(edges[place])]
            if window == own or (seen[:tried] == window).any():
                continue
            if tried == WINDOWS_PER_ROW or tokens[row] > capacity:
                break
            seen[tried] = window
            tried += 1
            other, gain = _swap_with(state, vectors, tokens, capacity, row, window)
            if other > -2 and gain > most:
                target, partner, most = window, other, gain
        if target >= 0:
            _take(state, vectors, row, tokens[row])
            if partner >= 0:
                _take(state, vectors, partner, tokens[partner])
                _put(state, vectors, partner, own, tokens[partner])
            _put(state, vectors, row, target, tokens[row])
            changes += 1
    return changes
