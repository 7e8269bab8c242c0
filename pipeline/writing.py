"""The write step: one part of the result, and beside it the documents that were dropped on the way."""

import heapq
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.documents import RESERVED
from pipeline.plan import Step
from pipeline.records import FileRecord, file_record, is_there, read_record
from pipeline.shards import ShardWriter, masked_rows, pieces, read_table
from pipeline.sidecars import Tick
from pipeline.storage import HashedFile, Store
from pipeline.verdicts import Shard, Verdict, judge

MOST_READ = 16
"""A part covers at most this many times its size of text that was read."""
SAMPLES = 20
"""Dropped documents per shard and reason whose text is kept for inspection, cut to SAMPLE_CHARACTERS."""
SAMPLE_CHARACTERS = 2000
_DROPPED = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("dropped_by", pa.string(), nullable=False),
    pa.field("drop_reason", pa.string(), nullable=False),
    pa.field("text", pa.string()),
]


@dataclass(frozen=True)
class PartTask:
    """What one task of the write step needs."""

    store: Store
    steps: tuple[Step, ...]
    directory: str
    """Of the write step: its hash covers everything, so the parts of other settings are never taken for its own."""
    index: int
    shards: tuple[Shard, ...]
    schema: pa.Schema
    row_group_bytes: int

    @property
    def record_name(self) -> str:
        """Where its record lies, relative to the run directory."""
        return f"{self.directory}/records/part-{self.index:05d}.json"


@dataclass(frozen=True)
class PartRecord:
    """A finished part."""

    data: FileRecord
    dropped: FileRecord
    seconds: float


def finished_part(task: PartTask) -> PartRecord | None:
    """The record of a part that is done already, if its files are there."""
    record = read_record(task.store, task.record_name, PartRecord)
    return record if record and is_there(task.store, record.data) and is_there(task.store, record.dropped) else None


def plan_parts(shards: Sequence[Shard], kept_bytes: Sequence[int], part_bytes: int) -> list[tuple[Shard, ...]]:
    """Group neighbouring shards into parts of at most `part_bytes` of kept text (at least one shard each).

    Where little is kept, a part ends after MOST_READ times as much text that was read, so that no task grows with the
    corpus.
    """
    parts: list[list[Shard]] = [[]]
    held = read = 0
    for shard, size in zip(shards, kept_bytes, strict=True):
        too_much = (held and held + size > part_bytes) or read + shard.file.text_bytes > MOST_READ * part_bytes
        if parts[-1] and too_much:
            parts.append([])
            held = read = 0
        parts[-1].append(shard)
        held, read = held + size, read + shard.file.text_bytes
    return [tuple(part) for part in parts]


def write_part(task: PartTask, tick: Tick) -> PartRecord:
    """Write the kept rows of some shards to `data/` and the dropped ones to `dropped/`, and publish the record."""
    began = time.monotonic()
    data, dropped = (f"{kind}/part-{task.index:05d}.parquet" for kind in ("data", "dropped"))
    with task.store.create(data) as sink, task.store.create(dropped) as dropped_sink:
        rows, size, dropped_rows = _write(task, sink, dropped_sink, tick)
    record = PartRecord(
        data=file_record(data, sink, rows, size),
        dropped=file_record(dropped, dropped_sink, dropped_rows, 0),
        seconds=round(time.monotonic() - began, 3),
    )
    task.store.write_json(task.record_name, record)
    return record


def dropped_schema(schema: pa.Schema) -> pa.Schema:
    """Columns of `dropped/`: identity, reason, text of a sample, and what the stages added."""
    return pa.schema([*_DROPPED, *(field for field in schema if field.name not in RESERVED.names)])


def _write(task: PartTask, sink: HashedFile, dropped_sink: HashedFile, tick: Tick) -> tuple[int, int, int]:
    """Shard by shard, so that memory does not grow with their number; rows kept, bytes of their text, rows dropped."""
    rows = size = dropped_rows = 0
    schema = dropped_schema(task.schema)
    with (
        ShardWriter(sink, task.schema, task.row_group_bytes) as kept,
        ShardWriter(dropped_sink, schema, task.row_group_bytes) as dropped,
    ):
        for shard in task.shards:
            verdict = judge(task.store, task.steps, shard, lambda documents, size: None)
            more, text_bytes = _write_kept(task, shard, verdict, kept, tick)
            rows, size = rows + more, size + text_bytes
            for batch in _dropped_rows(task.store, shard, verdict):
                dropped.write(batch.select(schema.names).cast(schema), batch.nbytes)
                dropped_rows += batch.num_rows
    return rows, size, dropped_rows


def _write_kept(task: PartTask, shard: Shard, verdict: Verdict, writer: ShardWriter, tick: Tick) -> tuple[int, int]:
    rows = size = 0
    columns = [*RESERVED.names, "text_bytes"]
    for whole in masked_rows(task.store, shard.file.name, verdict.alive, verdict.columns, columns):
        for batch, held in pieces(whole, task.row_group_bytes):
            writer.write(batch.select(task.schema.names).cast(task.schema), held)
        text_bytes = pc.sum(whole.column("text_bytes")).as_py()
        rows, size = rows + whole.num_rows, size + text_bytes
        tick(whole.num_rows, text_bytes)
    return rows, size


def _dropped_rows(store: Store, shard: Shard, verdict: Verdict) -> Iterator[pa.RecordBatch]:
    """Dropped rows: identity, reason and scores; the text only of a bounded sample."""
    mask = np.array([stage is not None for stage in verdict.dropped_by], dtype=bool)
    sampled = _sample(store, shard, verdict, np.flatnonzero(mask))
    extra = verdict.columns.append_column("dropped_by", pa.array(verdict.dropped_by, pa.string()))
    extra = extra.append_column("drop_reason", pa.array(verdict.reason, pa.string()))
    for batch in masked_rows(store, shard.file.name, mask, extra, ["id", "text", "source"]):
        shown = pa.array([row in sampled for row in batch.column("row").to_pylist()], pa.bool_())
        text = pc.if_else(shown, batch.column("text"), pa.scalar(None, pa.string()))
        yield batch.set_column(
            batch.schema.get_field_index("text"), "text", pc.utf8_slice_codeunits(text, 0, SAMPLE_CHARACTERS)
        )


def _sample(store: Store, shard: Shard, verdict: Verdict, rows: np.ndarray) -> set[int]:
    """Rows whose text is shown: per reason those with the smallest hashes of their ids."""
    if not len(rows):
        return set()
    ids = read_table(store, shard.file.name, ["id"]).column("id").take(rows).to_pylist()
    by_reason: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for row, id_ in zip(rows.tolist(), ids, strict=True):
        by_reason[verdict.dropped_by[row], verdict.reason[row]].append((xxhash.xxh3_64_intdigest(id_.encode()), row))
    return {row for found in by_reason.values() for _, row in heapq.nsmallest(SAMPLES, found)}
