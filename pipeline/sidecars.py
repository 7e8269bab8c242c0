"""Sidecars: what one stage adds to the documents of one shard, in a file beside the shard, text never copied.

A sidecar holds `row` (of the shard), `id`, and the columns that the stage adds, for the rows that reached the stage and
that it could process.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.documents import PROVENANCE
from pipeline.formats import BadRecord, Place
from pipeline.plan import Step
from pipeline.quarantine import Quarantine
from pipeline.records import FileRecord, file_record, is_there, read_record
from pipeline.shards import ShardWriter, masked_rows, read_table
from pipeline.storage import HashedFile, Store
from stages.contract import Annotate, BatchStage, checked
from stages.errors import TamisError

Tick = Callable[[int, int], None]

_ROW = pa.field("row", pa.int32(), nullable=False)
_ID = pa.field("id", pa.string(), nullable=False)
_ROW_GROUP_BYTES = 16_000_000
_STAGE_ERROR = "stage_error"


@dataclass(frozen=True)
class SidecarRecord:
    """What a stage did with one shard."""

    file: FileRecord
    quarantined: dict[str, int]
    """Rows on which the stage failed, by reason."""
    quarantine: str
    """File with those rows, or an empty string."""


def sidecar_schema(stage: BatchStage) -> pa.Schema:
    """Columns of the stage's sidecars."""
    return pa.schema([_ROW, _ID, *stage.adds])


def record_name(step: Step, shard: str) -> str:
    """Where the record of a sidecar lies."""
    return f"{step.directory}/records/{_base(shard)}.json"


@dataclass(frozen=True)
class Reaching:
    """The rows of a shard that reach a stage, and what earlier stages added to them."""

    shard: FileRecord
    alive: np.ndarray
    """Boolean mask, one per row of the shard."""
    known: pa.Table
    """`row`, and the columns that earlier stages added, one row per row of the shard."""


def ensure_sidecar(store: Store, step: Step, reaching: Reaching, tick: Tick) -> SidecarRecord:
    """The sidecar of a shard: found finished, or computed."""
    shard = reaching.shard
    found = read_record(store, record_name(step, shard.name), SidecarRecord)
    if found and is_there(store, found.file):
        tick(shard.rows, shard.text_bytes)
        return found
    return _compute(store, step, reaching, tick)


def load_sidecar(store: Store, record: SidecarRecord) -> pa.Table:
    """All columns of a sidecar."""
    return read_table(store, record.file.name)


def opened(stage: BatchStage) -> Annotate:
    """The stage's function, its models loaded once per process."""
    return _opened(cast(Hashable, stage))


@lru_cache(maxsize=16)
def _opened(stage: Hashable) -> Annotate:
    return cast(BatchStage, stage).open()


def _compute(store: Store, step: Step, reaching: Reaching, tick: Tick) -> SidecarRecord:
    stage, base = cast(BatchStage, step.stage), _base(reaching.shard.name)
    name = f"{step.directory}/{base}.parquet"
    quarantine_name = f"{step.directory}/quarantine-{base}.parquet"
    with Quarantine(store, quarantine_name, step.name) as quarantine, store.create(name) as sink:
        rows = _write(sink, store, stage, reaching, quarantine, tick)
    counts = dict(sorted(quarantine.counts.items()))
    record = SidecarRecord(file_record(name, sink, rows, 0), counts, quarantine_name if counts else "")
    store.write_json(record_name(step, reaching.shard.name), record)
    return record


def _write(
    sink: HashedFile, store: Store, stage: BatchStage, reaching: Reaching, quarantine: Quarantine, tick: Tick
) -> int:
    rows = 0
    known = reaching.known.select(["row", *(name for name in stage.reads if name in reaching.known.column_names)])
    read = dict.fromkeys(["id", *(name for name in stage.reads if name not in known.column_names), *PROVENANCE.names])
    with ShardWriter(sink, sidecar_schema(stage), _ROW_GROUP_BYTES) as writer:
        for batch in masked_rows(store, reaching.shard.name, reaching.alive, known, list(read)):
            answer = _annotate(stage, batch, quarantine)
            writer.write(answer, answer.nbytes)
            rows += answer.num_rows
            tick(batch.num_rows, pc.sum(batch.column("text_bytes")).as_py())
    return rows


def _annotate(stage: BatchStage, batch: pa.RecordBatch, quarantine: Quarantine) -> pa.RecordBatch:
    """The sidecar rows of a batch. If the stage fails, each row is tried alone and only the failing ones are lost."""
    annotate = opened(stage)
    try:
        answer = checked(stage, batch, annotate(batch))
    except (TamisError, MemoryError):
        raise
    except Exception as error:
        return _one_by_one(stage, batch, quarantine, error)
    return _with_rows(stage, batch, answer)


def _one_by_one(stage: BatchStage, batch: pa.RecordBatch, quarantine: Quarantine, error: Exception) -> pa.RecordBatch:
    if batch.num_rows > 1:
        rows = [_annotate(stage, batch.slice(index, 1), quarantine) for index in range(batch.num_rows)]
        return pa.concat_batches(rows)
    row = batch.to_pylist()[0]
    place = Place(row["url"], row["line"], row["offset"])
    quarantine.add(BadRecord(place, _STAGE_ERROR, f"{stage.name}: {type(error).__name__}"), row["id"])
    return pa.RecordBatch.from_pylist([], schema=sidecar_schema(stage))


def _with_rows(stage: BatchStage, batch: pa.RecordBatch, answer: pa.RecordBatch) -> pa.RecordBatch:
    columns = [batch.column("row"), batch.column("id"), *answer.columns]
    return pa.RecordBatch.from_arrays(columns, schema=sidecar_schema(stage))


def _base(shard: str) -> str:
    return shard.rsplit("/", 1)[-1].removesuffix(".parquet")
