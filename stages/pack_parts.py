"""One bucket: the contexts of its documents, as columns of the documents."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.ordering_graph import Longs
from stages.pack_documents import Documents, copies_of, documents_of, packed, places_of, tokens_of
from stages.pack_groups import check_groups, groups_of

if TYPE_CHECKING:
    from stages.pack import Pack
    from stages.packing_contexts import Spans

NO_BUCKET = 2**31 - 1
"""The part of the documents that `order` gave no bucket, since they have no vector."""
BUCKET = 2**32
"""Numbers of contexts for each bucket."""
PACKED, NO_TOKENS = "packed", "no_tokens"


class Pieces(NamedTuple):
    """Parts of documents in contexts; arrays (m,)."""

    rows: Longs
    copies: Longs
    """The copy of the document, from 0."""
    contexts: Longs
    """From 0 in the bucket."""
    places: Longs
    begins: Longs
    ends: Longs


@dataclass(frozen=True)
class PackParts:
    """The buckets of `order`."""

    settings: "Pack"
    seed: int

    def part(self, rows: pa.RecordBatch) -> np.ndarray:
        """The bucket of each row. Raises ConfigError if the groups cannot be made of the columns."""
        check_groups(self.settings, rows)
        found = pc.fill_null(rows.column("bucket"), NO_BUCKET).cast(pa.int32())
        return np.asarray(found.to_numpy(zero_copy_only=False))

    def solve(self, part: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The added columns of the rows of a bucket."""
        copies = copies_of(self.settings, rows.column("id"), tokens_of(rows), self.seed)
        pieces, first = [_no_pieces()], 0
        for _, documents in documents_of(self.settings, rows, copies):
            passes = packed(self.settings, self.settings.strategy, documents)
            pieces += [_pieces(documents, spans, number, first) for number, spans in enumerate(passes)]
            first += int(passes[-1].contexts[-1]) + 1
        assert first < BUCKET, "a bucket has numbers for its contexts"
        found = Pieces(*(np.concatenate(column) for column in zip(*pieces, strict=True)))
        return _answer(self.settings, part, rows, found)


def _no_pieces() -> Pieces:
    return Pieces(*(np.empty(0, np.int64) for _ in Pieces._fields))


def _pieces(documents: Documents, spans: "Spans", copy: int, first: int) -> Pieces:
    """Those of one pass over a group, whose contexts count on from `first`."""
    copies = np.full(len(spans.contexts), copy, np.int64)
    return Pieces(
        documents.rows[spans.documents], copies, spans.contexts + first, places_of(spans), spans.begins, spans.ends
    )


def _answer(settings: "Pack", part: int, rows: pa.RecordBatch, found: Pieces) -> pa.RecordBatch:
    """Copy by copy, and each in order of its tokens."""
    order = np.lexsort((found.begins, found.copies, found.rows))
    ends = np.cumsum(np.bincount(found.rows, minlength=rows.num_rows))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    kinds = settings.adds
    lists = {
        "context": part * BUCKET + found.contexts[order],
        "context_place": found.places[order],
        "context_begin": found.begins[order],
        "context_end": found.ends[order],
    }
    columns = [
        groups_of(settings, rows),
        *(
            pa.ListArray.from_arrays(offsets, pa.array(values, kinds.field(name).type.value_type))
            for name, values in lists.items()
        ),
        pc.if_else(pa.array(tokens_of(rows) > 0), PACKED, NO_TOKENS),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=kinds)
