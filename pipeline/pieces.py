"""Pieces: record batches one after the other in a file, each found by its bytes; cheap by the thousand, never kept.

A piece is an Arrow message without its schema, which reader and writer know; so there is no footer to read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.records import FileRecord, file_record
from pipeline.storage import Store


@dataclass(frozen=True)
class Piece:
    """One or more batches in a row."""

    file: str
    """Relative to the run directory."""
    begin: int
    end: int
    """Bytes."""


def write_pieces(store: Store, name: str, batches: Iterable[pa.RecordBatch]) -> tuple[FileRecord, tuple[int, ...]]:
    """Publish batches as a file; with the byte at which each ends."""
    ends, rows = [], 0
    with store.create(name) as sink:
        for batch in batches:
            sink.write(batch.serialize())
            ends.append(sink.size)
            rows += batch.num_rows
    return file_record(name, sink, rows, 0), tuple(ends)


def read_pieces(store: Store, pieces: Sequence[Piece], schema: pa.Schema) -> list[list[pa.RecordBatch]]:
    """The batches of each piece."""
    return [_read(store.read_range(piece.file, piece.begin, piece.end), schema) for piece in pieces]


def _read(data: bytes, schema: pa.Schema) -> list[pa.RecordBatch]:
    reader, batches = pa.BufferReader(data), []
    while reader.tell() < len(data):
        batches.append(pa.ipc.read_record_batch(pa.ipc.read_message(reader), schema))
    return batches
