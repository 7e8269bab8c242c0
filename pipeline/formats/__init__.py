"""Input formats. Each is a module with two functions, and knows nothing of documents or of the run.

splits(file: InputFile, split_bytes: int) -> list[Split]
    Cut one input file into pieces that tasks read independently. Together they cover every record once, in
    order, and depend on the file and `split_bytes` alone (never on the number of workers).
records(split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]
    The records of one split in order. Whatever cannot be read comes as a BadRecord with its place, and reading goes
    on; nothing is skipped in silence. A record larger than `max_bytes` is a BadRecord and is never held in memory
    whole (as far as the format allows).
"""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from stages.errors import ConfigError

COMPRESSIONS = (".gz", ".zst")
_BASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "jsonl": ((".jsonl", ".json", ".ndjson"), COMPRESSIONS),
    "parquet": ((".parquet",), ()),
    "warc": ((".warc", ".wet", ".warc.wet"), (".gz",)),
    "text": ((".txt", ".md"), COMPRESSIONS),
}
"""For each format: how the names of its files end, and which compressions its reader takes behind that."""

SUFFIXES: dict[str, tuple[str, ...]] = {
    name: tuple(base + packed for base in bases for packed in ("", *compressions))
    for name, (bases, compressions) in _BASES.items()
}
FORMATS: tuple[str, ...] = (*SUFFIXES, "hf")


@dataclass(frozen=True)
class InputFile:
    """One input file (or, for `hf`, one dataset directory)."""

    url: str
    """Path or fsspec URL, as fsspec.open takes it; also what ids and quarantine entries name."""
    format: str
    """One of FORMATS."""
    size: int
    """Bytes as stored (compressed, if it is)."""


@dataclass(frozen=True)
class Split:
    """A piece of one input file: `start` and `stop` are in the format's own unit (bytes, row groups, rows)."""

    file: InputFile
    start: int
    stop: int


@dataclass(frozen=True)
class FieldNames:
    """Under which names the input holds the text, the id and the source of a document."""

    text: str = "text"
    id: str = "id"
    source: str = "source"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: its file, 1-based line (row, record) number, and byte offset once decompressed."""

    url: str
    line: int | None
    offset: int | None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """Something that is no document: where, why (a short snake_case reason), and details without document text."""

    place: Place
    reason: str
    detail: str
    count: int = 1
    """Number of records it stands for, so that the ledger closes."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the format gives it: names and values of JSON types (str, int, float, bool, None, list, dict)."""

    place: Place
    fields: dict[str, object]


class Format(Protocol):
    """The two functions of a format's module."""

    def splits(self, file: InputFile, split_bytes: int) -> list[Split]:
        """Pieces of one file."""
        ...

    def records(self, split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
        """Records of one piece."""
        ...


def load(name: str) -> Format:
    """The module of a format, imported on first use, since some need heavy libraries."""
    return cast(Format, importlib.import_module(f"pipeline.formats.{name}"))


def whole(file: InputFile) -> Split:
    """One split with every record of a file."""
    return load(file.format).splits(file, sys.maxsize)[0]


def compression(url: str) -> str:
    """The suffix in COMPRESSIONS with which a file's name ends, in upper or lower case; else an empty string.

    >>> compression("A.JSONL.GZ"), compression("a.jsonl")
    ('.gz', '')
    """
    return next((suffix for suffix in COMPRESSIONS if url.lower().endswith(suffix)), "")


def guess(url: str) -> str:
    """The format of a file by its name.

    >>> guess("s3://bucket/a.jsonl.zst"), guess("CC-MAIN-0.warc.wet.gz")
    ('jsonl', 'warc')

    Raises ConfigError if no format has such a suffix.
    """
    for name, suffixes in SUFFIXES.items():
        if url.lower().endswith(suffixes):
            return name
    known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    raise ConfigError(f"cannot tell the format of {url} by its name (known: {known}): set input.format")
