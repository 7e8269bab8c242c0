"""Hugging Face datasets saved to disk (`Dataset.save_to_disk`, `DatasetDict.save_to_disk`): one row, one record.

The directory is read as it lies, Arrow streams named by `state.json`: that needs no `datasets` library, copies nothing
from S3 to a local disk, and lets a damaged file cost only its own rows. The splits of a DatasetDict come in sorted
order and their rows are numbered through.
"""

import json
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
import pyarrow as pa

from pipeline.formats import BadRecord, FieldNames, InputFile, Place, Record, Split
from pipeline.formats.columns import batch_rows, rows
from pipeline.formats.sources import ARROW_DAMAGE, damage_detail, local_path, open_random

_STATE_DAMAGE = (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError)
_END = b"\xff\xff\xff\xff\0\0\0\0"
"""How an Arrow stream ends; one that was cut between two batches reads without an error but lacks it."""


class _Table(NamedTuple):
    """One Arrow file, or one that cannot be named because its directory is damaged."""

    url: str
    columns: list[str] | None
    damage: str | None = None


class _Stretch(NamedTuple):
    """A batch of rows, or the damage that took their place."""

    batch: pa.RecordBatch | None
    damage: str = ""


def splits(file: InputFile, split_bytes: int) -> list[Split]:
    """Row ranges of about `split_bytes` as stored; a remote dataset is one split, since its rows cannot be counted
    without fetching them. Raises OSError if the storage fails.
    """
    if local_path(file.url) is None:
        return [Split(file, 0, -1)]
    counts = [found.batch.num_rows for found in _stretches(file.url) if found.batch is not None]
    total = sum(counts)
    pieces = max(1, min(round(file.size / split_bytes), total))
    cuts = [total * i // pieces for i in range(pieces)]
    return [Split(file, start, stop) for start, stop in zip(cuts, [*cuts[1:], -1], strict=True)]


def records(split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    """The rows of the range; place.line is the 1-based row number in the dataset.

    Raises OSError if the storage fails.
    """
    url = split.file.url
    row = 0
    with closing(_stretches(url)) as stretches:
        for batch, damage in stretches:
            if 0 <= split.stop <= row:
                return
            if batch is None and row >= split.start:
                yield BadRecord(Place(url, row + 1, None), "damaged_file", damage)
            elif batch is not None:
                yield from _part(batch, row, split, names, max_bytes)
                row += batch.num_rows


def _part(
    batch: pa.RecordBatch, row: int, split: Split, names: FieldNames, max_bytes: int
) -> Iterator[Record | BadRecord]:
    """The rows of a batch, the first of which is number `row` (from 0), that lie in the split."""
    start = max(split.start - row, 0)
    stop = batch.num_rows if split.stop < 0 else min(split.stop - row, batch.num_rows)
    step = batch_rows(batch.nbytes, batch.num_rows)
    for at in range(start, stop, step):
        piece = batch.slice(at, min(step, stop - at))
        yield from rows(piece, Place(split.file.url, row + at + 1, None), names, max_bytes)


def _stretches(url: str) -> Generator[_Stretch, None, None]:
    for table in _tables(url):
        if table.damage is not None:
            yield _Stretch(None, table.damage)
        else:
            yield from _batches(table)


def _batches(table: _Table) -> Iterator[_Stretch]:
    """All batches of one Arrow stream up to the damage, if any."""
    name = table.url.rpartition("/")[2]
    try:
        with _open(table.url) as file:
            with pa.ipc.open_stream(file) as stream:
                _ = stream.schema.names  # a damaged name raises here, and not where rows are read
                for batch in stream:
                    yield _Stretch(batch if table.columns is None else batch.select(table.columns))
            file.seek(-len(_END), 2)
            if file.read(len(_END)) != _END:
                yield _Stretch(None, f"{name}: the Arrow stream is cut short")
    except FileNotFoundError:
        yield _Stretch(None, f"{name}: the file is missing")
    except (*ARROW_DAMAGE, KeyError) as error:
        yield _Stretch(None, f"{name}: {damage_detail(error)}")


def _open(url: str) -> Any:
    path = local_path(url)
    return open_random(url) if path is None else pa.memory_map(path)


def _tables(url: str) -> Iterator[_Table]:
    """The Arrow files of a Dataset or of all parts of a DatasetDict, in order."""
    root = url.rstrip("/")
    try:
        parts = sorted(_json(f"{root}/dataset_dict.json")["splits"]) if _exists(f"{root}/dataset_dict.json") else None
    except _STATE_DAMAGE as error:
        yield _Table(root, None, f"dataset_dict.json is damaged: {type(error).__name__}")
        return
    for part in [root] if parts is None else [f"{root}/{name}" for name in parts]:
        yield from _tables_of(part)


def _tables_of(part: str) -> Iterator[_Table]:
    try:
        state = _json(f"{part}/state.json")
        files = [str(entry["filename"]) for entry in state["_data_files"]]
        columns = None if state.get("_output_all_columns") else state.get("_format_columns")
        if state.get("_indices_data_files"):
            raise ValueError
    except FileNotFoundError:
        yield _Table(part, None, "no dataset: neither dataset_dict.json nor state.json is in the directory")
    except _STATE_DAMAGE as error:
        yield _Table(part, None, f"state.json cannot be used: {type(error).__name__}")
    else:
        yield from (_Table(f"{part}/{name}", columns) for name in files)


def _exists(url: str) -> bool:
    filesystem, path = fsspec.core.url_to_fs(url)
    return bool(filesystem.exists(path))


def _json(url: str) -> dict[str, Any]:
    with fsspec.open(url, "rb") as file:
        return cast(dict[str, Any], json.loads(cast(BinaryIO, file).read()))
