"""The exchange: rows brought together by part, solved there, and sent back to their shards, by the verb `map` alone.

    scatter   per shard: the rows that reach the stage, narrowed and sorted by part; one piece per part
    solve     per few neighbouring parts, or a large one: its pieces of all shards; one piece per shard comes out
    gather    per shard: its pieces of all solved parts, in order of rows, as the ordinary sidecar of the stage

Every file is written once, by one task, and recorded, so a killed run goes on where it was. What a stage sees of a part
is sorted by id, so the sidecars depend on neither the shards' order nor workers nor engine. What it measures of its
answers is in the records of `solve`, and is summed up before there are sidecars. A task of `solve` holds one part, or
TASK_BYTES of small ones, about three times over. On disk, the gathered columns and what was added lie once
beside the sidecars, uncompressed, until all sidecars are there.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import pyarrow as pa

from pipeline.documents import PROVENANCE, RESERVED
from pipeline.exchange_tasks import (
    GatherTask,
    PiecesRecord,
    ScatterTask,
    SolveTask,
    exchange_directory,
    gather_tasks,
    solve_tasks,
)
from pipeline.measures import combined, save_measures
from pipeline.parts import one_batch, placed, solved
from pipeline.pieces import read_pieces, write_pieces
from pipeline.plan import Step
from pipeline.records import is_there, read_record
from pipeline.shards import BATCH_ROWS
from pipeline.sidecars import (
    SidecarRecord,
    Tick,
    finished_sidecar,
    publish_sidecar,
    sidecar_schema,
)
from pipeline.storage import Store
from pipeline.survey_state import finished_state
from pipeline.surveys import reaching_rows
from pipeline.verdicts import Shard
from stages.contract import GroupStage, Parts, gathers
from stages.errors import EngineError

Task = TypeVar("Task")
Result = TypeVar("Result")

_PART = pa.field("__part", pa.int32(), nullable=False)
_ROW = pa.field("row", pa.int32(), nullable=False)


class Phase(Protocol):
    """Does all tasks of a phase: those found finished, and the rest by the engine."""

    def __call__(
        self,
        name: str,
        tasks: Sequence[Task],
        finished: Callable[[Task], Result | None],
        function: Callable[[Task, Tick], Result],
        /,
    ) -> list[Result]:
        """Results in order of tasks."""
        ...


def exchange(store: Store, steps: tuple[Step, ...], shards: Sequence[Shard], phase: Phase) -> None:
    """See that the last of `steps`, a group stage whose survey is finished, has its sidecars for all shards."""
    step = steps[-1]
    if any(finished_sidecar(store, step, shard.file.name) is None for shard in shards):
        scatters = [ScatterTask(store, steps, shard) for shard in shards]
        scattered = phase(f"{step.name} scatter", scatters, _finished, scatter)
        solves = solve_tasks(store, steps, scattered)
        records = phase(f"{step.name} solve", solves, _finished, solve)
        save_measures(store, step, [record.measures for record in records])
        last = gather_tasks(store, step, shards, scattered, records)
        phase(f"{step.name} gather", last, finished_gather, gather)
    store.remove(exchange_directory(step))


def scatter(task: ScatterTask, tick: Tick) -> PiecesRecord:
    """Write the rows of a shard that reach the stage, one piece per part."""
    step, stage = task.steps[-1], _stage(task.steps)
    rows = reaching_rows(task.store, task.steps, task.shard, (_ROW.name,))
    numbers = np.zeros(0, dtype=np.int32)
    if rows.num_rows:
        numbers = placed(stage, opened_parts(task.store, step), rows.select(list(gathers(stage))))
    order = np.argsort(numbers, kind="stable")
    found, begins = np.unique(numbers[order], return_index=True)
    columns = [pa.array(numbers), *rows.columns]
    sorted_rows = pa.RecordBatch.from_arrays(columns, schema=_scattered_schema(task.steps)).take(pa.array(order))
    record = _publish(task.store, task.record_name, found, _slices(sorted_rows, begins))
    tick(task.shard.file.rows, task.shard.file.text_bytes)
    return record


def solve(task: SolveTask, tick: Tick) -> PiecesRecord:
    """Let the stage see the rows of each part, and write what it adds, one piece per shard."""
    stage = _stage(task.steps)
    found = read_pieces(task.store, task.pieces, _scattered_schema(task.steps))
    shard = np.repeat(task.shards, [sum(batch.num_rows for batch in batches) for batches in found])
    rows = one_batch([batch for batches in found for batch in batches], _scattered_schema(task.steps))
    del found
    numbers = rows.column(_PART.name).to_numpy()
    parts = opened_parts(task.store, task.steps[-1])
    measures: list[Any] = []
    added = solved(stage, parts, numbers, rows.select(list(gathers(stage))), measures)
    columns = [rows.column(_ROW.name), rows.column("id"), *added.columns]
    order = np.lexsort((rows.column(_ROW.name).to_numpy(), shard))
    answer = pa.RecordBatch.from_arrays(columns, schema=sidecar_schema(stage)).take(pa.array(order))
    keys, begins = np.unique(shard, return_index=True)
    record = _publish(task.store, task.record_name, keys, _slices(answer, begins), combined(stage, measures))
    tick(rows.num_rows, 0)
    return record


def finished_gather(task: GatherTask) -> SidecarRecord | None:
    """The record of a sidecar that is there."""
    return finished_sidecar(task.store, task.step, task.shard.file.name)


def gather(task: GatherTask, tick: Tick) -> SidecarRecord:
    """Put the sidecar of a shard together."""
    schema = sidecar_schema(cast(GroupStage, task.step.stage))
    found = [batch for batches in read_pieces(task.store, task.pieces, schema) for batch in batches]
    table = pa.Table.from_batches(found, schema).sort_by(_ROW.name)
    if table.num_rows != task.rows:
        raise EngineError(
            f"{task.record_name}: {table.num_rows} rows came back of {task.rows} scattered, which is a fault of Tamis"
        )
    record = publish_sidecar(task.store, task.step, task.shard.file.name, table.to_batches(BATCH_ROWS))
    tick(task.rows, 0)
    return record


@lru_cache(maxsize=4)
def opened_parts(store: Store, step: Step) -> Parts:
    """The parts of a stage whose survey is finished, opened once per process."""
    return cast(GroupStage, step.stage).open_parts(finished_state(store, step))


def _finished(task: ScatterTask | SolveTask) -> PiecesRecord | None:
    record = read_record(task.store, task.record_name, PiecesRecord)
    return record if record and is_there(task.store, record.file) else None


def _publish(
    store: Store, name: str, keys: np.ndarray, batches: Iterator[pa.RecordBatch], measures: Any = None
) -> PiecesRecord:
    file, ends = write_pieces(store, f"{name.removesuffix('.json')}.pieces", batches)
    record = PiecesRecord(file, tuple(keys.tolist()), ends, measures)
    store.write_json(name, record)
    return record


def _slices(rows: pa.RecordBatch, begins: np.ndarray) -> Iterator[pa.RecordBatch]:
    ends = [*begins[1:].tolist(), rows.num_rows]
    return (rows.slice(begin, end - begin) for begin, end in zip(begins.tolist(), ends[: len(begins)], strict=True))


def _scattered_schema(steps: Sequence[Step]) -> pa.Schema:
    """The part, `row`, and the columns that the last step gathers, of the types that earlier steps gave them."""
    known = {field.name: field for field in (*RESERVED, *PROVENANCE)}
    known.update({field.name: field for step in steps[:-1] if step.stage for field in step.stage.adds})
    return pa.schema([_PART, _ROW, *(known[name] for name in gathers(_stage(steps)))])


def _stage(steps: Sequence[Step]) -> GroupStage:
    return cast(GroupStage, steps[-1].stage)
