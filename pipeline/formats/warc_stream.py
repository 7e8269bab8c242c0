"""A WARC file as decompressed bytes with known places, which goes on behind damage.

fastwarc ends without a word on a stream that is cut short, and skips bytes that are no record; here both are seen.
"""

import re
import zlib
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK_BYTES = 1 << 14
_OUT_BYTES = 1 << 20
_PROBE_BYTES = 1 << 10
_MAGIC = b"\x1f\x8b\x08"
_RECORD = re.compile(rb"\nWARC/1\.\d\r\n")


class Damage(Exception):
    """Bytes that cannot be read; reading may go on behind them."""

    def __init__(self, reason: str, detail: str) -> None:
        """`detail` holds no document text."""
        super().__init__(detail)
        self.reason = reason
        """`truncated`, `damaged_record` or `damaged_file`."""
        self.detail = detail


class _Piece(NamedTuple):
    data: bytes
    member: int | None
    """Offset in the stored file, if a gzip member starts with these bytes."""


def plain(file: BinaryIO) -> Iterator[_Piece | Damage]:
    """The pieces of an uncompressed file."""
    for block in iter(lambda: file.read(_OUT_BYTES), b""):
        yield _Piece(block, None)


def unzipped(file: BinaryIO) -> Iterator[_Piece | Damage]:
    """The pieces of a gzip file, each of at most 1 MiB. Behind a damaged member come those that hold a record."""
    stored = _Stored(file)
    while stored.at_member():
        try:
            yield from _member(stored)
        except zlib.error as error:
            yield Damage("damaged_record", f"the compressed stream is damaged: {error}")
            stored.seek_record()
        except EOFError:
            yield Damage("truncated", "the compressed stream ends before its end marker")


def _member(stored: "_Stored") -> Iterator[_Piece]:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    start: int | None = stored.offset
    while not decoder.eof:
        if not stored.fill(1):
            raise EOFError
        data = decoder.decompress(stored.held, _OUT_BYTES)
        stored.drop(len(stored.held) - len(decoder.unused_data if decoder.eof else decoder.unconsumed_tail))
        if data:
            yield _Piece(data, start)
            start = None


class _Stored:
    """The stored bytes of a gzip file from `offset` on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.held = b""
        self.offset = 0

    def fill(self, count: int) -> bool:
        """Hold at least `count` bytes; False if the file ends before."""
        while len(self.held) < count and (block := self._file.read(_BLOCK_BYTES)):
            self.held += block
        return len(self.held) >= count

    def drop(self, count: int) -> None:
        self.held = self.held[count:]
        self.offset += count

    def at_member(self) -> bool:
        """Skip the zeros that may pad a gzip file; False at its end."""
        while self.fill(1):
            zeros = len(self.held) - len(self.held.lstrip(b"\0"))
            if zeros == 0:
                return True
            self.drop(zeros)
        return False

    def seek_record(self) -> None:
        """Go to the next gzip member that begins with a WARC record, or to the end."""
        self.drop(1 if self.held else 0)
        while self.fill(_PROBE_BYTES) or self.held:
            found = self.held.find(_MAGIC)
            if found < 0:
                self.drop(max(1, len(self.held) - len(_MAGIC) + 1))
                continue
            self.drop(found)
            self.fill(_PROBE_BYTES)
            if _starts_record(self.held):
                return
            self.drop(1)


def _starts_record(held: bytes) -> bool:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(held, 5) == b"WARC/"
    except zlib.error:
        return False


class Reader:
    """Reads pieces forwards. A method that meets damage raises it once; `seek_record` then goes on behind it."""

    def __init__(self, pieces: Iterator[_Piece | Damage], gz: bool) -> None:
        """`gz` tells whether the pieces are those of a gzip file."""
        self._pieces = pieces
        self._gz = gz
        self._held = bytearray()
        self._at = 0
        self._damage: Damage | None = None
        self._members: deque[tuple[int, int]] = deque()

    def offset(self) -> int | None:
        """Where in the stored file one can start to read here; None inside a gzip member."""
        if not self._gz:
            return self._at
        while self._members and self._members[0][0] < self._at:
            self._members.popleft()
        return self._members[0][1] if self._members and self._members[0][0] == self._at else None

    def peek(self, count: int) -> bytes:
        """The next bytes without taking them; fewer before damage or the end of the file."""
        self._fill(count)
        return bytes(self._held[:count])

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises Damage if the file does not hold them."""
        if not self._fill(count):
            raise self._broken()
        data = bytes(self._held[:count])
        self._drop(count)
        return data

    def skip(self, count: int) -> None:
        """Drop the next `count` bytes without holding them. Raises Damage if the file does not hold them."""
        while count > 0:
            if not self._fill(1):
                raise self._broken()
            step = min(count, len(self._held))
            self._drop(step)
            count -= step

    def until(self, end: bytes, limit: int) -> bytes:
        """The bytes up to and with `end`. Raises Damage if it does not come within about `limit` bytes."""
        found = -1
        while (found := self._held.find(end)) < 0 and len(self._held) <= limit:
            if not self._fill(len(self._held) + 1):
                raise self._broken()
        if not 0 <= found <= limit:
            self._drop(1)
            raise Damage("damaged_record", f"its header does not end within {limit:,} bytes")
        return self.take(found + len(end))

    def unread(self, data: bytes) -> None:
        """Give bytes back that were just taken."""
        self._held[:0] = data
        self._at -= len(data)

    def at_end(self) -> bool:
        """Whether the file is read to its end, without damage left to tell."""
        return not self._fill(1) and self._damage is None

    def end_early(self, detail: str) -> None:
        """Note that the file ended before it should have; the next read raises it."""
        self._damage = self._damage or Damage("truncated", detail)

    def seek_record(self) -> None:
        """Go to the next line that starts a record, or to the end of the file; damage on the way is not told again."""
        if self._fill(6) and self._held.startswith(b"WARC/1"):
            return
        while (found := _RECORD.search(self._held)) is None:
            self._drop(max(0, len(self._held) - 11))
            if not self._fill(len(self._held) + 1):
                if self._damage is None:
                    self._drop(len(self._held))
                    return
                self._broken()
                if self.peek(6) == b"WARC/1":
                    return
        self._drop(found.start() + 1)

    def _fill(self, count: int) -> bool:
        while len(self._held) < count and self._damage is None:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            if isinstance(piece, Damage):
                self._damage = piece
                break
            if piece.member is not None:
                self._members.append((self._at + len(self._held), piece.member))
            self._held += piece.data
        return len(self._held) >= count

    def _broken(self) -> Damage:
        damage = self._damage or Damage("truncated", "the file ends inside a record")
        self._damage = None
        self._drop(len(self._held))
        return damage

    def _drop(self, count: int) -> None:
        del self._held[:count]
        self._at += count
