"""One file of the final training order: which contexts its samples are, read, put in order, and written."""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contexts_parquet import CONTEXT_COLUMNS, ContextWriter, row_groups
from pipeline.data.held import Held
from pipeline.records import FileRecord, file_record, is_there, read_record
from pipeline.sidecars import Tick
from pipeline.storage import Store
from stages.mixture_log import Facts
from stages.mixture_schedule import Schedule, Span

FOLDER = "mixed"
SAMPLE_COLUMNS = (
    pa.field("sample", pa.int64(), nullable=False),
    pa.field("group", pa.string(), nullable=False),
    pa.field("epoch", pa.int32(), nullable=False),
)
Longs = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Order:
    """What gives the data order; equal if the checksums are."""

    checksum: str
    facts: Facts = dataclasses.field(compare=False)
    spans: tuple[Span, ...] = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class Draws:
    """What a range of samples needs of one group."""

    size: int
    """Contexts of the group."""
    first: int
    """Which of them comes first in `held`; behind the last of the group comes its first again."""
    held: tuple[Held, ...]


@dataclasses.dataclass(frozen=True)
class MixedTask:
    """Samples from `begin` to before `end`."""

    store: Store
    directory: str
    order: Order
    number: int
    begin: int
    end: int
    draws: Mapping[str, Draws]
    """By group."""

    @property
    def name(self) -> str:
        """The file."""
        return f"{FOLDER}/part-{self.number:05d}.parquet"

    @property
    def record_name(self) -> str:
        """Where its record lies."""
        return f"{self.directory}/part-{self.number:05d}.json"


@lru_cache(maxsize=2)
def schedule_of(order: Order) -> Schedule:
    """The schedule of a log; its table grows once in each process."""
    schedule = order.facts.schedule()
    for span in order.spans:
        schedule.extend(span)
    return schedule


def finished_mixed(task: MixedTask) -> FileRecord | None:
    """The record of a file that is written."""
    record = read_record(task.store, task.record_name, FileRecord)
    return record if record and is_there(task.store, record) else None


def write_mixed_file(task: MixedTask, tick: Tick) -> FileRecord:
    """Write one file. It holds its contexts in memory, twice."""
    names = schedule_of(task.order).groups
    groups, drawn = _samples(task)
    rows, epochs, tables, before = np.zeros_like(groups), np.zeros(len(groups), np.int32), [], 0
    for name, draws in task.draws.items():
        its = groups == names.index(name)
        rows[its] = before + (drawn[its] % draws.size - draws.first) % draws.size
        epochs[its] = drawn[its] // draws.size
        tables += [held.table() for held in draws.held]
        before += sum(len(held) for held in draws.held)
    columns = [np.arange(task.begin, task.end), np.array(names, object)[groups], epochs]
    samples = pa.table(columns, schema=pa.schema(SAMPLE_COLUMNS))
    record = _write(task, samples, _whole(tables), rows)
    task.store.write_json(task.record_name, record)
    tick(len(groups), 0)
    return record


def _samples(task: MixedTask) -> tuple[Longs, Longs]:
    """For each sample the number of its group, and which draw of the group it is."""
    groups, drawn = [], []
    for block in schedule_of(task.order).blocks(task.begin):
        if block.begin >= task.end:
            break
        its = slice(max(0, task.begin - block.begin), task.end - block.begin)
        groups.append(block.groups[its])
        drawn.append(block.drawn[its])
    return np.concatenate(groups), np.concatenate(drawn)


def _whole(tables: list[pa.Table]) -> pa.RecordBatch:
    """The contexts in one piece, which is quicker to take rows from."""
    table = pa.concat_tables(tables)
    schema = pa.schema([field for field in CONTEXT_COLUMNS if field.name in table.schema.names])
    (batch,) = table.select(schema.names).cast(schema).combine_chunks().to_batches()
    return batch


def _write(task: MixedTask, samples: pa.Table, contexts: pa.RecordBatch, rows: Longs) -> FileRecord:
    facts = {"tokenizer": task.order.facts.tokenizer, "log": task.order.checksum}
    schema = pa.schema([*samples.schema, *contexts.schema])
    tokens, parts = (_lengths(contexts, name)[rows] for name in ("input_ids", "ids"))
    with task.store.create(task.name) as sink, ContextWriter(sink, schema, facts) as writer:
        for begin, end in row_groups(tokens, parts):
            taken = contexts.take(pa.array(rows[begin:end]))
            shown = samples.slice(begin, end - begin)
            writer.write(pa.table([*shown.columns, *taken.columns], schema=schema))
    return file_record(task.name, sink, len(rows), 0)


def _lengths(contexts: pa.RecordBatch, name: str) -> Longs:
    if name not in contexts.schema.names:
        return np.zeros(contexts.num_rows, np.int64)
    lengths: Longs = pc.list_value_length(contexts.column(name)).to_numpy().astype(np.int64)
    return lengths
