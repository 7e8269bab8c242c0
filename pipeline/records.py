"""Records: small JSON files that make finished work real. A file without its record was never finished."""

import dataclasses
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson
import xxhash

from pipeline.storage import HashedFile, Store

if TYPE_CHECKING:
    import pydantic

Recorded = TypeVar("Recorded")


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """A published file."""

    name: str
    """Path relative to the run directory."""
    rows: int
    text_bytes: int
    size: int
    """Bytes of the file."""
    xxh3: str
    """128-bit xxh3 hash of the file."""


def file_record(name: str, sink: HashedFile, rows: int, text_bytes: int) -> FileRecord:
    """The record of a file that was just written."""
    return FileRecord(name, rows, text_bytes, sink.size, sink.hexdigest())


def is_there(store: Store, record: FileRecord) -> bool:
    """Whether the file is there with its recorded size: enough for resuming, since records follow synced files."""
    return store.size(record.name) == record.size


def is_intact(store: Store, record: FileRecord) -> bool:
    """Whether the file still has the content that was recorded, by the hash of all its bytes."""
    if not is_there(store, record):
        return False
    with store.open(record.name) as file:
        hasher = xxhash.xxh3_128()
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest() == record.xxh3


def write_record(store: Store, name: str, record: object) -> None:
    """Publish a record of many numbers: without the white space that people would like to see."""
    with store.create(name) as file:
        file.write(orjson.dumps(record, option=orjson.OPT_SORT_KEYS))


def read_record(store: Store, name: str, kind: type[Recorded]) -> Recorded | None:
    """A record read back as its dataclass; None if there is none or it was written by another version."""
    import pydantic

    try:
        with store.open(name) as file:
            return cast(Recorded, _adapter(cast(Hashable, kind)).validate_json(file.read()))
    except (FileNotFoundError, pydantic.ValidationError):
        return None


@cache
def _adapter(kind: Hashable) -> "pydantic.TypeAdapter[Any]":
    import pydantic

    return pydantic.TypeAdapter(cast(type, kind))
