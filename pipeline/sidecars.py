"""Sidecars: what one stage adds to the documents of one shard, in a file beside the shard, text never copied.

A sidecar holds `row` (of the shard), `id`, and the columns that the stage adds, for the rows that reached the stage and
that it could process.
"""

import time
from collections.abc import Callable, Hashable, Iterable
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
from pipeline.survey_state import finished_state
from stages.contract import Annotate, BatchStage, Stage, SurveyStage, is_group, is_survey
from stages.contract_checks import checked
from stages.errors import EngineError, TamisError

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
    seconds: float = 0.0
    """What it took to annotate the rows; 0 where a group stage did."""


def sidecar_schema(stage: Stage) -> pa.Schema:
    """Columns of the stage's sidecars."""
    return pa.schema([_ROW, _ID, *stage.adds])


def record_name(step: Step, shard: str) -> str:
    """Where the record of a sidecar lies."""
    return f"{step.directory}/records/{base_of(shard)}.json"


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
    found = finished_sidecar(store, step, shard.name)
    if found:
        tick(shard.rows, shard.text_bytes)
        return found
    if is_group(step.stage):
        raise EngineError(f"{record_name(step, shard.name)} is not gathered, which is a fault of Tamis: run again")
    return _compute(store, step, reaching, tick)


def finished_sidecar(store: Store, step: Step, shard: str) -> SidecarRecord | None:
    """The record of a sidecar that is there."""
    found = read_record(store, record_name(step, shard), SidecarRecord)
    return found if found and is_there(store, found.file) else None


def publish_sidecar(store: Store, step: Step, shard: str, batches: Iterable[pa.RecordBatch]) -> SidecarRecord:
    """Write a sidecar whose rows, in order of the shard, were made elsewhere."""
    name, rows = f"{step.directory}/{base_of(shard)}.parquet", 0
    schema = sidecar_schema(cast(Stage, step.stage))
    with store.create(name) as sink, ShardWriter(sink, schema, _ROW_GROUP_BYTES) as writer:
        for batch in batches:
            writer.write(batch, batch.nbytes)
            rows += batch.num_rows
    record = SidecarRecord(file_record(name, sink, rows, 0), {}, "")
    store.write_json(record_name(step, shard), record)
    return record


def load_sidecar(store: Store, record: SidecarRecord) -> pa.Table:
    """All columns of a sidecar."""
    return read_table(store, record.file.name)


def opened(stage: BatchStage) -> Annotate:
    """The stage's function, its models loaded once per process."""
    return _opened(cast(Hashable, stage))


@lru_cache(maxsize=16)
def _opened(stage: Hashable) -> Annotate:
    return cast(BatchStage, stage).open()


@lru_cache(maxsize=16)
def _opened_with(store: Store, step: Step) -> Annotate:
    """The function of a survey stage; its finished state is read once per process."""
    survey = cast(SurveyStage, step.stage)
    return survey.open_with(finished_state(store, step))


@dataclass(frozen=True)
class _Work:
    """A stage at work on one shard."""

    store: Store
    step: Step
    quarantine: Quarantine

    @property
    def stage(self) -> Stage:
        return cast(Stage, self.step.stage)

    @property
    def annotate(self) -> Annotate:
        """Opened when the first row comes: a shard without rows loads no model."""
        survey = is_survey(self.stage)
        return _opened_with(self.store, self.step) if survey else opened(cast(BatchStage, self.stage))


def _compute(store: Store, step: Step, reaching: Reaching, tick: Tick) -> SidecarRecord:
    began = time.monotonic()
    base = base_of(reaching.shard.name)
    name = f"{step.directory}/{base}.parquet"
    quarantine_name = f"{step.directory}/quarantine-{base}.parquet"
    with Quarantine(store, quarantine_name, step.name) as quarantine, store.create(name) as sink:
        rows = _write(_Work(store, step, quarantine), sink, reaching, tick)
    counts = dict(sorted(quarantine.counts.items()))
    seconds = round(time.monotonic() - began, 3)
    record = SidecarRecord(file_record(name, sink, rows, 0), counts, quarantine_name if counts else "", seconds)
    store.write_json(record_name(step, reaching.shard.name), record)
    return record


def _write(work: _Work, sink: HashedFile, reaching: Reaching, tick: Tick) -> int:
    rows, stage = 0, work.stage
    known = reaching.known.select(["row", *(name for name in stage.reads if name in reaching.known.column_names)])
    read = dict.fromkeys(["id", *(name for name in stage.reads if name not in known.column_names), *PROVENANCE.names])
    with ShardWriter(sink, sidecar_schema(stage), _ROW_GROUP_BYTES) as writer:
        for batch in masked_rows(work.store, reaching.shard.name, reaching.alive, known, list(read)):
            answer = _annotate(work, batch)
            writer.write(answer, answer.nbytes)
            rows += answer.num_rows
            tick(batch.num_rows, pc.sum(batch.column("text_bytes")).as_py())
    return rows


def _annotate(work: _Work, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The sidecar rows of a batch. If the stage fails, each row is tried alone and only the failing ones are lost."""
    annotate = work.annotate
    try:
        answer = checked(work.stage, batch, annotate(batch))
    except (TamisError, MemoryError):
        raise
    except Exception as error:
        return _one_by_one(work, batch, error)
    return _with_rows(work.stage, batch, answer)


def _one_by_one(work: _Work, batch: pa.RecordBatch, error: Exception) -> pa.RecordBatch:
    if batch.num_rows > 1:
        rows = [_annotate(work, batch.slice(index, 1)) for index in range(batch.num_rows)]
        return pa.concat_batches(rows)
    row = batch.to_pylist()[0]
    place = Place(row["url"], row["line"], row["offset"])
    work.quarantine.add(BadRecord(place, _STAGE_ERROR, f"{work.stage.name}: {type(error).__name__}"), row["id"])
    return pa.RecordBatch.from_pylist([], schema=sidecar_schema(work.stage))


def _with_rows(stage: Stage, batch: pa.RecordBatch, answer: pa.RecordBatch) -> pa.RecordBatch:
    columns = [batch.column("row"), batch.column("id"), *answer.columns]
    return pa.RecordBatch.from_arrays(columns, schema=sidecar_schema(stage))


def base_of(shard: str) -> str:
    """`steps/00-read-.../shard-00001.parquet` -> `shard-00001`."""
    return shard.rsplit("/", 1)[-1].removesuffix(".parquet")
