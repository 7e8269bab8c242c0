"""What the stage `pack` said of a shard's documents, as arrays: read from sidecars alone, counted, and checked."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contexts_layout import BUCKET_BITS, Cell, Longs, merged
from pipeline.contexts_tasks import CountRecord, CountTask, Making
from pipeline.plan import Step
from pipeline.records import read_record
from pipeline.shards import read_table
from pipeline.sidecars import Tick, finished_sidecar
from pipeline.verdicts import Shard, judge
from stages.errors import EngineError

_LISTS = ("context", "context_place", "context_begin", "context_end")


@dataclass(frozen=True)
class Packed:
    """The documents of a shard that are in contexts, in order, and their parts, of which arrays (m,) tell."""

    rows: pa.Table
    """`row` (of the shard), `id` and `group` of the documents."""
    without: int
    """Documents that are in none."""
    documents: Longs
    """Of which of the documents each part is; ascending."""
    contexts: Longs
    places: Longs
    begins: Longs
    ends: Longs

    @property
    def groups(self) -> npt.NDArray[np.object_]:
        """The group of each part."""
        names = np.array(self.rows.column("group").to_pylist(), dtype=object)
        return names[self.documents]


def packed(making: Making, shard: Shard) -> Packed:
    """The parts of a shard's documents. Raises EngineError if the columns do not go together."""
    table = _sidecar(making, making.steps[-1], shard, ["row", "id", "group", *_LISTS])
    lengths = pc.fill_null(pc.list_value_length(table.column("context")), 0).to_numpy()
    rows = table.select(["row", "id", "group"]).filter(pa.array(lengths > 0))
    columns = [pc.list_flatten(table.column(name)).to_numpy().astype(np.int64) for name in _LISTS]
    if rows.column("group").null_count or any(len(column) != lengths.sum() for column in columns):
        raise EngineError(
            f"{shard.file.name}: parts without a group, or columns of {making.steps[-1].name} that differ"
        )
    documents = np.repeat(np.arange(rows.num_rows), lengths[lengths > 0])
    return Packed(rows, table.num_rows - rows.num_rows, documents, *columns)


def counted_tokens(making: Making, shard: Shard) -> Longs:
    """The tokens of each row of a shard, 0 where they were not counted."""
    table = _sidecar(making, making.tokens, shard, ["row", "tokens"])
    found = np.zeros(shard.file.rows, np.int64)
    found[table.column("row").to_numpy()] = pc.fill_null(table.column("tokens"), 0).to_numpy()
    return found


def check_covered(parts: Packed, tokens: Longs, where: str) -> None:
    """Raise EngineError unless the parts of each document are its tokens, all as often as each other.

    That is so if inside of documents as many parts end as begin, everywhere, and as many begin at the first token as
    end behind the last.
    """
    after = tokens[parts.documents]
    begin, end = (
        _sorted(parts.documents, places) for places in (parts.begins, np.where(parts.ends == after, 0, parts.ends))
    )
    right = np.array_equal(begin, end) and bool((parts.begins < parts.ends).all() and (parts.ends <= after).all())
    if not right or len(np.unique(parts.documents[parts.begins == 0])) != len(tokens):
        raise EngineError(f"{where}: the parts of a document are not its tokens, which is a fault of Tamis")


def finished_count(task: CountTask) -> CountRecord | None:
    """The record of shards that are counted."""
    return read_record(task.making.store, task.record_name, CountRecord)


def count(task: CountTask, tick: Tick) -> CountRecord:
    """Count the parts of some shards."""
    cells: list[Cell] = []
    without = 0
    for shard in task.shards:
        parts = packed(task.making, shard)
        without += parts.without
        cells += _cells(parts, by_bucket=not task.making.settings.shuffle)
        tick(shard.file.rows, 0)
    record = CountRecord(tuple(merged(cells)), without)
    task.making.store.write_json(task.record_name, record)
    return record


def _cells(parts: Packed, *, by_bucket: bool) -> list[Cell]:
    buckets, numbers = parts.contexts >> BUCKET_BITS, parts.contexts & ((1 << BUCKET_BITS) - 1)
    columns = {
        "group": pa.array(parts.groups, pa.string()),
        "bucket": buckets if by_bucket else np.zeros_like(buckets),
        "documents": (np.diff(parts.documents, prepend=-1) > 0).astype(np.int64),
        "contexts": (parts.places == 0).astype(np.int64),
        "parts": np.ones_like(buckets),
        "tokens": parts.ends - parts.begins,
        "first": numbers,
        "last": numbers,
    }
    sums = [(name, "sum") for name in ("documents", "contexts", "parts", "tokens")]
    found = pa.table(columns).group_by(["group", "bucket"]).aggregate([*sums, ("first", "min"), ("last", "max")])
    names = ["group", "bucket", *(f"{name}_{how}" for name, how in sums), "first_min", "last_max"]
    return [Cell(*values) for values in zip(*(found.column(name).to_pylist() for name in names), strict=True)]


def _sorted(documents: Longs, values: Longs) -> Longs:
    """Values in the order of documents, and of their size within one."""
    return values[np.lexsort((values, documents))]


def _sidecar(making: Making, step: Step, shard: Shard, columns: list[str]) -> pa.Table:
    """Columns of what a step said of a shard; it is made again if it was removed."""
    record = finished_sidecar(making.store, step, shard.file.name)
    if record is None:
        judge(making.store, making.steps, shard, lambda documents, size: None)
        record = finished_sidecar(making.store, step, shard.file.name)
    if record is None:
        raise EngineError(f"{step.directory} has nothing of {shard.file.name}, which is a fault of Tamis: run again")
    return read_table(making.store, record.file.name, columns)
