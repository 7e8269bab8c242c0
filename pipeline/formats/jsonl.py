"""JSON Lines: one JSON object a line, UTF-8, plain, .gz or .zst. A bad line costs that line."""

import itertools
import json
from collections.abc import Iterator

import orjson

from pipeline.formats import BadRecord, FieldNames, InputFile, Place, Record, Split, compression
from pipeline.formats.lines import Line, LineCounter, lines
from pipeline.formats.streams import DamagedStream, open_decompressed

_BOM = b"\xef\xbb\xbf"


def splits(file: InputFile, split_bytes: int) -> list[Split]:
    """Byte ranges of about `split_bytes`; a compressed file is one split, since it can only be read from its start.

    So is one of size 0: some web servers do not tell it.
    """
    if compression(file.url) or not file.size:
        return [Split(file, 0, -1)]
    count = max(1, round(file.size / split_bytes))
    cuts = [file.size * i // count for i in range(count + 1)]
    return [Split(file, start, stop) for start, stop in itertools.pairwise(cuts)]


def records(split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    """The objects of the lines that begin inside the split. Blank lines are no records."""
    number = 1
    counter = LineCounter(split.file.url) if split.start else None
    try:
        for line in _lines_of(split, max_bytes):
            if line.content is None or line.content.strip():
                record = _parse(line, Place(split.file.url, None if counter else number, line.offset), max_bytes)
                yield _numbered(record, counter) if isinstance(record, BadRecord) else record
            number += 1
    except DamagedStream as broken:
        yield BadRecord(Place(split.file.url, number, None), broken.reason, broken.detail)


def _lines_of(split: Split, max_bytes: int) -> Iterator[Line]:
    """A line belongs to the split that holds its first byte, so reading starts one byte early to find the first."""
    if split.start == 0:
        found = lines(open_decompressed(split.file.url), max_bytes)
    else:
        found = lines(open_decompressed(split.file.url, split.start - 1), max_bytes, split.start - 1)
        next(found, None)
    if split.stop < 0:
        return found
    return itertools.takewhile(lambda line: line.offset < split.stop, found)


def _numbered(bad: BadRecord, counter: LineCounter | None) -> BadRecord:
    if counter is None or bad.place.offset is None:
        return bad
    place = Place(bad.place.url, counter.line_at(bad.place.offset), bad.place.offset)
    return BadRecord(place, bad.reason, bad.detail, bad.count)


def _parse(line: Line, place: Place, max_bytes: int) -> Record | BadRecord:
    if line.content is None:
        return BadRecord(place, "too_large", f"{line.length:,} bytes, the limit is {max_bytes:,}")
    content = line.content.removeprefix(_BOM) if line.offset == 0 else line.content
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return _parse_slowly(content, place, str(error))
    return _as_record(value, place)


def _parse_slowly(content: bytes, place: Place, message: str) -> Record | BadRecord:
    """What orjson refuses: invalid UTF-8 and broken JSON are bad; NaN and escaped lone surrogates still parse."""
    try:
        return _as_record(json.loads(content.decode("utf-8")), place)
    except UnicodeDecodeError as error:
        return BadRecord(place, "invalid_utf8", f"{error.reason} at byte {error.start} of the line")
    except (ValueError, RecursionError):
        return BadRecord(place, "invalid_json", message)


def _as_record(value: object, place: Place) -> Record | BadRecord:
    if isinstance(value, dict):
        return Record(place, value)
    return BadRecord(place, "not_an_object", f"found {type(value).__name__}, expected one JSON object a line")
