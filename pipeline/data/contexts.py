"""Where packed contexts are read from: `ContextSource`, and Parquet shards as one."""

import bisect
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from stages.errors import ConfigError, InputError

Row = dict[str, Any]
INPUT_IDS = "input_ids"


class ContextSource(Protocol):
    """The contexts of one group, in their order. It is pickled to workers: it opens its files where it reads."""

    def __len__(self) -> int:
        """Number of contexts."""
        ...

    def rows(self, begin: int, end: int) -> Sequence[Mapping[str, Any]]:
        """Contexts from `begin` to before `end`: column -> value."""
        ...


class ParquetContexts:
    """Parquet files of one group, in the given order; columns of numbers, and of lists of numbers as numpy arrays.

    It keeps the row group that it last read: write row groups of some MB.
    """

    def __init__(self, paths: Sequence[str], columns: Sequence[str] = (INPUT_IDS,)) -> None:
        """Read the files' footers. Raises InputError if there is no file or a column is missing."""
        if not paths:
            raise InputError("a group has no Parquet file: its directory is empty")
        self._paths, self._columns = tuple(paths), tuple(columns)
        self._ends: list[int] = []
        self._parts: list[tuple[int, int]] = []
        digest = xxhash.xxh3_128()
        for number, path in enumerate(self._paths):
            metadata, footer = _footer(path)
            self._index(number, metadata)
            digest.update(footer)
        self.checksum = digest.hexdigest()
        """Of the files' footers: sizes, offsets and statistics of all columns, not of every byte."""

    def __len__(self) -> int:
        """Number of contexts."""
        return self._ends[-1] if self._ends else 0

    def rows(self, begin: int, end: int) -> list[Row]:
        """Contexts from `begin` to before `end`."""
        found: list[Row] = []
        while begin < end:
            part = bisect.bisect_right(self._ends, begin)
            first = self._ends[part - 1] if part else 0
            stop = min(end, self._ends[part])
            columns = self._read(part)
            found += [{name: column[row - first] for name, column in columns.items()} for row in range(begin, stop)]
            begin = stop
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without open files."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_open", "_kept")}

    def _index(self, number: int, metadata: pq.FileMetaData) -> None:
        missing = [name for name in self._columns if name not in metadata.schema.to_arrow_schema().names]
        if missing:
            names = ", ".join(metadata.schema.to_arrow_schema().names)
            raise InputError(f"{self._paths[number]} has no column '{missing[0]}': it has {names}")
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if rows:
                self._ends.append(len(self) + rows)
                self._parts.append((number, group))

    def _read(self, part: int) -> dict[str, Any]:
        kept = self.__dict__.get("_kept")
        if kept is None or kept[0] != part:
            number, group = self._parts[part]
            table = self._file(number).read_row_group(group, columns=list(self._columns), use_threads=False)
            self._kept = kept = part, {name: _values(table.column(name)) for name in self._columns}
        columns: dict[str, Any] = kept[1]
        return columns

    def _file(self, number: int) -> pq.ParquetFile:
        """The file, opened in this process: a handle that came through a fork is not used."""
        found = self.__dict__.get("_open")
        if found is None or found[:2] != (os.getpid(), number):
            self._open = found = os.getpid(), number, pq.ParquetFile(_open(self._paths[number]), pre_buffer=False)
        return found[2]

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The files."""
        return self._paths


def parquet_groups(folder: str | Path, columns: Sequence[str] = (INPUT_IDS,)) -> dict[str, ParquetContexts]:
    """The groups under `folder/group=<name>/*.parquet`, files by name. Raises ConfigError if there are none."""
    filesystem, path = fsspec.core.url_to_fs(str(folder))
    found: dict[str, list[str]] = {}
    for name in sorted(filesystem.glob(f"{path}/group=*/*.parquet")):
        found.setdefault(name.split("/")[-2].removeprefix("group="), []).append(filesystem.unstrip_protocol(name))
    if not found:
        raise ConfigError(f"{folder} has no contexts: expected group=<name>/part-*.parquet in it")
    return {group: ParquetContexts(paths, columns) for group, paths in found.items()}


def _open(path: str) -> Any:
    return fsspec.open(path, "rb").open()


def _footer(path: str) -> tuple[pq.FileMetaData, bytes]:
    """The metadata of a Parquet file, and its bytes."""
    try:
        with _open(path) as file:
            file.seek(-8, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
            file.seek(-8 - size, os.SEEK_END)
            footer: bytes = file.read(size)
            return pq.read_metadata(file), footer
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error


def _values(column: pa.ChunkedArray) -> Any:
    """A column as something to index: numpy arrays for numbers and lists of numbers, Python values for the rest."""
    array = column.combine_chunks()
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        if pa.types.is_primitive(array.type.value_type) and not array.null_count:
            return _lists(array)
    elif pa.types.is_primitive(array.type) and not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    return array.to_pylist()


def _lists(array: pa.Array) -> list[np.ndarray]:
    offsets = array.offsets.to_numpy()
    values = array.values.to_numpy(zero_copy_only=False)
    if not values.flags.writeable:
        values = values.copy()
    return [values[begin:end] for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
