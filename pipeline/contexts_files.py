"""Files of packed contexts: the parts of all shards that belong to one, sorted, checked, and written as Parquet."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.contexts_layout import Longs
from pipeline.contexts_parquet import ContextWriter, context_schema, row_groups
from pipeline.contexts_scatter import piece_schema
from pipeline.contexts_tasks import Example, ExampleDocument, FileTask, WrittenRecord, layout_of
from pipeline.data.contexts import footer_hash
from pipeline.parts import one_batch
from pipeline.pieces import read_pieces
from pipeline.records import file_record, is_there, read_record
from pipeline.sidecars import Tick
from pipeline.storage import HashedFile
from stages.errors import EngineError

EXAMPLES = 3
"""Contexts to look at."""
MOST_SHOWN = 20
"""Documents of an example."""


class _Sorted(NamedTuple):
    """The parts of a file in the trainer's order."""

    order: Longs
    """(m,) rows of `rows`."""
    starts: Longs
    """(n + 1,) the first part of each context, and m."""
    rows: pa.RecordBatch


def finished_file(task: FileTask) -> WrittenRecord | None:
    """The record of a file that is written."""
    record = read_record(task.making.store, task.record_name, WrittenRecord)
    return record if record and is_there(task.making.store, record.file) else None


def write_file(task: FileTask, tick: Tick) -> WrittenRecord:
    """Put a file of contexts together. Raises EngineError if a context is not whole."""
    found = _sorted(task)
    tokens = _check_whole(task, found)
    with task.making.store.create(task.name) as sink:
        _write(task, found, sink)
    record = WrittenRecord(
        file=file_record(task.name, sink, task.contexts, 0),
        tokens=tokens,
        footer=footer_hash(task.making.store.path(task.name)),
        examples=tuple(_examples(task, found)),
    )
    task.making.store.write_json(task.record_name, record)
    tick(task.contexts, 0)
    return record


def _sorted(task: FileTask) -> _Sorted:
    layout = layout_of(task.making)
    schema = piece_schema(layout, input_ids=task.making.settings.input_ids)
    batches = [batch for found in read_pieces(task.making.store, task.pieces, schema) for batch in found]
    rows = one_batch(batches, schema)
    contexts = rows.column("context").to_numpy()
    order = np.lexsort((rows.column("place").to_numpy(), contexts, layout.keys(task.group, contexts)))
    starts = np.flatnonzero(np.diff(contexts[order], prepend=contexts[order[0]] - 1))
    return _Sorted(order, np.append(starts, len(order)), rows)


def _check_whole(task: FileTask, found: _Sorted) -> int:
    """The tokens of all contexts, each of which begins at 0, has no gap, and is no longer than it may be."""
    places, lengths = (found.rows.column(name).to_numpy()[found.order].astype(np.int64) for name in ("place", "length"))
    expected = np.roll(places + lengths, 1)
    expected[found.starts[:-1]] = 0
    longest = int((places + lengths).max())
    contexts = len(found.starts) - 1
    if not np.array_equal(places, expected) or contexts != task.contexts or longest > task.making.settings.context:
        raise EngineError(
            f"{task.name}: found {contexts:,} contexts of up to {longest:,} tokens, expected {task.contexts:,} without "
            f"a gap of up to {task.making.settings.context:,}, which is a fault of Tamis"
        )
    return int(lengths.sum())


def _write(task: FileTask, found: _Sorted, sink: HashedFile) -> None:
    settings, layout = task.making.settings, layout_of(task.making)
    facts = {"group": task.group, "tokenizer": layout.tokenizer, "context_length": str(settings.context)}
    lengths = found.rows.column("length").to_numpy()[found.order].astype(np.int64)
    tokens = np.add.reduceat(lengths, found.starts[:-1]) * settings.input_ids
    with ContextWriter(sink, context_schema(input_ids=settings.input_ids), facts) as writer:
        for begin, end in row_groups(tokens, np.diff(found.starts)):
            writer.write(_table(found, begin, end, task.first))


def _table(found: _Sorted, begin: int, end: int, first: int) -> pa.Table:
    """The contexts from `begin` to before `end` of a file whose first has the number `first`."""
    starts = found.starts[begin : end + 1]
    rows = found.rows.take(pa.array(found.order[starts[0] : starts[-1]]))
    starts = starts - starts[0]
    lengths = rows.column("length").to_numpy().astype(np.int64)
    boundaries = np.insert(rows.column("place").to_numpy() + lengths, starts[:-1], 0)
    columns = {
        "context": np.arange(first + begin, first + end),
        "ids": _lists(starts, rows.column("id")),
        "begins": _lists(starts, rows.column("begin")),
        "boundaries": _lists(starts + np.arange(len(starts)), pa.array(boundaries.astype(np.int32))),
    }
    if "ids" in rows.schema.names:
        tokens = np.concatenate([[0], np.cumsum(lengths)])[starts]
        columns["input_ids"] = _lists(tokens, rows.column("ids").flatten().cast(pa.int32()))
    schema = context_schema(input_ids="input_ids" in columns)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _lists(offsets: Longs, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)


def _examples(task: FileTask, found: _Sorted) -> list[Example]:
    """Those of the file's contexts with two documents or more that have the smallest hashes."""
    layout = layout_of(task.making)
    contexts = found.rows.column("context").to_numpy()[found.order[found.starts[:-1]]]
    several = np.flatnonzero(layout.is_candidate(task.group, contexts) & (np.diff(found.starts) > 1))
    luck = layout.luck(task.group, contexts[several])
    examples: list[Example] = []
    for place in np.argsort(luck, kind="stable").tolist():
        number = int(several[place])
        rows = found.rows.take(pa.array(found.order[found.starts[number] : found.starts[number + 1]]))
        if len(rows.column("id").unique()) > 1:
            columns = (rows.column(name).to_pylist()[:MOST_SHOWN] for name in ("id", "begin", "start"))
            documents = tuple(ExampleDocument(*values) for values in zip(*columns, strict=True))
            examples.append(Example(task.group, task.first + number, int(luck[place]), documents))
        if len(examples) == EXAMPLES:
            break
    return examples
