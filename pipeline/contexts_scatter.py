"""Documents to parts of contexts, shard by shard: cut as the stage `pack` says, and sent to the files of contexts.

The text is read here, once, and becomes token ids; after this it is not needed any more.
"""

from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contexts_layout import Layout, Longs
from pipeline.contexts_parts import Packed, check_covered, counted_tokens, packed
from pipeline.contexts_tasks import ScatterRecord, ScatterTask, Tokenizer, TokenStage, layout_of
from pipeline.pieces import write_pieces
from pipeline.plan import Step
from pipeline.records import is_there, read_record
from pipeline.shards import masked_rows, pieces
from pipeline.sidecars import Tick
from stages.errors import EngineError

Ids = npt.NDArray[np.integer[Any]]
START_CHARACTERS = 80
"""Of each document of an example."""
_ENCODED_BYTES = 1_000_000
"""Of text that is tokenised at once."""


class _Texts(NamedTuple):
    """What was read of documents: nothing if contexts are to have no token ids."""

    ids: list[Ids]
    starts: list[str | None]


def finished_scatter(task: ScatterTask) -> ScatterRecord | None:
    """The record of a shard that is scattered."""
    record = read_record(task.making.store, task.record_name, ScatterRecord)
    return record if record and is_there(task.making.store, record.file) else None


def scatter(task: ScatterTask, tick: Tick) -> ScatterRecord:
    """Cut the documents of a shard, and write their parts, one piece for each file.

    Raises EngineError if the parts of a document are not its tokens, each as often as the others.
    """
    making, layout = task.making, layout_of(task.making)
    parts = packed(making, task.shard)
    tokens = counted_tokens(making, task.shard)[parts.rows.column("row").to_numpy()]
    check_covered(parts, tokens, task.shard.file.name)
    files, candidates = _placed(layout, parts)
    texts = _texts(task, parts, tokens, np.unique(parts.documents[candidates]))
    tick(task.shard.file.rows, task.shard.file.text_bytes)
    order = np.argsort(files, kind="stable")
    keys, begins = np.unique(files[order], return_index=True)
    cuts = np.split(order, begins[1:])[: len(keys)]
    schema = piece_schema(layout, input_ids=making.settings.input_ids)
    batches = (_batch(schema, parts, texts, candidates, cut) for cut in cuts)
    file, ends = write_pieces(making.store, f"{task.record_name.removesuffix('.json')}.pieces", batches)
    firsts = tuple(int((parts.places[cut] == 0).sum()) for cut in cuts)
    record = ScatterRecord(file, tuple(keys.tolist()), ends, firsts)
    making.store.write_json(task.record_name, record)
    return record


def piece_schema(layout: Layout, *, input_ids: bool) -> pa.Schema:
    """Columns of a piece, one row for each part: `start` is given for candidates of the examples alone."""
    fields = [
        pa.field("context", pa.int64(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("begin", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("start", pa.string()),
    ]
    narrow = pa.int32() if layout.wide else pa.uint16()
    return pa.schema([*fields, pa.field("ids", pa.list_(narrow))] if input_ids else fields)


def _placed(layout: Layout, parts: Packed) -> tuple[Longs, npt.NDArray[np.bool_]]:
    """The file of each part, and whether it is of a candidate for the examples."""
    files, candidates = np.zeros(len(parts.contexts), np.int64), np.zeros(len(parts.contexts), np.bool_)
    groups = parts.groups
    for name in set(parts.rows.column("group").to_pylist()):
        its = np.flatnonzero(groups == name)
        files[its] = layout.files(name, parts.contexts[its])
        candidates[its] = layout.is_candidate(name, parts.contexts[its])
    return files, candidates


def _texts(task: ScatterTask, parts: Packed, tokens: Longs, shown: Longs) -> _Texts:
    """The token ids of all documents that are packed, and how those begin that may be shown."""
    making, found = task.making, _Texts([], [])
    if not making.settings.input_ids or not len(tokens):
        return found
    tokenizer, narrow = _tokenizer(making.tokens), np.int32 if layout_of(making).wide else np.uint16
    mask = np.zeros(task.shard.file.rows, np.bool_)
    mask[parts.rows.column("row").to_numpy()] = True
    for batch in masked_rows(making.store, task.shard.file.name, mask, pa.table({}), ["text", "text_bytes"]):
        for some, _ in pieces(batch, _ENCODED_BYTES):
            found.ids.extend(ids.astype(narrow) for ids in tokenizer.encode(some.column("text").to_pylist()))
            found.starts.extend(pc.utf8_slice_codeunits(some.column("text"), 0, START_CHARACTERS).to_pylist())
    _check_lengths(task, parts, tokens, found.ids)
    hidden = np.setdiff1d(np.arange(len(tokens)), shown)
    for number in hidden.tolist():
        found.starts[number] = None
    return found


def _check_lengths(task: ScatterTask, parts: Packed, tokens: Longs, ids: list[Ids]) -> None:
    lengths = np.array([len(found) for found in ids], np.int64)
    if (wrong := np.flatnonzero(lengths != tokens)).size:
        document = int(wrong[0])
        raise EngineError(
            f"{task.shard.file.name}: document '{parts.rows.column('id')[document]}' has {lengths[document]:,} tokens, "
            f"but {tokens[document]:,} were counted: the files of the step are damaged, or the tokenizer has changed. "
            f"Remove {task.making.store.path(task.making.tokens.directory)} and run again"
        )


def _batch(
    schema: pa.Schema, parts: Packed, texts: _Texts, candidates: npt.NDArray[np.bool_], cut: Longs
) -> pa.RecordBatch:
    """The parts of one piece."""
    documents, begins, ends = parts.documents[cut], parts.begins[cut], parts.ends[cut]
    spans = list(zip(documents.tolist(), begins.tolist(), ends.tolist(), strict=True))
    starts = [texts.starts[number] if texts.starts else None for number in documents.tolist()]
    columns = [
        pa.array(parts.contexts[cut]),
        pa.array(parts.places[cut].astype(np.int32)),
        pa.array((ends - begins).astype(np.int32)),
        pa.array(begins),
        parts.rows.column("id").take(pa.array(documents)).combine_chunks(),
        pa.array(starts, pa.string(), mask=~candidates[cut]),
    ]
    if "ids" in schema.names:
        offsets = np.concatenate([[0], np.cumsum(ends - begins)]).astype(np.int32)
        values = np.concatenate([texts.ids[number][begin:end] for number, begin, end in spans])
        columns.append(pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@lru_cache(maxsize=2)
def _tokenizer(step: Step) -> Tokenizer:
    """The tokenizer of a chain, loaded once per process."""
    return cast(TokenStage, step.stage).open_tokenizer()
