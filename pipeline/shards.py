"""Parquet shards: explicit schema, zstd, row groups bounded by bytes of text, the same bytes for the same rows."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage import Store

MIB = 1 << 20
BATCH_ROWS = 1024
_LONG_COLUMNS = frozenset({"id", "text", "metadata", "text_hash"})
"""Nearly unique values: no dictionary and no statistics, which would cost time and space for nothing."""


class ShardWriter:
    """Writes record batches into one Parquet file; a row group ends before its text passes `row_group_bytes`.

    `level` is zstd's: the result is worth 3; what only the next step reads is written at 1, a third faster.
    """

    def __init__(self, sink: Any, schema: pa.Schema, row_group_bytes: int, level: int = 3) -> None:
        short = [field.name for field in schema if field.name not in _LONG_COLUMNS]
        self._schema = schema
        self._limit = row_group_bytes
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._writer = pq.ParquetWriter(
            sink, schema, compression="zstd", compression_level=level, use_dictionary=short, write_statistics=short
        )

    def write(self, batch: pa.RecordBatch, text_bytes: int) -> None:
        """Add rows that hold `text_bytes` bytes of text."""
        if self._held and self._held_bytes + text_bytes > self._limit:
            self._flush()
        self._held.append(batch)
        self._held_bytes += text_bytes

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._held, self._schema)
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._held, self._held_bytes = [], 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._held = []
            self._writer.close()


def pieces(batch: pa.RecordBatch, most_bytes: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Slices of at most `most_bytes` of text and metadata each (or one row); with those bytes."""
    begin = held = 0
    for row, size in enumerate(_row_bytes(batch)):
        if row > begin and held + size > most_bytes:
            yield batch.slice(begin, row - begin), held
            begin, held = row, 0
        held += size
    if batch.num_rows:
        yield batch.slice(begin), held


def _row_bytes(batch: pa.RecordBatch) -> list[int]:
    sizes = batch.column("text_bytes")
    if "metadata" in batch.schema.names:
        sizes = pc.add(sizes, pc.binary_length(batch.column("metadata")).cast(pa.int64()))
    return list(sizes.to_pylist())


def write_table(store: Store, name: str, table: pa.Table) -> None:
    """Publish a small table as one Parquet file."""
    with store.create(name) as sink, ShardWriter(sink, table.schema, table.nbytes + 1) as writer:
        for batch in table.to_batches():
            writer.write(batch, batch.nbytes)


def read_table(store: Store, name: str, columns: list[str] | None = None) -> pa.Table:
    """The narrow columns of a shard at once."""
    with store.open(name) as file:
        return pq.ParquetFile(file).read(columns=columns, use_threads=False)


def iter_batches(file: IO[bytes], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a shard in order, at most BATCH_ROWS at once, one row group in memory at a time."""
    parquet = pq.ParquetFile(file, pre_buffer=False)
    for group in range(parquet.num_row_groups):
        yield from parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)


def masked_rows(
    store: Store, name: str, mask: np.ndarray, beside: pa.Table, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The rows of a shard where `mask` (boolean, one per row) is true, in order: `columns` of the shard, and after them
    all columns of `beside`, which has one row per row of the shard."""
    begin = 0
    if not mask.any():
        return
    with store.open(name) as file:
        for batch in iter_batches(file, list(columns)):
            end = begin + batch.num_rows
            added = [
                beside.column(other).slice(begin, batch.num_rows).combine_chunks() for other in beside.column_names
            ]
            whole = pa.RecordBatch.from_arrays([*batch.columns, *added], names=[*columns, *beside.column_names])
            chosen = mask[begin:end]
            begin = end
            if chosen.any():
                yield whole if chosen.all() else whole.filter(pa.array(chosen))
