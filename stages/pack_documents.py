"""The documents of a bucket by mixing group, in their order, and their contexts by each strategy.

Copies of a document are packed in passes of their own, so no context holds two of them.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.order_rows import vectors_of
from stages.ordering_graph import Graph, Longs, undirected
from stages.ordering_vectors import Units, pair_similarities
from stages.pack_groups import groups_of
from stages.packing_contexts import Spans, best_fit, concatenated, induced, next_fit, refined
from stages.packing_measures import length_weights
from stages.select_rows import id_hashes

if TYPE_CHECKING:
    from stages.pack import Pack

COPIES_SEED = 0x7061636B
"""Hashes of copies are others than those by which earlier stages sample."""
_WHOLE = 2**20
"""Weights are counted in parts of this size, so that they are the same on every machine."""


class Documents(NamedTuple):
    """Those of a group that have tokens, in their order; arrays (n,)."""

    rows: Longs
    """Of the batch."""
    tokens: Longs
    copies: Longs
    """How often each is packed, 1 or more."""
    vectors: Units | None
    """(n, dimensions); None if one of the bucket has none."""
    graph: Graph | None
    """Edges to the neighbours that `order` found, if there are vectors."""


def copies_of(settings: "Pack", ids: pa.StringArray, tokens: Longs, seed: int) -> Longs:
    """How often each document (n,) is packed: its weight by length, rounded up or down by a hash of its id.

    Source: "Effective Long-Context Scaling of Foundation Models" (NAACL 2024), which raises the share of long ones.
    """
    if not settings.upsample or not len(tokens):
        return np.ones(len(tokens), np.int64)
    weights = length_weights(tokens, settings.context, settings.upsample, settings.most_copies)
    whole, rest = np.divmod(np.rint(weights * _WHOLE).astype(np.int64), _WHOLE)
    luck = id_hashes(ids.to_pylist(), (seed + COPIES_SEED) % 2**64)[:, 0] >> np.uint64(44)
    found: Longs = whole + (luck.astype(np.int64) < rest)
    return found


def tokens_of(rows: pa.RecordBatch) -> Longs:
    """Of each row (n,); 0 if they were not counted."""
    found: Longs = pc.fill_null(rows.column("tokens"), 0).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return found


def documents_of(settings: "Pack", rows: pa.RecordBatch, copies: Longs) -> Iterator[tuple[str, Documents]]:
    """The documents of each group that has any, by name; `copies` (n,) of all rows."""
    tokens, positions = tokens_of(rows), rows.column("position").to_numpy()
    usable, vectors = vectors_of(rows.column("embedding"))
    names, group = np.unique(groups_of(settings, rows).to_numpy(zero_copy_only=False), return_inverse=True)
    order = np.lexsort((positions, group))
    order = order[tokens[order] > 0]
    ends = np.searchsorted(group[order], np.arange(1, len(names)))
    for name, members in zip(names.tolist(), np.split(order, ends), strict=False):
        if not len(members):
            continue
        known = vectors[members] if usable.all() else None
        graph = None if known is None else _graph(rows.column("order_neighbours"), positions, members, known)
        yield name, Documents(members, tokens[members], copies[members], known, graph)


def packed(settings: "Pack", strategy: str, documents: Documents) -> list[Spans]:
    """The contexts of each pass: of the first copies of all, of the second copies, ...; numbers count on.

    `documents` of the spans count from 0 in the group.
    """
    passes, first = [], 0
    for number in range(int(documents.copies.max(initial=0))):
        chosen = np.flatnonzero(documents.copies > number)
        found = _packed_once(settings, strategy, _some(documents, chosen) if number else documents)
        passes.append(Spans(found.contexts + first, chosen[found.documents], found.begins, found.ends))
        first = int(passes[-1].contexts[-1]) + 1
    return passes


def joined(passes: Sequence[Spans]) -> Spans:
    """All as one."""
    return Spans(*(np.concatenate(column) for column in zip(*passes, strict=True)))


def places_of(spans: Spans) -> Longs:
    """Where in its context each part (m,) begins.

    >>> places_of(Spans(np.array([0, 0, 1]), np.array([0, 1, 2]), np.array([0, 0, 5]), np.array([3, 4, 7]))).tolist()
    [0, 3, 0]
    """
    lengths = spans.ends - spans.begins
    before = np.cumsum(lengths) - lengths
    fresh = np.flatnonzero(np.diff(spans.contexts, prepend=-1))
    found: Longs = before - np.repeat(before[fresh], np.diff(fresh, append=len(lengths)))
    return found


def _packed_once(settings: "Pack", strategy: str, documents: Documents) -> Spans:
    if strategy == "concat":
        return concatenated(documents.tokens, settings.context)
    if strategy == "next-fit":
        return next_fit(documents.tokens, settings.context)
    if documents.vectors is None or documents.graph is None or not settings.refine:
        return best_fit(documents.tokens, settings.context, settings.open)
    return refined(documents.tokens, settings.context, documents.vectors, documents.graph, settings.open)


def _some(documents: Documents, chosen: Longs) -> Documents:
    """Those of these numbers, ascending."""
    numbers = np.full(len(documents.rows), -1, np.int32)
    numbers[chosen] = np.arange(len(chosen), dtype=np.int32)
    graph = None if documents.graph is None else induced(documents.graph, numbers)
    vectors = None if documents.vectors is None else documents.vectors[chosen]
    return Documents(documents.rows[chosen], documents.tokens[chosen], documents.copies[chosen], vectors, graph)


def _graph(column: pa.ListArray, positions: Longs, members: Longs, vectors: Units) -> Graph:
    """The edges among `members` (n,) of a batch, in the order of their positions; lists are relative to these."""
    lists = column.take(pa.array(members))
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    owners = np.repeat(np.arange(len(members)), lengths)
    slots = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    given = positions[members]
    wanted = given[owners] + pc.list_flatten(lists).to_numpy()
    others = np.minimum(np.searchsorted(given, wanted), len(members) - 1)
    there = given[others] == wanted
    ids = np.full((len(members), int(lengths.max(initial=0))), -1, np.int32)
    ids[owners[there], slots[there]] = others[there]
    return undirected(ids, _similarities(vectors, ids))


def _similarities(vectors: Units, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    found = np.zeros(ids.shape, np.int32)
    there = ids >= 0
    found[there] = pair_similarities(vectors, np.nonzero(there)[0].astype(np.int32), ids[there])
    return found
