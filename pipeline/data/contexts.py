"""Where packed contexts are read from: `ContextSource`, and Parquet shards as one."""

import bisect
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from stages.errors import ConfigError, InputError

Row = dict[str, Any]
Part = tuple[int, int, dict[str, Any]]
"""Rows from the first to before the second, and their columns."""
INPUT_IDS = "input_ids"
_GROUP = "group="


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
        self._kept: Part | None = None
        footers = []
        for number, path in enumerate(self._paths):
            metadata, footer = _footer(path)
            self._index(number, metadata)
            footers.append(footer)
        self.checksum = checksum_of(footers)
        """Of the files' footers: sizes, offsets and statistics of all columns, and in Tamis's own files a hash of every
        byte before the footer."""

    def __len__(self) -> int:
        """Number of contexts."""
        return self._ends[-1] if self._ends else 0

    def rows(self, begin: int, end: int) -> list[Row]:
        """Contexts from `begin` to before `end`."""
        found: list[Row] = []
        while begin < end:
            first, last, columns = self._part_of(begin)
            stop = min(end, last)
            found += [{name: column[row - first] for name, column in columns.items()} for row in range(begin, stop)]
            begin = stop
        return found

    def table(self, begin: int, end: int) -> pa.Table:
        """The same as columns of Arrow, a chunk for each row group; none is kept."""
        found: list[pa.Table] = []
        while begin < end:
            part = bisect.bisect_right(self._ends, begin)
            first, stop = self._ends[part - 1] if part else 0, min(end, self._ends[part])
            found.append(self._row_group(part).slice(begin - first, stop - begin))
            begin = stop
        return pa.concat_tables(found)

    def around(self, begin: int, end: int) -> tuple["ParquetContexts", int]:
        """The row groups that hold contexts from `begin` to before `end`, and the number of their first context."""
        low = bisect.bisect_right(self._ends, begin)
        high = bisect.bisect_left(self._ends, end) + 1 if begin < end else low
        offset = self._ends[low - 1] if low else 0
        numbers = {number: place for place, number in enumerate(dict.fromkeys(n for n, _ in self._parts[low:high]))}
        found = ParquetContexts.__new__(ParquetContexts)
        found._paths, found._columns = tuple(self._paths[number] for number in numbers), self._columns
        found._ends = [last - offset for last in self._ends[low:high]]
        found._parts = [(numbers[number], group) for number, group in self._parts[low:high]]
        found._kept, found.checksum = None, ""
        return found, offset

    def __getstate__(self) -> dict[str, Any]:
        """Without open files."""
        return {key: value for key, value in self.__dict__.items() if key != "_open"} | {"_kept": None}

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

    def _part_of(self, row: int) -> Part:
        """The row group that holds a row: the one that is kept, or it is read now and kept."""
        kept = self._kept
        if kept is None or not kept[0] <= row < kept[1]:
            part = bisect.bisect_right(self._ends, row)
            first = self._ends[part - 1] if part else 0
            self._kept = kept = first, self._ends[part], self._read(part)
        return kept

    def _read(self, part: int) -> dict[str, Any]:
        table = self._row_group(part)
        return {name: _values(table.column(name)) for name in self._columns}

    def _row_group(self, part: int) -> pa.Table:
        number, group = self._parts[part]
        return self._file(number).read_row_group(group, columns=list(self._columns), use_threads=False)

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
    """The groups under `folder/group=<name>/*.parquet`, files by name; names are quoted as in URLs (`web%2Fde`).

    Raises ConfigError if there are none.
    """
    filesystem, path = fsspec.core.url_to_fs(str(folder))
    found: dict[str, list[str]] = {}
    for group in _listed(filesystem, path):
        if _name(group).startswith(_GROUP):
            files = [
                filesystem.unstrip_protocol(file) for file in _listed(filesystem, group) if file.endswith(".parquet")
            ]
            if files:
                found[_group_of(group)] = files
    if not found:
        raise ConfigError(f"{folder} has no contexts: expected group=<name>/part-*.parquet in it")
    return {group: ParquetContexts(paths, columns) for group, paths in found.items()}


def _listed(filesystem: Any, path: str) -> list[str]:
    """What lies in a directory, by name; nothing if there is none. (A pattern would misread brackets.)"""
    try:
        return sorted(found.rstrip("/") for found in filesystem.ls(path, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _group_of(path: str) -> str:
    return unquote(_name(path).removeprefix(_GROUP), errors="surrogatepass")


def _open(path: str) -> Any:
    return fsspec.open(path, "rb").open()


def footer_hash(path: str) -> str:
    """The hash of a Parquet file's footer. Raises InputError if it cannot be read."""
    return _footer(path)[1]


def checksum_of(footers: Iterable[str]) -> str:
    """The checksum of a group, of whose files the footers have these hashes, in order."""
    return xxhash.xxh3_128_hexdigest("".join(footers).encode())


def _footer(path: str) -> tuple[pq.FileMetaData, str]:
    """The metadata of a Parquet file, and a hash of its bytes."""
    try:
        with _open(path) as file:
            file.seek(-8, os.SEEK_END)
            size = int.from_bytes(file.read(4), "little")
            file.seek(-8 - size, os.SEEK_END)
            footer: bytes = file.read(size)
            return pq.read_metadata(file), xxhash.xxh3_128_hexdigest(footer)
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
