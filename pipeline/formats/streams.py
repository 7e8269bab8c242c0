"""Files as streams of decompressed bytes, with the exact place of a break."""

import contextlib
import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol, cast

import fsspec
import zstandard

from pipeline.formats import compression

CHUNK_BYTES = 1 << 20
BLOCK_BYTES = 1 << 13
"""Compressed bytes decoded at once: small, so that a bomb stays small."""


class DamagedStream(Exception):
    """The compressed stream ends too early or is corrupt; all bytes before the break were delivered."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """`truncated` or `corrupt`."""
        self.detail = detail


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes) -> bytes: ...


def open_decompressed(url: str, start: int = 0) -> Iterator[bytes]:
    """Yield the content of a file in chunks, decompressed by its suffix (.gz, .zst; else as it is).

    Several gzip members or zstd frames in a row are one stream. `start` (bytes) is for uncompressed files only.
    Raises DamagedStream after the last good byte; OSError if the file cannot be opened.
    """
    with fsspec.open(url, "rb") as file:
        if start:
            file.seek(start)
        packed = compression(url)
        if packed:
            yield from _to_the_break(file, _gzip_member if packed == ".gz" else _zstd_frame)
        else:
            yield from _read(file, CHUNK_BYTES)


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    return iter(lambda: file.read(size), b"")


def _gzip_member() -> _Decompressor:
    return cast(_Decompressor, zlib.decompressobj(wbits=zlib.MAX_WBITS | 16))


def _zstd_frame() -> _Decompressor:
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def _to_the_break(file: BinaryIO, new_frame: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """The decompressed bytes. A decoder that fails keeps back what it had of the block, which then goes in bytewise."""
    delivered = 0
    try:
        for chunk in _decompress(_read(file, BLOCK_BYTES), new_frame):
            delivered += len(chunk)
            yield chunk
    except DamagedStream:
        yield from _bytewise(file, new_frame, delivered)
        raise


def _bytewise(file: BinaryIO, new_frame: Callable[[], _Decompressor], skip: int) -> Iterator[bytes]:
    """Decode once more, the block that was read last in single bytes; without the first `skip` bytes of the result."""
    blocks_before = (file.tell() - 1) // BLOCK_BYTES
    file.seek(0)
    blocks = (file.read(BLOCK_BYTES) for _ in range(blocks_before))
    with contextlib.suppress(DamagedStream):
        for chunk in _decompress(itertools.chain(blocks, _read(file, 1)), new_frame):
            yield chunk[skip:]
            skip = max(0, skip - len(chunk))


def _decompress(blocks: Iterator[bytes], new_frame: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Zeros may pad a file behind its last member."""
    decoder: _Decompressor | None = None
    for block in blocks:
        data = block
        while data := data if decoder else data.lstrip(b"\0"):
            decoder = decoder or new_frame()
            yield _decoded(decoder, data)
            data = decoder.unused_data if decoder.eof else b""
            decoder = None if decoder.eof else decoder
    if decoder is not None:
        raise DamagedStream("truncated", "the compressed stream ends before its end marker")


def _decoded(decoder: _Decompressor, data: bytes) -> bytes:
    try:
        return decoder.decompress(data)
    except (zlib.error, zstandard.ZstdError) as error:
        raise DamagedStream("corrupt", f"the compressed stream is damaged: {error}") from error
