"""Plain text: one file, one document, UTF-8; plain, .gz or .zst."""

from collections.abc import Iterator

from pipeline.formats import BadRecord, FieldNames, InputFile, Place, Record, Split
from pipeline.formats.streams import DamagedStream, open_decompressed


def splits(file: InputFile, split_bytes: int) -> list[Split]:
    """One split, whatever `split_bytes` says: a document is not cut."""
    return [Split(file, 0, -1)]


def records(split: Split, names: FieldNames, max_bytes: int) -> Iterator[Record | BadRecord]:
    """One record with the whole text, without a byte order mark; its id is the file's URL.

    Raises OSError if the storage fails.
    """
    url = split.file.url
    start = Place(url, 1, 0)
    try:
        content = _content(url, max_bytes)
        if content is None:
            yield BadRecord(start, "too_large", f"more than {max_bytes:,} bytes")
        else:
            text = content.decode("utf-8").removeprefix("\ufeff")
            yield Record(start, {names.text: text, names.id: url})
    except DamagedStream as broken:
        yield BadRecord(start, broken.reason, broken.detail)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        yield BadRecord(Place(url, line, error.start), "invalid_utf8", f"{error.reason} at byte {error.start}")


def _content(url: str, max_bytes: int) -> bytes | None:
    """The file's bytes once decompressed; None if they are more than `max_bytes`, which are not read to their end."""
    content = bytearray()
    for chunk in open_decompressed(url):
        content += chunk
        if len(content) > max_bytes:
            return None
    return bytes(content)
