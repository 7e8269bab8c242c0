"""Documents: the reserved columns, and how a record of any format becomes one."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import orjson
import pyarrow as pa
import xxhash

from pipeline.formats import SUFFIXES, BadRecord, FieldNames, Place, Record

RESERVED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)
"""Columns of every document. `metadata` is a JSON object: all other fields of the input record, as they came."""

PROVENANCE = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("offset", pa.int64()),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("text_hash", pa.binary(16), nullable=False),
    ]
)
"""Columns that accompany documents inside a run: where each came from, the UTF-8 bytes of its text, and their XXH3."""


_NAME_CHARS = 40


class Document(NamedTuple):
    """One document and the place it came from."""

    id: str
    text: str
    source: str
    metadata: str
    place: Place
    text_bytes: int
    """UTF-8 bytes of `text`."""
    own_id: bool
    """Whether the input gave the id; otherwise it is a hash of place and text."""


@dataclass(frozen=True)
class DocumentMaker:
    """Turns the records of one input file into documents."""

    names: FieldNames
    default_source: str
    max_bytes: int
    """UTF-8 bytes of text above which a record is refused as `too_large`."""

    def __call__(self, record: Record) -> Document | BadRecord:
        """The document of a record, or why it is none."""
        fields, place = dict(record.fields), record.place
        text = fields.pop(self.names.text, None)
        if not isinstance(text, str):
            return _no_text(self.names.text, text, record)
        try:
            text_bytes = len(text) if text.isascii() else len(text.encode("utf-8"))
            metadata, id_, source = self._rest(fields)
        except (UnicodeEncodeError, TypeError, RecursionError) as error:
            return _not_unicode(error, place)
        if not text or text.isspace():
            return BadRecord(place, "empty_text", f"field '{self.names.text}' holds no text")
        if text_bytes > self.max_bytes:
            return BadRecord(place, "too_large", f"{text_bytes:,} bytes of text, the limit is {self.max_bytes:,}")
        return Document(id_ or _hash_id(place, text), text, source, metadata, place, text_bytes, bool(id_))

    def _rest(self, fields: dict[str, object]) -> tuple[str, str, str]:
        """Metadata, id and source. A value that cannot be an id or a source stays in the metadata."""
        id_ = _as_id(fields.get(self.names.id))
        source = fields.get(self.names.source)
        named = source if isinstance(source, str) else ""
        for key, used in ((self.names.id, id_), (self.names.source, named)):
            used.encode("utf-8")
            if used or fields.get(key) in (None, ""):
                fields.pop(key, None)
        return _metadata(fields), id_, named or self.default_source


def default_source(url: str) -> str:
    """The source of documents that name none: the file's name without its suffixes.

    >>> default_source("s3://bucket/groups/law_en.jsonl.zst")
    'law_en'
    """
    name = PurePosixPath(url).name
    suffixes = sorted((s for group in SUFFIXES.values() for s in group), key=len, reverse=True)
    return next((name[: -len(s)] for s in suffixes if name.lower().endswith(s) and len(name) > len(s)), name)


def some_names(names: Iterable[str], most: int) -> str:
    """The first names in sorted order, each cut to 40 characters: a name may be as long as a document.

    >>> some_names(["b", "a" * 50, "c"], 2)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…, b, …'
    """
    ordered = sorted(names)
    cut = (name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…" for name in ordered[:most])
    shown = [name.encode("utf-8", "backslashreplace").decode() for name in cut]
    return ", ".join([*shown, "…"] if len(ordered) > most else shown)


def _as_id(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _metadata(fields: dict[str, object]) -> str:
    """The remaining fields as JSON; a lone field `metadata` that is JSON already passes through."""
    lone = fields.get("metadata") if len(fields) == 1 else None
    if isinstance(lone, str) and _is_object(lone):
        return lone
    value = lone if isinstance(lone, dict) else fields
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode() if value else "{}"
    except TypeError as error:
        if "64-bit" not in str(error):
            raise
        return _with_huge_integers(value)


def _is_object(text: str) -> bool:
    try:
        return text.startswith("{") and isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _with_huge_integers(value: dict[str, object]) -> str:
    """JSON with integers of more than 64 bits, which orjson refuses; NaN becomes null, as it does there."""
    plain = json.loads(json.dumps(value), parse_constant=lambda name: None)
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    text.encode("utf-8")
    return text


def _hash_id(place: Place, text: str) -> str:
    position = place.line if place.offset is None else place.offset
    return xxhash.xxh3_128_hexdigest(f"{place.url}\0{position}\0{text}".encode())


def _no_text(name: str, value: object, record: Record) -> BadRecord:
    if name not in record.fields:
        found = some_names(record.fields, 8) or "none"
        return BadRecord(record.place, "missing_text", f"no field '{name}'; the record's fields: {found}")
    kind = "null" if value is None else type(value).__name__
    return BadRecord(record.place, "text_not_string", f"field '{name}' is {kind}, expected a string")


def _not_unicode(error: Exception, place: Place) -> BadRecord:
    if isinstance(error, UnicodeEncodeError) or "surrogate" in str(error):
        return BadRecord(place, "lone_surrogate", "half of a surrogate pair: not a Unicode character")
    return BadRecord(place, "bad_metadata", f"the other fields cannot be written as JSON: {error}")
