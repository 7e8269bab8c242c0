"""The records of a WARC file: headers and bodies, each with its place. A damaged record costs itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import fsspec

from pipeline.formats import BadRecord, Place
from pipeline.formats.warc_stream import Damage, Reader, plain, unzipped

DOCUMENT_TYPES = frozenset({"response", "conversion", "resource"})
_HEADER_BYTES = 1 << 16
_BLANK = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class WarcRecord:
    """One record; its `body` is None if its type is no document type or if it is larger than the limit."""

    place: Place
    kind: str
    """WARC-Type."""
    headers: dict[str, str]
    """By lower-case name."""
    head: bytes
    body: bytes | None
    length: int
    """Bytes of the body, held or not."""


def read(url: str, max_bytes: int) -> Iterator[WarcRecord | BadRecord]:
    """All records of a plain or .gz file in order, with a BadRecord for each damaged stretch.

    place.line is the 1-based record number; place.offset the byte in the stored file where reading can start at that
    record, None inside a gzip member.
    """
    with fsspec.open(url, "rb") as file:
        gz = _is_gzip(file, url)
        reader = Reader(unzipped(file) if gz else plain(file), gz)
        if reader.at_end():
            yield BadRecord(Place(url, None, None), "damaged_file", "the file is empty")
        number = 1
        while not reader.at_end():
            yield from _next(reader, url, number, max_bytes)
            number += 1


def _is_gzip(file: BinaryIO, url: str) -> bool:
    """By content first: downloads may be decompressed under their old name."""
    start = file.read(5)
    file.seek(0)
    return start.startswith(b"\x1f\x8b") or (url.lower().endswith(".gz") and start != b"WARC/")


def _next(reader: Reader, url: str, number: int, max_bytes: int) -> Iterator[WarcRecord | BadRecord]:
    place = Place(url, number, reader.offset())
    try:
        record = _record(reader, place, max_bytes)
    except Damage as damage:
        reader.seek_record()
        nothing = number == 1 and reader.at_end() and damage.reason != "truncated"
        yield BadRecord(place, "damaged_file" if nothing else damage.reason, damage.detail)
        return
    yield record


def _record(reader: Reader, place: Place, max_bytes: int) -> WarcRecord:
    if not b"WARC/".startswith(reader.peek(5)):
        raise Damage("damaged_record", "no WARC record begins here")
    head = reader.until(_BLANK, _HEADER_BYTES)
    headers = _headers(head)
    kind, length = headers.get("warc-type", "").lower(), headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise Damage("damaged_record", "its header holds no valid Content-Length")
    record = WarcRecord(place, kind, headers, head, _body(reader, kind, int(length), max_bytes), int(length))
    _check_end(reader, record)
    return record


def _headers(head: bytes) -> dict[str, str]:
    r"""
    >>> _headers(b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 0\r\n\r\n")
    {'warc-type': 'response', 'content-length': '0'}
    """
    lines = head.decode("utf-8", "replace").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return {name.lower(): value.strip() for name, colon, value in pairs if colon}


def _body(reader: Reader, kind: str, length: int, max_bytes: int) -> bytes | None:
    if kind in DOCUMENT_TYPES and length <= max_bytes:
        return reader.take(length)
    reader.skip(length)
    return None


def _check_end(reader: Reader, record: WarcRecord) -> None:
    """Take the blank lines behind a record. Raises Damage if neither the next record nor the file's end follows."""
    ending = reader.peek(len(_BLANK))
    if ending == _BLANK:
        reader.skip(len(_BLANK))
        return
    blank = len(ending) - len(ending.lstrip(b"\r\n"))
    reader.skip(blank)
    if not reader.peek(1):
        reader.end_early("the file ends before the blank lines behind its last record")
    elif reader.peek(5) != b"WARC/":
        reader.unread((record.body or b"") + ending[:blank])
        raise Damage("damaged_record", "its Content-Length does not lead to the next record")
