"""The nearest neighbours of each document: exact, by an inverted file, or by NN-descent.

An index proposes more than are asked for; similarities are then computed again in whole numbers, so ties and
rounding do not depend on the machine. Rows are searched in the order of a hash, so lists do not depend on the input's.
Source: "Efficient K-Nearest Neighbor Graph Construction for Generic Similarity Measures" (WWW 2011), in pynndescent.
"""

import warnings
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import kernel
from stages.ordering_graph import NONE, Ints, edge, row_of, similarity_of
from stages.ordering_vectors import SCALE, Units, floats, list_similarities

Ties = npt.NDArray[np.uint64]
Index = Literal["auto", "flat", "ivf", "descent"]
"""`auto` is `flat` (exact) up to `EXACT_ROWS`, `ivf` up to `IVF_ROWS`, `descent` above: whichever costs least."""
EXACT_ROWS = 30_000
IVF_ROWS = 150_000
PROBES = 6
TRAINING_ROWS = 48
"""For each list of an inverted file."""
HEADROOM = 5
SEED = 20_240_517


class Neighbours(NamedTuple):
    """The best first, ties by hash; -1 and `-SCALE` where there are fewer."""

    ids: Ints
    """(n, k): rows, never the row itself."""
    similarities: Ints
    """(n, k), in units of `SCALE`."""


def neighbours(vectors: Units, count: int, ties: Ties, *, index: Index = "auto", threads: int = 1) -> Neighbours:
    """The `count` most similar rows of each row (n, dimensions); `ties` (n,) are hashes of the ids, all different.

    `threads` are those of NN-descent; FAISS has its own setting. Raises ImportError if FAISS or pynndescent is not
    installed (the extra `order`).
    """
    width = max(0, min(count, len(vectors) - 1))
    if width == 0:
        return Neighbours(np.empty((len(vectors), 0), np.int32), np.empty((len(vectors), 0), np.int32))
    order = np.argsort(ties, kind="stable")
    rows = vectors[order]
    wanted = min(width + 1 + HEADROOM, len(rows))
    found = choose(rows, _proposed(rows, wanted, index, threads), width)
    ids = np.empty_like(found.ids)
    ids[order] = np.where(found.ids >= 0, order.astype(np.int32)[found.ids], -1)
    similarities = np.empty_like(found.similarities)
    similarities[order] = found.similarities
    return Neighbours(ids, similarities)


def choose(vectors: Units, proposed: Ints, count: int) -> Neighbours:
    """The best `count` of the proposed rows (n, more); not the row itself, none twice, -1 ignored."""
    return Neighbours(*_best(proposed, list_similarities(vectors, proposed), count))


def search(vectors: Units, queries: Ints, count: int) -> Neighbours:
    """The most similar rows, exactly, of the rows `queries` (q,): answers (q, count), never the query itself.

    Ties go to the smaller row.
    """
    width = max(0, min(count, len(vectors) - 1))
    proposed = _flat(vectors, vectors[queries], min(width + 1 + HEADROOM, len(vectors)))
    wide = np.full((len(vectors), proposed.shape[1]), -1, np.int32)
    wide[queries] = proposed
    found = choose(vectors, wide, width)
    return Neighbours(found.ids[queries], found.similarities[queries])


def recall(vectors: Units, found: Neighbours, ties: Ties, sample: int = 500) -> float:
    """The share of the true neighbours that the lists hold, on the `sample` rows of the smallest hashes.

    A row as similar as the last of the true ones counts as true. 1.0 if there is nothing to find.
    """
    count = found.ids.shape[1]
    if count == 0:
        return 1.0
    rows = np.argsort(ties, kind="stable")[:sample].astype(np.int32)
    least = search(vectors, rows, count).similarities[:, -1:]
    hits = (found.similarities[rows] >= least) & (found.ids[rows] >= 0)
    return float(hits.mean())


def _proposed(rows: Units, wanted: int, index: Index, threads: int) -> Ints:
    if index == "auto":
        index = "flat" if len(rows) <= EXACT_ROWS else "ivf" if len(rows) <= IVF_ROWS else "descent"
    if index == "flat" or wanted + 1 >= len(rows):
        return _flat(rows, rows, wanted)
    return _inverted(rows, wanted) if index == "ivf" else _descent(rows, wanted, threads)


def _inverted(rows: Units, count: int) -> Ints:
    """The rows of the nearest lists of some `3 * sqrt(n)`; -1 where these hold too few."""
    import faiss

    given, lists = floats(rows), max(1, min(int(3 * np.sqrt(len(rows))), len(rows) // TRAINING_ROWS))
    index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, TRAINING_ROWS
    index.cp.seed, index.nprobe = SEED, PROBES
    index.train(given)
    index.add(given)
    return cast(Ints, index.search(given, count)[1].astype(np.int32))


def _flat(base: Units, queries: Units, count: int) -> Ints:
    import faiss

    index: Any = faiss.IndexFlatIP(base.shape[1])
    index.add(floats(base))
    return cast(Ints, index.search(floats(queries), count)[1].astype(np.int32))


def _descent(rows: Units, count: int, threads: int) -> Ints:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of lists that it could not fill: they hold -1
        import pynndescent

        index = pynndescent.NNDescent(floats(rows), metric="dot", n_neighbors=count, random_state=SEED, n_jobs=threads)
        return cast(Ints, index.neighbor_graph[0].astype(np.int32))


@kernel
def _best(proposed: Ints, found: Ints, count: int) -> tuple[Ints, Ints]:
    rows, width = proposed.shape
    ids = np.full((rows, count), -1, np.int32)
    similarities = np.full((rows, count), -SCALE, np.int32)
    for row in range(rows):
        keys = np.full(width, NONE, np.int64)
        for place in range(width):
            if proposed[row, place] not in (-1, row):
                keys[place] = edge(found[row, place], proposed[row, place])
        keys.sort()
        filled = 0
        for place in range(width - 1, -1, -1):
            fresh = place == width - 1 or keys[place] != keys[place + 1]
            if filled < count and fresh and keys[place] != NONE:
                ids[row, filled], similarities[row, filled] = row_of(keys[place]), similarity_of(keys[place])
                filled += 1
    return ids, similarities
