"""WARC and WET: a `conversion` record is text as it is; HTML of a `response` or `resource` is cut to its main content.

Records about the crawl (warcinfo, request, metadata, revisit) are no documents and come as nothing; every other record
that holds no HTML and no plain text comes as `not_text` with its media type.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from pipeline.formats import BadRecord, FieldNames, InputFile, Place, Record, Split
from pipeline.formats.sources import require
from pipeline.formats.warc_records import DOCUMENT_TYPES, WarcRecord, read

_CRAWL_TYPES = frozenset({"warcinfo", "request", "metadata", "revisit"})
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_MAX_DEPTH = 1000
"""Elements inside elements: the time of the extraction grows with the square, so deeper pages would stall a worker."""
_NESTING = re.compile(r"<(/?)(?:div|article|section|main|span|table|ul|ol|blockquote)\b", re.IGNORECASE)


class _Payload(NamedTuple):
    data: bytes
    mime: str
    """Lower case, without parameters; empty if unknown."""
    charset: str | None
    status: int | None


def splits(file: InputFile, split_bytes: int) -> list[Split]:
    """One split, whatever `split_bytes` says. Raises ConfigError if the libraries for WARC are not installed."""
    require("fastwarc.warc", "warc")
    require("resiliparse.parse.encoding", "warc")
    return [Split(file, 0, -1)]


def records(split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    """The documents of the file; place.line is the 1-based number of the WARC record, place.offset its stored byte.

    A page without main content is a record with an empty text. Raises OSError if the storage fails.
    """
    for found in read(split.file.url, max_bytes):
        if isinstance(found, BadRecord):
            yield found
        elif found.kind not in _CRAWL_TYPES and not _is_crawl_log(found):
            yield _document(found, names, max_bytes)


def _is_crawl_log(record: WarcRecord) -> bool:
    return record.kind == "resource" and record.headers.get("warc-target-uri", "").strip("<>").startswith("metadata:")


def _document(record: WarcRecord, names: FieldNames, max_bytes: int) -> Record | BadRecord:
    place = record.place
    if record.kind not in DOCUMENT_TYPES:
        return BadRecord(place, "not_text", f"record of type {record.kind[:40] or 'unknown'}")
    if record.body is None:
        return BadRecord(place, "too_large", f"{record.length:,} bytes, the limit is {max_bytes:,}")
    payload = _payload(record, record.body, max_bytes)
    if isinstance(payload, BadRecord):
        return payload
    if len(payload.data) > max_bytes:
        return BadRecord(place, "too_large", f"more than {max_bytes:,} bytes once decoded")
    text = _text(record, payload)
    return text if isinstance(text, BadRecord) else Record(place, _fields(record, payload, text, names))


def _fields(record: WarcRecord, payload: _Payload, text: str, names: FieldNames) -> dict[str, object]:
    headers = record.headers
    fields: dict[str, object] = {
        "url": headers.get("warc-target-uri", "").strip("<>"),
        "date": headers.get("warc-date"),
        "status": payload.status,
        "content_type": payload.mime or None,
        names.text: text,
        names.id: headers.get("warc-record-id", "").strip("<>").removeprefix("urn:uuid:") or None,
    }
    if "warc-truncated" in headers:
        fields["truncated"] = headers["warc-truncated"]
    return fields


def _payload(record: WarcRecord, body: bytes, max_bytes: int) -> _Payload | BadRecord:
    """The body without its HTTP header and transfer encodings, of which the header may wrongly tell.

    Common Crawl kept the header of a compressed answer but stored it decompressed: if the body cannot be decoded as the
    header says and is text as it is, it is taken as it is.
    """
    if not record.headers.get("content-type", "").startswith("application/http"):
        return _Payload(body, _mime(record.headers.get("content-type")), None, None)
    error: Exception = ValueError()
    for decode in ("all", "content", "none"):
        try:
            payload = _http(record.head + body, decode, max_bytes)
        except (OSError, ValueError) as raised:
            error = raised
            continue
        if decode != "none" or _sniff(payload.data).startswith("text/"):
            return payload
    return BadRecord(record.place, "damaged_body", f"the HTTP body cannot be decoded: {str(error)[:60]}")


def _http(raw: bytes, decode: str, max_bytes: int) -> _Payload:
    record = require("fastwarc.warc", "warc").WarcRecord.from_bytes(raw)
    record.parse_http(auto_decode=decode)
    data = record.reader.read(max_bytes + 1)
    mime = _mime(record.http_content_type) or _sniff(data)
    return _Payload(data, mime, record.http_charset, record.http_headers.status_code)


def _mime(header: str | None) -> str:
    """
    >>> _mime("Text/HTML; charset=utf-8"), _mime(None)
    ('text/html', '')
    """
    return (header or "").partition(";")[0].strip().lower()


def _encodings() -> Any:
    return require("resiliparse.parse.encoding", "warc")


def _sniff(data: bytes) -> str:
    return str(_encodings().detect_mime(data[:4096]))


def _text(record: WarcRecord, payload: _Payload) -> str | BadRecord:
    place = record.place
    if record.kind == "conversion":
        return _utf8(place, payload.data)
    if payload.mime not in _HTML and payload.mime != "text/plain":
        return BadRecord(place, "not_text", payload.mime[:100] or "unknown")
    if record.headers.get("warc-target-uri", "").strip("<>").endswith("/robots.txt"):
        return BadRecord(place, "not_text", "robots.txt")
    text = _decode(payload)
    return _main_content(place, text) if payload.mime in _HTML else text


def _utf8(place: Place, data: bytes) -> str | BadRecord:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadRecord(place, "invalid_utf8", f"{error.reason} at byte {error.start} of the record")


def _decode(payload: _Payload) -> str:
    """Text in the encoding that fits: UTF-8 if it is valid, else as the server says, else as the page says or looks.

    Escape and zero bytes may belong to other encodings that are valid UTF-8. Bytes that do not fit become U+FFFD.
    """
    data = payload.data
    if b"\x1b" not in data and b"\0" not in data:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            pass
    found = _encodings().map_encoding_to_html5(payload.charset, False) if payload.charset else None
    found = found or _encodings().detect_encoding(data, from_html_meta=True) or "utf-8"
    return str(_encodings().bytes_to_str(data, found, "replace"))


def _main_content(place: Place, html: str) -> str | BadRecord:
    depth = _depth(html)
    if depth > _MAX_DEPTH:
        return BadRecord(place, "too_deep", f"HTML nested about {depth:,} deep, the limit is {_MAX_DEPTH:,}")
    extract = require("resiliparse.extract.html2text", "warc").extract_plain_text
    return str(extract(html, main_content=True))


def _depth(html: str) -> int:
    """About how deep the elements of a page are nested, those left out that end without a closing tag.

    >>> _depth("<div><div><p></div></div><div>")
    2
    """
    return max(accumulate(-1 if end else 1 for end in _NESTING.findall(html)), default=0)
