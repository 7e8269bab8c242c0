"""Arrow batches as records: one row, one dict of JSON types. Shared by `parquet` and `hf`.

Strings, numbers, booleans, nulls, lists and structs stay what they are. Timestamps become ISO 8601 (microseconds; UTC
if they have a zone), dates and times ISO 8601, decimals and durations strings, maps lists of [key, value] pairs,
dictionary columns their values. Binary columns are read as UTF-8; one that is not UTF-8 is left out of its record,
unless it is the text, id or source, which makes the record bad.
"""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.formats import BadRecord, FieldNames, Place, Record

BATCH_BYTES = 4 << 20
"""About how many bytes of rows become Python objects at once."""
MAX_BATCH_ROWS = 1024

_UNREADABLE = (pa.ArrowException, ValueError, OverflowError)


def batch_rows(total_bytes: int, total_rows: int) -> int:
    """How many rows to read at once, given the size of all.

    >>> batch_rows(100 << 20, 50), batch_rows(0, 0)
    (2, 1024)
    """
    if total_bytes <= 0:
        return MAX_BATCH_ROWS
    return max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * total_rows // total_bytes))


def rows(batch: pa.RecordBatch, first: Place, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    """The records of a batch; `first` is the place of its first row. A row that cannot be read costs only itself.

    The batch is checked in full, since damaged offsets in an Arrow file would end the process.
    """
    try:
        batch.validate(full=True)
        columns = [_plain(column) for column in batch.columns]
        if _most_bytes(columns) > max_bytes:
            yield from _one_by_one(batch, first, names, max_bytes)
            return
        values = [_values(column) for column in columns]
    except _UNREADABLE:
        yield from _one_by_one(batch, first, names, max_bytes)
        return
    fields = batch.schema.names
    line = first.line or 1
    for number, row in enumerate(zip(*values, strict=True) if values else [()] * batch.num_rows, line):
        yield Record(Place(first.url, number, None), dict(zip(fields, row, strict=True)))


def _one_by_one(batch: pa.RecordBatch, first: Place, names: FieldNames, limit: int) -> Iterator[Record | BadRecord]:
    for index in range(batch.num_rows):
        place = Place(first.url, (first.line or 1) + index, None)
        yield _row(batch.slice(index, 1), place, names, limit)


def _row(batch: pa.RecordBatch, place: Place, names: FieldNames, max_bytes: int) -> Record | BadRecord:
    fields: dict[str, object] = {}
    size = 0
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
            plain = _plain(column)
            size += _most_bytes([plain])
            if size <= max_bytes:
                fields[name] = _values(plain)[0]
        except _UNREADABLE as error:
            if _has_binary(column.type) and name not in (names.text, names.id, names.source):
                continue
            return _unreadable(place, name, column.type, error)
    if size > max_bytes:
        return BadRecord(place, "too_large", f"{size:,} bytes or more, the limit is {max_bytes:,}")
    return Record(place, fields)


def _unreadable(place: Place, name: str, kind: pa.DataType, error: Exception) -> BadRecord:
    if isinstance(error, UnicodeDecodeError):
        return BadRecord(place, "invalid_utf8", f"{error.reason} at byte {error.start} of a value in column {name!r}")
    if _has_binary(kind) or "UTF8" in str(error):
        return BadRecord(place, "invalid_utf8", f"a value in column {name!r} of type {kind} is not UTF-8")
    return BadRecord(place, "unreadable_value", f"a value in column {name!r} of type {kind} has no JSON form")


def _plain(column: Any) -> Any:
    """The column in types whose values are JSON values, or nearly (see `_json`)."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = _plain_type(column.type)
    if kind == column.type:
        return column
    return column.cast(options=pc.CastOptions(kind, allow_time_truncate=True))


def _plain_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain_type(f.type), f.nullable) for f in kind])
    return _plain_time(kind) if pa.types.is_temporal(kind) else _plain_string(kind)


def _plain_time(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    return pa.duration("us") if pa.types.is_duration(kind) else kind


def _plain_string(kind: Any) -> Any:
    if pa.types.is_large_binary(kind):
        return pa.large_string()
    return pa.string() if pa.types.is_string_view(kind) or _is_binary(kind) else kind


def _is_binary(kind: pa.DataType) -> bool:
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(check(kind) for check in checks)


def _has_binary(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_binary(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _has_binary(kind.value_type)
    return _is_binary(kind) or any(_has_binary(kind.field(i).type) for i in range(kind.num_fields))


def _most_bytes(columns: list[Any]) -> int:
    """The bytes of the largest value of each top-level string column, added: exact for one row, else an upper bound.

    Without scalars made here: pa.scalar imports pandas where it is installed, which costs a second.
    """
    strings = (column for column in columns if pa.types.is_string(column.type) or pa.types.is_large_string(column.type))
    return sum(pc.max(pc.binary_length(column)).as_py() or 0 for column in strings)


def _values(column: Any) -> list[object]:
    values: list[object] = column.to_pylist()
    return [_json(value) for value in values] if _needs_json(column.type) else values


def _needs_json(kind: Any) -> bool:
    own = pa.types.is_temporal(kind) or pa.types.is_decimal(kind) or pa.types.is_map(kind)
    return bool(own) or any(_needs_json(kind.field(i).type) for i in range(kind.num_fields))


def _json(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value.decode("utf-8") if isinstance(value, bytes) else value
