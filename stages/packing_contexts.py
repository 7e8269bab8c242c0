"""Documents in order, packed into contexts of a number of tokens: concat-and-cut, next-fit, bounded best-fit.

A document longer than a context is cut into whole contexts and a rest, in order, by the two that fit; only its rest is
placed with others. Every token of every document is in exactly one context.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.ordering_compiled import kernel
from stages.ordering_graph import Graph, Ints, Longs, edge, row_of, similarity_of
from stages.ordering_refinement import product, refine
from stages.ordering_vectors import Units

Hashes = npt.NDArray[np.uint64]
OPEN = 4
"""Contexts that best-fit holds open: 8 pad a fifth to a half less, and lose up to 1% of similarity."""
PASSES = 12
"""Over all documents, at most, by which contexts are refined; later ones change little and cost little."""


class Spans(NamedTuple):
    """Parts of documents, by context and by place in it; all (m,)."""

    contexts: Longs
    """From 0, without a gap."""
    documents: Longs
    begins: Longs
    """The first token of the document that is in the part."""
    ends: Longs
    """One past the last."""


def concatenated(tokens: npt.ArrayLike, context: int) -> Spans:
    """Cut wherever a context is full. `tokens` (n,) of each document, in order; those without have no part.

    >>> [part.tolist() for part in concatenated([3, 4], 5)]
    [[0, 0, 1], [0, 1, 1], [0, 0, 2], [3, 2, 4]]
    """
    given = np.asarray(tokens, np.int64)
    after = np.cumsum(given)
    total = int(after[-1]) if len(given) else 0
    starts = np.unique(np.concatenate([(after - given)[given > 0], np.arange(0, total, context)])).astype(np.int64)
    documents = np.searchsorted(after, starts, side="right")
    begins = starts - (after - given)[documents]
    return Spans(starts // context, documents, begins, begins + np.diff(starts, append=total))


def next_fit(tokens: npt.ArrayLike, context: int) -> Spans:
    """In order: a document that does not fit into the rest of the context begins another.

    >>> [part.tolist() for part in next_fit([3, 4, 12], 5)]
    [[0, 1, 2, 3, 4], [0, 1, 2, 2, 2], [0, 0, 0, 5, 10], [3, 4, 5, 10, 12]]
    """
    return _placed(np.asarray(tokens, np.int64), context, 1, None)


def best_fit(tokens: npt.ArrayLike, context: int, opened: int = OPEN) -> Spans:
    """In order, into the fullest of the `opened` contexts that has room; if none has, the fullest is closed.

    >>> [part.tolist() for part in best_fit([3, 4, 2, 1], 5, 2)]
    [[0, 0, 1, 1], [0, 2, 1, 3], [0, 0, 0, 0], [3, 2, 4, 1]]
    """
    return _placed(np.asarray(tokens, np.int64), context, opened, None)


def refined(tokens: npt.ArrayLike, context: int, vectors: Units, graph: Graph, opened: int = OPEN) -> Spans:
    """Best-fit, but into the most similar of the open contexts that has room, since the fullest tears apart what the
    order brought together; then documents move and swap between contexts, and no context exceeds its size.

    `vectors` (n, dimensions) and `graph` are of the documents in this order (see `ordering_refinement.refine`).
    """
    return _placed(np.asarray(tokens, np.int64), context, opened, (vectors, graph))


def shuffled(spans: Spans, seed: int) -> Spans:
    """The same contexts, in the order of a seeded hash of their first document and token: no order is left to learn.

    >>> before = concatenated([2, 2, 2], 2)
    >>> shuffled(before, 1).contexts.tolist(), sorted(shuffled(before, 1).documents.tolist())
    ([0, 1, 2], [0, 1, 2])
    """
    first = np.flatnonzero(np.diff(spans.contexts, prepend=-1))
    keys = _mixed(spans.documents[first], _mixed(spans.begins[first], np.full(len(first), seed, np.uint64)))
    numbers = np.empty(len(first), np.int64)
    numbers[np.argsort(keys, kind="stable")] = np.arange(len(first))
    contexts = numbers[spans.contexts]
    order = np.argsort(contexts, kind="stable")
    return Spans(contexts[order], spans.documents[order], spans.begins[order], spans.ends[order])


def _mixed(values: Longs, seeds: Hashes) -> Hashes:
    """The finalizer of splitmix64."""
    found: Hashes = values.astype(np.uint64) + (seeds + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found ^= found >> np.uint64(31)
    return found


def _placed(tokens: Longs, context: int, opened: int, better: tuple[Units, Graph] | None) -> Spans:
    rests = tokens % context
    homes = _best_fit(rests, context, opened) if better is None else _similar_fit(rests, better[0], context, opened)
    if better is not None:
        movable = rests > 0
        numbers = np.full(len(tokens), -1, np.int32)
        numbers[movable] = np.arange(movable.sum())
        graph = induced(better[1], numbers)
        homes[movable] = refine(better[0][movable], graph, homes[movable], rests[movable], context, PASSES)
    return _spans(tokens, rests, homes, context)


def induced(graph: Graph, numbers: Ints) -> Graph:
    """The edges among the rows that have a number (n,), ascending without a gap; -1: none."""
    if (numbers >= 0).all():
        return graph
    return Graph(*_renumbered(graph, numbers))


@kernel
def _renumbered(graph: Graph, numbers: Ints) -> tuple[Longs, Longs]:
    starts = np.zeros((numbers >= 0).sum() + 1, np.int64)
    edges = np.empty(len(graph.edges), np.int64)
    used = 0
    for row in range(len(numbers)):
        if numbers[row] >= 0:
            for place in range(graph.starts[row], graph.starts[row + 1]):
                other = numbers[row_of(graph.edges[place])]
                if other >= 0:
                    edges[used] = edge(similarity_of(graph.edges[place]), other)
                    used += 1
            starts[numbers[row] + 1] = used
    return starts, edges[:used].copy()


@kernel
def _best_fit(sizes: Longs, context: int, opened: int) -> Ints:
    """The context of each size (n,), -1 for sizes of 0."""
    homes = np.full(len(sizes), -1, np.int32)
    rooms, names = np.full(opened, -1, np.int64), np.full(opened, -1, np.int32)
    made = 0
    for item in range(len(sizes)):
        if sizes[item] == 0:
            continue
        best, fullest = -1, 0
        for place in range(opened):
            if rooms[place] >= sizes[item] and (best < 0 or rooms[place] < rooms[best]):
                best = place
            if rooms[place] < rooms[fullest]:
                fullest = place
        if best < 0:
            best, rooms[fullest], names[fullest] = fullest, context, made
            made += 1
        rooms[best] -= sizes[item]
        homes[item] = names[best]
    return homes


@kernel
def _similar_fit(sizes: Longs, vectors: Units, context: int, opened: int) -> Ints:
    """The context of each size (n,), -1 for sizes of 0: that of the most similar mean, by tokens, that has room."""
    homes = np.full(len(sizes), -1, np.int32)
    rooms, names = np.full(opened, -1, np.int64), np.full(opened, -1, np.int32)
    sums = np.zeros((opened, vectors.shape[1]), np.float64)
    made = 0
    for item in range(len(sizes)):
        if sizes[item] == 0:
            continue
        best, fullest, most = -1, 0, 0.0
        for place in range(opened):
            if rooms[place] >= sizes[item]:
                similar = product(vectors[item], sums[place]) / (context - rooms[place])
                if best < 0 or similar > most:
                    best, most = place, similar
            if rooms[place] < rooms[fullest]:
                fullest = place
        if best < 0:
            best, rooms[fullest], names[fullest] = fullest, context, made
            sums[best] = 0.0
            made += 1
        rooms[best] -= sizes[item]
        homes[item] = names[best]
        for place in range(vectors.shape[1]):
            sums[best, place] += np.float64(sizes[item]) * vectors[item, place]
    return homes


def _spans(tokens: Longs, rests: Longs, homes: Ints, context: int) -> Spans:
    """Contexts in the order of their first document; whole ones of a document just before the one that has its rest."""
    whole = tokens // context
    documents = np.arange(len(tokens)).repeat(whole)
    begins = (np.arange(whole.sum()) - (np.cumsum(whole) - whole).repeat(whole)) * context
    rest = np.flatnonzero(rests > 0)
    first = np.full(int(homes.max(initial=-1)) + 1, len(tokens), np.int64)
    np.minimum.at(first, homes[rest], rest)
    place = np.arange(len(tokens))
    place[rest] = first[homes[rest]]
    keys = np.concatenate([place[documents], place[rest]])
    kinds = np.concatenate([np.arange(len(documents)) - len(documents), homes[rest]])
    found = np.concatenate([documents, rest])
    begins = np.concatenate([begins, (tokens - rests)[rest]])
    ends = np.concatenate([begins[: len(documents)] + context, tokens[rest]])
    order = np.lexsort((found, kinds, keys))
    keys, kinds = keys[order], kinds[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (keys[1:] != keys[:-1]) | (kinds[1:] != kinds[:-1])
    return Spans(np.cumsum(fresh) - 1, found[order], begins[order], ends[order])
