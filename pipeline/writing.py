"""The write step: one part of the result, and beside it the documents that were dropped on the way."""

import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
from pipeline.storage import Store
from pipeline.verdicts import Shard, Verdict, judge

SAMPLES = 20
"""Dropped documents per part and reason whose text is kept for inspection, cut to SAMPLE_CHARACTERS."""
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
    index: int
    shards: tuple[Shard, ...]
    schema: pa.Schema
    row_group_bytes: int

    @property
    def record_name(self) -> str:
        """Where its record lies, relative to the run directory."""
        return f"records/part-{self.index:05d}.json"


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
    """Group neighbouring shards into parts of at most `part_bytes` of kept text (at least one shard each)."""
    parts: list[list[Shard]] = [[]]
    held = 0
    for shard, size in zip(shards, kept_bytes, strict=True):
        if parts[-1] and held and held + size > part_bytes:
            parts.append([])
            held = 0
        parts[-1].append(shard)
        held += size
    return [tuple(part) for part in parts]


def write_part(task: PartTask, tick: Tick) -> PartRecord:
    """Write the kept rows of some shards to `data/` and the dropped ones to `dropped/`, and publish the record."""
    began = time.monotonic()
    data, dropped = (f"{kind}/part-{task.index:05d}.parquet" for kind in ("data", "dropped"))
    verdicts = [judge(task.store, task.steps, shard, lambda documents, size: None) for shard in task.shards]
    with task.store.create(data) as sink, ShardWriter(sink, task.schema, task.row_group_bytes) as writer:
        rows, size = _write_kept(task, verdicts, writer, tick)
    with task.store.create(dropped) as dropped_sink:
        dropped_rows = _write_dropped(task, verdicts, dropped_sink)
    record = PartRecord(
        data=file_record(data, sink, rows, size),
        dropped=file_record(dropped, dropped_sink, dropped_rows, 0),
        seconds=round(time.monotonic() - began, 3),
    )
    task.store.write_json(task.record_name, record)
    return record


def _write_kept(task: PartTask, verdicts: list[Verdict], writer: ShardWriter, tick: Tick) -> tuple[int, int]:
    rows = size = 0
    columns = [*RESERVED.names, "text_bytes"]
    for shard, verdict in zip(task.shards, verdicts, strict=True):
        batches = masked_rows(task.store, shard.file.name, verdict.alive, verdict.columns, columns)
        for batch, text_bytes in (piece for whole in batches for piece in pieces(whole, task.row_group_bytes)):
            writer.write(batch.select(task.schema.names).cast(task.schema), text_bytes)
            rows, size = rows + batch.num_rows, size + text_bytes
            tick(batch.num_rows, text_bytes)
    return rows, size


def _write_dropped(task: PartTask, verdicts: list[Verdict], sink: object) -> int:
    """Dropped rows: identity, reason and scores; the text only of a bounded sample."""
    adds = [field for field in task.schema if field.name not in RESERVED.names]
    schema = pa.schema([*_DROPPED, *adds])
    samples = _samples(task, verdicts)
    rows = 0
    with ShardWriter(sink, schema, task.row_group_bytes) as writer:
        for number, (shard, verdict) in enumerate(zip(task.shards, verdicts, strict=True)):
            for batch in _dropped_rows(task.store, shard, verdict, samples[number]):
                writer.write(batch.select(schema.names).cast(schema), batch.nbytes)
                rows += batch.num_rows
    return rows


def _dropped_rows(store: Store, shard: Shard, verdict: Verdict, sampled: set[int]) -> Iterator[pa.RecordBatch]:
    mask = np.array([stage is not None for stage in verdict.dropped_by], dtype=bool)
    extra = verdict.columns.append_column("dropped_by", pa.array(verdict.dropped_by, pa.string()))
    extra = extra.append_column("drop_reason", pa.array(verdict.reason, pa.string()))
    for batch in masked_rows(store, shard.file.name, mask, extra, ["id", "text", "source"]):
        shown = pa.array([row in sampled for row in batch.column("row").to_pylist()], pa.bool_())
        text = pc.if_else(shown, batch.column("text"), pa.scalar(None, pa.string()))
        yield batch.set_column(
            batch.schema.get_field_index("text"), "text", pc.utf8_slice_codeunits(text, 0, SAMPLE_CHARACTERS)
        )


def _samples(task: PartTask, verdicts: list[Verdict]) -> list[set[int]]:
    """For each shard the rows whose text is shown: per reason those with the smallest hashes of their ids."""
    by_reason: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    for number, (shard, verdict) in enumerate(zip(task.shards, verdicts, strict=True)):
        for row, id_ in _dropped_ids(task.store, shard, verdict):
            key = (verdict.dropped_by[row], verdict.reason[row])
            by_reason[key].append((xxhash.xxh3_64_intdigest(id_.encode()), number, row))
    chosen = [item for items in by_reason.values() for item in heapq.nsmallest(SAMPLES, items)]
    return [{row for _, shard, row in chosen if shard == number} for number in range(len(verdicts))]


def _dropped_ids(store: Store, shard: Shard, verdict: Verdict) -> Iterable[tuple[int, str]]:
    rows = [row for row, stage in enumerate(verdict.dropped_by) if stage is not None]
    if not rows:
        return []
    ids = read_table(store, shard.file.name, ["id"]).column("id").take(rows).to_pylist()
    return zip(rows, ids, strict=True)
