"""One document of a run as `tamis view` shows it: all columns, and its text unless a filter took it for harmful."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.hiding import is_hidden
from pipeline.storage import Store
from stages.errors import InputError

MOST_CHARACTERS = 100_000
"""Of a text that is shown; the rest is left out, with a word."""

_SHORT_LIST = 8


def document(store: Store, place: str, row: int, uncovered: bool) -> dict[str, Any]:
    """All that is known of one document of a shard. Text that was taken for harmful is left out unless `uncovered`.

    Raises InputError if there is no such row, or the shard cannot be read.
    """
    try:
        with store.filesystem.open(place, "rb") as file:
            found = row_of(pq.ParquetFile(file), row)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{place}: the shard cannot be read: {type(error).__name__}") from error
    text = found.pop("text")
    hidden = is_hidden(found.get("dropped_by"), found.get("drop_reason"))
    shown = text if text is not None and (uncovered or not hidden) else None
    return {
        "columns": {name: value for name, value in found.items() if value is not None},
        "text": None if shown is None else shown[:MOST_CHARACTERS],
        "left_out": max(0, len(shown or "") - MOST_CHARACTERS),
        "hidden": hidden and text is not None and not uncovered,
    }


def row_of(parquet: pq.ParquetFile, row: int) -> dict[str, Any]:
    """One row, read with its row group alone; long lists by their length. Raises InputError if there is none."""
    begin = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if begin <= row < begin + rows:
            table = parquet.read_row_group(group, use_threads=True).slice(row - begin, 1)
            return {field.name: _plain(table.column(field.name), field.type) for field in table.schema}
        begin += rows
    raise InputError(f"view: found no row {row} in the shard, which has {begin}")


def _plain(column: pa.ChunkedArray, kind: pa.DataType) -> Any:
    if pa.types.is_list(kind) and not pa.types.is_struct(kind.value_type):
        length = pc.list_value_length(column)[0].as_py()
        return f"{length} values" if length is not None and length > _SHORT_LIST else column[0].as_py()
    return column[0].as_py()
