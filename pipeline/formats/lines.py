"""Lines of a byte stream with their offsets, in bounded memory."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import fsspec

from pipeline.formats.streams import CHUNK_BYTES


class Line(NamedTuple):
    """One line without its newline."""

    offset: int
    """Byte offset of its first byte in the decompressed stream."""
    content: bytes | None
    """None if the line is longer than the limit; its bytes were not kept."""
    length: int
    """Bytes, whether kept or not."""


def lines(chunks: Iterable[bytes], max_bytes: int, offset: int = 0) -> Iterator[Line]:
    r"""Cut a stream into lines at b"\n"; the last one need not end with it. `offset` is that of the first byte.

    >>> list(lines([b"ab\nc", b"d"], 10))
    [Line(offset=0, content=b'ab', length=2), Line(offset=3, content=b'cd', length=2)]
    """
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield _line(offset, held, length, end, max_bytes)
            offset += length + len(end) + 1
            held, length = [], 0
        length += len(rest)
        if length > max_bytes:
            held = []
        elif rest:
            held.append(rest)
    if length:
        yield _line(offset, held, length, b"", max_bytes)


def _line(offset: int, held: list[bytes], length: int, end: bytes, max_bytes: int) -> Line:
    total = length + len(end)
    if total > max_bytes:
        return Line(offset, None, total)
    return Line(offset, b"".join((*held, end)) if held else end, total)


class LineCounter:
    """Turns ascending byte offsets of one uncompressed file into 1-based line numbers, reading each byte once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._offset = 0
        self._line = 1

    def line_at(self, offset: int) -> int:
        """The line that starts at `offset` (bytes), which must not be smaller than in the call before."""
        with fsspec.open(self._url, "rb") as file:
            file.seek(self._offset)
            while self._offset < offset:
                block = file.read(min(CHUNK_BYTES, offset - self._offset))
                if not block:
                    break
                self._line += block.count(b"\n")
                self._offset += len(block)
        return self._line
