"""Small sets of vectors for the tests of ordering, and their neighbours by brute force."""

import numpy as np
import numpy.typing as npt

from stages.ordering_neighbours import Neighbours
from stages.ordering_vectors import Units, units


def clusters(count: int, groups: int = 6, dimensions: int = 24, seed: int = 0) -> Units:
    """Points around a few directions."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((groups, dimensions))
    return units(centres[random.integers(0, groups, count)] + random.standard_normal((count, dimensions)))


def hashes(count: int, seed: int = 0) -> npt.NDArray[np.uint64]:
    """Different ones."""
    return np.random.default_rng(seed).permutation(count).astype(np.uint64) * np.uint64(7919)


def products(vectors: Units) -> npt.NDArray[np.int64]:
    """Of every row with every row."""
    wide = vectors.astype(np.int64)
    return wide @ wide.T


def true_neighbours(vectors: Units, count: int, ties: npt.NDArray[np.uint64]) -> Neighbours:
    """By sorting all others: the most similar first, ties by hash."""
    every = products(vectors)
    width = max(0, min(count, len(vectors) - 1))
    ids = np.empty((len(vectors), width), np.int32)
    for row in range(len(vectors)):
        others = sorted(
            (other for other in range(len(vectors)) if other != row), key=lambda it: (-every[row, it], ties[it])
        )
        ids[row] = others[:width]
    return Neighbours(ids, np.take_along_axis(every, ids.astype(np.int64), axis=1).astype(np.int32))


EDGES = {
    "none": np.empty((0, 4), np.int16),
    "one": units([[1.0, 2, 3, 4]]),
    "two": units([[1.0, 2, 3, 4], [4, 3, 2, 1]]),
    "identical": units(np.ones((40, 4))),
    "orthogonal": units(np.eye(40)),
    "opposite": units(np.array([[1.0, 0]] * 20 + [[-1.0, 0]] * 20)),
    "hub": units(np.concatenate([np.ones((1, 40)), np.eye(40) + 0.05])),
    "clusters": clusters(150),
}
