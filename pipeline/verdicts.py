"""Verdicts: which rows of a shard live, which were dropped by which stage and why, from the sidecars alone."""

from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pyarrow as pa

from pipeline.plan import Step
from pipeline.records import FileRecord
from pipeline.sidecars import Reaching, SidecarRecord, Tick, ensure_sidecar, load_sidecar
from pipeline.storage import Store
from stages.contract import Stage
from stages.contract_checks import decided


@dataclass(frozen=True)
class Shard:
    """A shard of the read step, and the rows in it that repeat an id seen before."""

    file: FileRecord
    repeated: tuple[int, ...] = ()


@dataclass(frozen=True)
class StageCounts:
    """The ledger of one stage, in documents: entered = kept + dropped + quarantined."""

    stage: str
    entered: int
    kept: int
    dropped: dict[str, int]
    """By drop reason."""
    quarantined: dict[str, int]
    """By reason."""


@dataclass
class Verdict:
    """What the stages said about the rows of one shard."""

    alive: np.ndarray
    """Boolean, one per row: kept by all stages so far."""
    dropped_by: np.ndarray
    """Object array: the stage that dropped the row, or None."""
    reason: np.ndarray
    """Object array: its reason, or None."""
    columns: pa.Table
    """What the stages added, one row per row of the shard; null where a stage did not see it."""
    counts: list[StageCounts]
    quarantines: list[str]
    """Files with rows on which a stage failed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage -> what it took to annotate the rows; the sum where the chain has several of the name."""


def judge(store: Store, steps: tuple[Step, ...], shard: Shard, tick: Tick) -> Verdict:
    """Run the chain on one shard: find or compute each stage's sidecar, then apply its thresholds."""
    rows = shard.file.rows
    alive = np.ones(rows, dtype=bool)
    alive[list(shard.repeated)] = False
    verdict = Verdict(alive, _nones(rows), _nones(rows), _no_columns(rows), [], [])
    for step in steps:
        tick = tick if step is steps[0] else _no_tick  # each document counts once
        record = ensure_sidecar(store, step, Reaching(shard.file, verdict.alive, verdict.columns), tick)
        _apply(verdict, cast(Stage, step.stage), record, load_sidecar(store, record))
    return verdict


def _no_tick(documents: int, text_bytes: int) -> None:
    """Progress that was counted already."""


def _apply(verdict: Verdict, stage: Stage, record: SidecarRecord, sidecar: pa.Table) -> None:
    entered = int(verdict.alive.sum())
    seen = sidecar.column("row").to_numpy()
    reasons = np.array(decided(stage, _as_batch(sidecar.select(stage.adds.names))), dtype=object)
    dropped = np.array([reason is not None for reason in reasons], dtype=bool)
    verdict.alive = np.zeros_like(verdict.alive)
    verdict.alive[seen[~dropped]] = True
    verdict.dropped_by[seen[dropped]] = stage.name
    verdict.reason[seen[dropped]] = reasons[dropped]
    verdict.columns = _widened(verdict.columns, sidecar, seen, stage.adds)
    by_reason = dict(sorted(Counter(reasons[dropped]).items()))
    kept = int(verdict.alive.sum())
    verdict.counts.append(StageCounts(stage.name, entered, kept, by_reason, record.quarantined))
    verdict.seconds[stage.name] = verdict.seconds.get(stage.name, 0.0) + record.seconds
    if record.quarantine:
        verdict.quarantines.append(record.quarantine)


def _widened(columns: pa.Table, sidecar: pa.Table, seen: np.ndarray, adds: pa.Schema) -> pa.Table:
    """Spread the sidecar's rows over all rows of the shard."""
    position = np.full(columns.num_rows, -1, dtype=np.int64)
    position[seen] = np.arange(len(seen))
    indices = pa.array(position, mask=position < 0)
    for added in adds:
        columns = columns.append_column(added, sidecar.column(added.name).take(indices))
    return columns


def _no_columns(rows: int) -> pa.Table:
    """A table of no columns loses its number of rows, so it starts with the row numbers."""
    return pa.table({"row": pa.array(np.arange(rows, dtype=np.int32))})


def _nones(rows: int) -> np.ndarray:
    return np.full(rows, None, dtype=object)


def _as_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
