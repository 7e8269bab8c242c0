"""The read step: one split of an input file in, shards of documents out, what is no document into quarantine."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import xxhash

from pipeline.credentials import without_credentials
from pipeline.documents import PROVENANCE, RESERVED, Document, DocumentMaker, default_source
from pipeline.formats import BadRecord, FieldNames, Record, Split, load
from pipeline.listing import storage_errors
from pipeline.quarantine import Quarantine
from pipeline.records import FileRecord, file_record, is_there, read_record
from pipeline.shards import BATCH_ROWS, ShardWriter
from pipeline.storage import HashedFile, Store

SCHEMA = pa.schema([*RESERVED, *PROVENANCE])
"""Columns of the shards that the read step writes."""

ROW_GROUP_BYTES = 16_000_000
_BATCH_BYTES = 4_000_000

Tick = Callable[[int, int], None]
"""Called with (documents, bytes of text) that were worked on since the last call."""


@dataclass(frozen=True)
class ReadTask:
    """What one task of the read step needs."""

    store: Store
    directory: str
    index: int
    split: Split
    names: FieldNames
    max_document_bytes: int
    shard_bytes: int
    limit: int | None = None
    """At most this many records; None: all."""

    @property
    def record_name(self) -> str:
        """Where its record lies, relative to the run directory."""
        return f"{self.directory}/records/split-{self.index:05d}.json"


@dataclass(frozen=True)
class SplitRecord:
    """What a finished read task did."""

    url: str
    read: int
    """Records seen, good and bad."""
    quarantined: dict[str, int]
    """Bad records by reason."""
    own_ids: bool
    """Whether any document brought its own id."""
    shards: tuple[FileRecord, ...]
    quarantine: str
    """File with the bad records, or an empty string."""
    seconds: float


def finished_read(task: ReadTask) -> SplitRecord | None:
    """The record of a task that is done already, if its files are there."""
    record = read_record(task.store, task.record_name, SplitRecord)
    if record is None or not all(is_there(task.store, shard) for shard in record.shards):
        return None
    return record if not record.quarantine or task.store.exists(record.quarantine) else None


def read_split(task: ReadTask, tick: Tick) -> SplitRecord:
    """Read one split into shards and publish its record. Raises InputError if the file cannot be opened or read."""
    began = time.monotonic()
    name = f"{task.directory}/quarantine-{task.index:05d}.parquet"
    seen = _Seen()
    with Quarantine(task.store, name, "read") as quarantine:
        shards = tuple(_write_shards(task, _documents(task, quarantine, seen), tick))
    record = SplitRecord(
        url=without_credentials(task.split.file.url),
        read=sum(shard.rows for shard in shards) + quarantine.counts.total(),
        quarantined=dict(sorted(quarantine.counts.items())),
        own_ids=seen.own_ids,
        shards=shards,
        quarantine=name if quarantine.counts else "",
        seconds=round(time.monotonic() - began, 3),
    )
    task.store.write_json(task.record_name, record)
    return record


@dataclass
class _Seen:
    own_ids: bool = False


def _documents(task: ReadTask, quarantine: Quarantine, seen: _Seen) -> Iterator[Document]:
    url = task.split.file.url
    make = DocumentMaker(task.names, default_source(without_credentials(url)), task.max_document_bytes)
    for record in itertools.islice(_records(task), task.limit):
        document = make(record) if isinstance(record, Record) else record
        if isinstance(document, Document):
            seen.own_ids = seen.own_ids or document.own_id
            yield document
        else:
            quarantine.add(document)


def _records(task: ReadTask) -> Iterator[Record | BadRecord]:
    """A record has JSON around its text, so its bytes may be more than its text's: twice as many are let through."""
    url = task.split.file.url
    with storage_errors("read", url):
        yield from load(task.split.file.format).records(task.split, task.names, 2 * task.max_document_bytes)


def _write_shards(task: ReadTask, documents: Iterator[Document], tick: Tick) -> Iterator[FileRecord]:
    """Fill shard after shard; a split without a document still gets one, empty, with the full schema."""
    for number in itertools.count():
        first = next(documents, None)
        if first is None and number:
            return
        name = f"{task.directory}/shard-{task.index:07d}-{number:05d}.parquet"
        rest = itertools.chain([] if first is None else [first], documents)
        with task.store.create(name) as sink:
            rows, text_bytes = _fill(sink, rest, task.shard_bytes, tick)
        yield file_record(name, sink, rows, text_bytes)


def _fill(sink: HashedFile, documents: Iterator[Document], shard_bytes: int, tick: Tick) -> tuple[int, int]:
    rows = text_bytes = 0
    with ShardWriter(sink, SCHEMA, ROW_GROUP_BYTES, level=1) as writer:
        while text_bytes < shard_bytes and (held := _take(documents, min(_BATCH_BYTES, shard_bytes))):
            held_bytes = sum(document.text_bytes for document in held)
            writer.write(as_batch(held), sum(map(_size, held)))
            rows, text_bytes = rows + len(held), text_bytes + held_bytes
            tick(len(held), held_bytes)
    return rows, text_bytes


def _size(document: Document) -> int:
    """Bytes of text and metadata, about: either can be the large one, and both are held in memory."""
    return document.text_bytes + len(document.metadata)


def _take(documents: Iterator[Document], most_bytes: int) -> list[Document]:
    """The next documents, until there are enough of them for a batch."""
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += _size(document)
        if len(held) >= BATCH_ROWS or size >= most_bytes:
            break
    return held


def as_batch(documents: list[Document]) -> pa.RecordBatch:
    """Documents as a record batch with SCHEMA."""
    columns = [
        [d.id for d in documents],
        [d.text for d in documents],
        [d.source for d in documents],
        [d.metadata for d in documents],
        [without_credentials(d.place.url) for d in documents],
        [d.place.line for d in documents],
        [d.place.offset for d in documents],
        [d.text_bytes for d in documents],
        [xxhash.xxh3_128_digest(d.text.encode()) for d in documents],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
