"""Streams: every byte that a file still holds, and the right word for how it breaks."""

import gzip
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.streams import BLOCK_BYTES, DamagedStream, open_decompressed


def _prose(size: int, seed: int = 0) -> bytes:
    generator = random.Random(seed)
    words = b"the ferry left its pier before any of us had counted lanterns again".split()
    return b" ".join(generator.choice(words) + str(generator.randrange(1000)).encode() for _ in range(size // 8))


BIG = _prose(400_000)
ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}


def read(path: Path) -> tuple[bytes, str]:
    """What a file gives, and the reason of its break (none: an empty string)."""
    found: list[bytes] = []
    try:
        found.extend(open_decompressed(str(path)))
    except DamagedStream as broken:
        return b"".join(found), broken.reason
    return b"".join(found), ""


def decodable(stored: bytes, suffix: str) -> bytes:
    """Oracle: what the decoders of the libraries give, fed one byte after the other."""
    decoder = (
        zlib.decompressobj(wbits=31)
        if suffix == ".gz"
        else zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
    )
    found = bytearray()
    for index in range(len(stored)):
        try:
            found += decoder.decompress(stored[index : index + 1])
        except (zlib.error, zstandard.ZstdError):
            break
        if decoder.eof:
            break
    return bytes(found)


@pytest.mark.parametrize("suffix", list(ENCODE))
@pytest.mark.parametrize("content", [b"", b"x", BIG], ids=["empty", "one byte", "many blocks"])
def test_a_file_gives_its_content(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(ENCODE[suffix](content))
    assert read(path) == (content, "")


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=6), suffix=st.sampled_from([".gz", ".zst"]))
def test_members_in_a_row_are_one_stream(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("members") / f"a{suffix}"
    path.write_bytes(b"".join(map(ENCODE[suffix], parts)))
    assert read(path) == (b"".join(parts), "")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_members_may_end_anywhere_in_a_block(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(1).randbytes(BLOCK_BYTES)
    for cut in (BLOCK_BYTES - 40, BLOCK_BYTES - 20, BLOCK_BYTES):
        first = ENCODE[suffix](noise[: cut - len(ENCODE[suffix](b""))])
        path = tmp_path / f"a{suffix}"
        path.write_bytes(first + ENCODE[suffix](BIG))
        assert read(path) == (noise[: cut - len(ENCODE[suffix](b""))] + BIG, "")


def test_zeros_may_pad_a_gzip_file(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(ENCODE[".gz"](b"one ") + bytes(3) + ENCODE[".gz"](b"two") + bytes(2 * BLOCK_BYTES))
    assert read(path) == (b"one two", "")


def test_start_is_an_offset_in_an_uncompressed_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(BIG)
    assert b"".join(open_decompressed(str(path), 1234)) == BIG[1234:]
    assert b"".join(open_decompressed(str(path), len(BIG))) == b""


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("keep", [1, 9, 20, 300, BLOCK_BYTES, BLOCK_BYTES + 1, -9, -1])
def test_a_truncated_file_gives_what_it_holds(tmp_path: Path, suffix: str, keep: int) -> None:
    stored = ENCODE[suffix](BIG)[:keep]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(stored)
    found, reason = read(path)
    assert reason == "truncated"
    assert found == decodable(stored, suffix)
    assert BIG.startswith(found)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("seed", range(8))
def test_a_corrupt_file_gives_what_stands_before_the_damage(tmp_path: Path, suffix: str, seed: int) -> None:
    stored = bytearray(ENCODE[suffix](BIG))
    at = random.Random(seed).randrange(20, len(stored))
    stored[at:] = random.Random(seed + 100).randbytes(len(stored) - at)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(stored)
    found, reason = read(path)
    assert reason in ("corrupt", "truncated")
    assert found == decodable(bytes(stored), suffix)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("content", [b"a small file\n", BIG], ids=["one block", "many blocks"])
def test_a_wrong_checksum_costs_no_byte(tmp_path: Path, suffix: str, content: bytes) -> None:
    stored = bytearray(ENCODE[suffix](content))
    stored[-1 if suffix == ".zst" else -6] ^= 0xFF
    path = tmp_path / f"a{suffix}"
    path.write_bytes(stored)
    found, reason = read(path)
    assert reason == "corrupt"
    assert found == decodable(bytes(stored), suffix)
    assert suffix == ".zst" or found == content


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_rubbish_behind_a_member_is_corrupt_and_costs_no_byte(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(ENCODE[suffix](b"whole") + b"rubbish, and more of it")
    assert read(path) == (b"whole", "corrupt")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_is_corrupt(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b'{"text": "plain"}\n')
    assert read(path) == (b"", "corrupt")


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(open_decompressed(str(tmp_path / "nothing.gz")))
