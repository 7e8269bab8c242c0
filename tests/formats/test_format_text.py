"""Text files as input: one file, one document."""

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats import BadRecord, FieldNames, InputFile, Record, guess, text

TEXT = "The mill stood still.\nNobody had oiled the wheel; été après été.\n"
RAW = TEXT.encode()


def read(url: str | Path, max_bytes: int = 1 << 20, split_bytes: int = 10) -> list[Record | BadRecord]:
    file = InputFile(str(url), "text", 0)
    found = [text.records(split, FieldNames(), max_bytes) for split in text.splits(file, split_bytes)]
    return [record for records in found for record in records]


def reasons(found: list[Record | BadRecord]) -> list[tuple[str, int | None]]:
    return [(record.reason, record.place.offset) for record in found if isinstance(record, BadRecord)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", RAW),
        ("a.md", b"\xef\xbb\xbf" + RAW),
        ("a.txt.gz", gzip.compress(RAW, mtime=0)),
        ("a.txt.gz", gzip.compress(RAW[:20], mtime=0) + gzip.compress(RAW[20:], mtime=0)),
        ("A.TXT.GZ", gzip.compress(RAW, mtime=0)),
        ("a.md.gz", gzip.compress(RAW, mtime=0)),
        ("a.md.zst", zstandard.compress(RAW)),
        ("a.txt.zst", zstandard.compress(RAW)),
        ("a.txt.zst", zstandard.compress(RAW[:20]) + zstandard.compress(RAW[20:])),
    ],
)
def test_a_file_is_one_document(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert guess(name) == "text"
    (record,) = read(tmp_path / name)
    assert isinstance(record, Record)
    assert record.fields == {"text": TEXT, "id": str(tmp_path / name)}


@settings(max_examples=30, deadline=None)
@given(content=st.text(), split_bytes=st.integers(1, 100))
def test_any_text_is_read_once_for_any_split(
    tmp_path_factory: pytest.TempPathFactory, content: str, split_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(content.encode())
    (record,) = read(path, split_bytes=split_bytes)
    assert isinstance(record, Record)
    assert record.fields["text"] == content.removeprefix("\ufeff")


@pytest.mark.parametrize("cut", [-1, -8, -20])
@pytest.mark.parametrize(("name", "compress"), [("a.txt.gz", gzip.compress), ("a.txt.zst", zstandard.compress)])
def test_a_compressed_file_cut_short_is_truncated(tmp_path: Path, name: str, compress, cut: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    (tmp_path / name).write_bytes(compress(RAW)[:cut])
    assert reasons(read(tmp_path / name)) == [("truncated", 0)]


def test_a_damaged_file_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(b"no gzip at all")
    assert reasons(read(tmp_path / "a.txt.gz")) == [("corrupt", 0)]


def test_invalid_utf8_names_the_first_bad_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"line\nca\xe9 and \xff")
    (record,) = read(tmp_path / "a.txt")
    assert isinstance(record, BadRecord)
    assert (record.reason, record.place.line, record.place.offset) == ("invalid_utf8", 2, 7)


@pytest.mark.parametrize(("limit", "expected"), [(len(RAW), []), (len(RAW) - 1, [("too_large", 0)])])
def test_a_file_over_the_limit_is_too_large(tmp_path: Path, limit: int, expected: list[tuple[str, int]]) -> None:
    (tmp_path / "a.txt").write_bytes(RAW)
    assert reasons(read(tmp_path / "a.txt", limit)) == expected


def test_s3(s3_url: str) -> None:
    import fsspec

    fsspec.filesystem("s3").pipe_file(f"{s3_url}/a.txt.gz", gzip.compress(RAW))
    (record,) = read(f"{s3_url}/a.txt.gz")
    assert isinstance(record, Record)
    assert record.fields["text"] == TEXT
