"""Parquet as trainers read it: small row groups, and a footer that vouches for all bytes before it."""

import itertools
from collections.abc import Mapping
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contexts_layout import PART_BYTES, TOKEN_BYTES, Longs
from pipeline.storage import HashedFile

ROW_GROUP_BYTES = 4_000_000
"""Before compression: a reader that wants one context holds as many."""
CONTEXT_COLUMNS = (
    pa.field("context", pa.int64(), nullable=False),
    pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
    pa.field("ids", pa.list_(pa.string()), nullable=False),
    pa.field("begins", pa.list_(pa.int64()), nullable=False),
    pa.field("boundaries", pa.list_(pa.int32()), nullable=False),
)
_REPEATING = ("input_ids.list.element", "boundaries.list.element", "group")
_KEPT = ("context", "sample", "epoch", "input_ids.list.element")
"""Columns with statistics; ids are long, and all different."""


def context_schema(*, input_ids: bool) -> pa.Schema:
    """Columns of the files of contexts."""
    return pa.schema([field for field in CONTEXT_COLUMNS if input_ids or field.name != "input_ids"])


class ContextWriter:
    """Writes tables as row groups of a file; the facts about it, and the hash of all row groups, go to its footer."""

    def __init__(self, sink: HashedFile, schema: pa.Schema, facts: Mapping[str, str]) -> None:
        self._sink, self._facts = sink, facts
        self._writer = pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=list(_REPEATING),
            write_statistics=list(_KEPT),
        )

    def write(self, table: pa.Table) -> None:
        """Add a row group."""
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def __enter__(self) -> "ContextWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            facts = {f"tamis.{name}": value for name, value in self._facts.items()}
            self._writer.add_key_value_metadata({**facts, "tamis.xxh3": self._sink.hexdigest()})
        self._writer.close()


def row_groups(tokens: Longs, parts: Longs) -> list[tuple[int, int]]:
    """Ranges of contexts that make a row group each, of contexts with so many tokens (n,) and parts (n,).

    >>> row_groups(np.array([600_000, 600_000, 10]), np.array([1, 1, 1]))
    [(0, 2), (2, 3)]
    """
    sizes = tokens * TOKEN_BYTES + parts * PART_BYTES
    numbers = (np.cumsum(sizes) - sizes) // ROW_GROUP_BYTES
    return list(itertools.pairwise([*np.flatnonzero(np.diff(numbers, prepend=-1)).tolist(), len(sizes)]))
