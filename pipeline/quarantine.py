"""Quarantine: what could not be read or processed, with its place and reason, and never its text."""

import contextlib
from collections import Counter
from collections.abc import Iterable
from types import TracebackType

import pyarrow as pa

from pipeline.credentials import without_credentials
from pipeline.formats import BadRecord
from pipeline.shards import BATCH_ROWS, ShardWriter, read_table
from pipeline.storage import Store

SCHEMA = pa.schema(
    [
        pa.field("url", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("count", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("step", pa.string()),
    ]
)
"""`line` is 1-based (row or record number where there are no lines); `offset` is in bytes of the decompressed file;
`count` is the number of records that the entry stands for."""


class Quarantine:
    """Collects bad records into one Parquet file, made with the first of them; counts them by reason."""

    def __init__(self, store: Store, name: str, step: str) -> None:
        self._store = store
        self._name = name
        self._step = step
        self._rows: list[tuple[object, ...]] = []
        self._files = contextlib.ExitStack()
        self._writer: ShardWriter | None = None
        self.counts: Counter[str] = Counter()

    def add(self, bad: BadRecord, id_: str | None = None) -> None:
        """Take one bad record; `id_` if it got as far as having one."""
        place = bad.place
        self.counts[bad.reason] += bad.count
        url, detail = without_credentials(place.url), _printable(bad.detail)
        row = (url, place.line, place.offset, bad.reason, detail, bad.count, id_, self._step)
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            sink = self._files.enter_context(self._store.create(self._name))
            self._writer = self._files.enter_context(ShardWriter(sink, SCHEMA, 1 << 24))
        columns = [
            pa.array(column, field.type) for column, field in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)
        ]
        self._writer.write(pa.RecordBatch.from_arrays(columns, schema=SCHEMA), 256 * len(self._rows))
        self._rows = []

    def __enter__(self) -> "Quarantine":
        self._files.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._rows:
            self._flush()
        self._files.__exit__(kind, error, trace)


def _printable(detail: str) -> str:
    return detail.encode("utf-8", "backslashreplace").decode()


def merge_quarantine(store: Store, names: Iterable[str]) -> None:
    """Gather the quarantine files of all tasks into `quarantine/part-00000.parquet`, in order of steps and tasks."""
    target = "quarantine/part-00000.parquet"
    with store.create(target) as sink, ShardWriter(sink, SCHEMA, 1 << 24) as writer:
        for name in sorted(set(names)):
            for batch in read_table(store, name).to_batches():
                writer.write(batch, 256 * batch.num_rows)
