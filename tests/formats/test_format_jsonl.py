"""JSON Lines: every line once whatever the cut, and a bad line costs itself alone."""

import gzip
import itertools
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats import BadRecord, FieldNames, InputFile, Record, guess, jsonl

BOM = b"\xef\xbb\xbf"
GOOD = b'{"text": "The ferry is late."}'
LIMIT = 1 << 20


def read(path: Path, split_bytes: int = 1 << 30, max_bytes: int = LIMIT) -> list[Record | BadRecord]:
    parts = jsonl.splits(InputFile(str(path), "jsonl", path.stat().st_size), split_bytes)
    return [record for split in parts for record in jsonl.records(split, FieldNames(), max_bytes)]


def fields(found: list[Record | BadRecord]) -> list[dict[str, object]]:
    return [record.fields for record in found if isinstance(record, Record)]


def bad(found: list[Record | BadRecord]) -> list[tuple[str, int | None, int | None]]:
    return [(r.reason, r.place.line, r.place.offset) for r in found if isinstance(r, BadRecord)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jsonl")


LINES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(
            lambda text: json.dumps({"text": text}, ensure_ascii=False).encode()
        ),
        st.sampled_from([b"", b"  ", b"\t", b"[1]", b"{broken", b'{"text": "\xff"}', b"{}", b"7"]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    content=LINES,
    end=st.sampled_from([b"\n", b"\r\n"]),
    final=st.booleans(),
    bom=st.booleans(),
    split_bytes=st.integers(1, 300),
)
def test_the_splits_hold_every_line_once_with_its_place(
    folder: Path, content: list[bytes], end: bytes, final: bool, bom: bool, split_bytes: int
) -> None:
    data = end.join(content) + (end if final and content else b"")
    data = (BOM if bom and content and content[0].strip() else b"") + data
    path = folder / "a.jsonl"
    path.write_bytes(data)
    found = read(path, split_bytes)
    expected = _expected(data)
    assert [(r.place.offset, _kind(r)) for r in found] == [(offset, kind) for _, offset, kind in expected]
    places = {offset: number for number, offset, _ in expected}
    assert all(r.place.line == places[r.place.offset or 0] for r in found if isinstance(r, BadRecord))
    assert all(r.place.line in (None, places[r.place.offset or 0]) for r in found)


def _expected(data: bytes) -> list[tuple[int, int, object]]:
    """Oracle: (line number, offset, value or None if the line is bad) of the lines that are not blank."""
    found: list[tuple[int, int, object]] = []
    offset = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            found.append((number, offset, _value(line.removeprefix(BOM) if number == 1 else line)))
        offset += len(line) + 1
    return found


def _value(line: bytes) -> object:
    try:
        value = json.loads(line.decode())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _kind(record: Record | BadRecord) -> object:
    return record.fields if isinstance(record, Record) else None


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 10_000), split_bytes=st.integers(1, 4000))
def test_the_cuts_depend_on_size_alone_and_leave_no_gap(size: int, split_bytes: int) -> None:
    found = jsonl.splits(InputFile("a.jsonl", "jsonl", size), split_bytes)
    assert (found[0].start, found[-1].stop) == (0, size or -1)
    assert all(one.stop == two.start for one, two in itertools.pairwise(found))
    assert all(split.stop - split.start <= 2 * split_bytes for split in found)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_file_is_one_split(suffix: str) -> None:
    assert len(jsonl.splits(InputFile(f"a.jsonl.{suffix}", "jsonl", 10_000), 10)) == 1


DAMAGE = {
    "invalid UTF-8": (b'{"text": "\xc3("}', "invalid_utf8"),
    "cut-off JSON": (b'{"text": "a', "invalid_json"),
    "raw NUL": (b'{"text": "a\x00b"}', "invalid_json"),
    "only NULs": (bytes(5), "invalid_json"),
    "two objects": (GOOD + GOOD, "invalid_json"),
    "array": (b'["text"]', "not_an_object"),
    "number": (b"12", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "deeply nested": (b'{"text": "a", "n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
    "5000 digits": (b'{"text": "a", "n": ' + b"1" * 5000 + b"}", "invalid_json"),
    "too long": (b'{"text": "' + b"x" * LIMIT + b'"}', "too_large"),
    "a second BOM": (BOM + GOOD, "invalid_json"),
}


@pytest.mark.parametrize("split_bytes", [20, 1 << 30], ids=["many splits", "one split"])
@pytest.mark.parametrize("line", list(DAMAGE))
def test_a_bad_line_costs_itself_and_its_place_is_told(tmp_path: Path, line: str, split_bytes: int) -> None:
    content, reason = DAMAGE[line]
    if len(content) > 10_000 and split_bytes == 20:
        split_bytes = 50_000
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([GOOD, b"", GOOD, content, GOOD]) + b"\n")
    found = read(tmp_path / "a.jsonl", split_bytes)
    assert bad(found) == [(reason, 4, 2 * len(GOOD) + 3)]
    assert len(fields(found)) == 3


def test_details_hold_no_text(tmp_path: Path) -> None:
    secret = b"lantern"
    broken = [b'{"text": "lantern \xff"}', b'{"text": "lantern', b'["lantern"]', b'"lantern"', b"lantern"]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(broken))
    found = read(tmp_path / "a.jsonl")
    assert len(bad(found)) == len(broken)
    assert not any(secret.decode() in r.detail for r in found if isinstance(r, BadRecord))


def test_odd_but_readable_values_come_through(tmp_path: Path) -> None:
    rows = [b'{"n": NaN}', b'{"n": -Infinity}', b'{"text": "half \\ud800"}', b'{"n": 1e999}', b'{"a": 1, "a": 2}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    found = fields(read(tmp_path / "a.jsonl"))
    assert str(found[0]["n"]) == "nan"
    assert found[1]["n"] == float("-inf")
    assert found[2]["text"] == "half \ud800"
    assert found[3]["n"] == float("inf")
    assert found[4] == {"a": 2}


def test_huge_integers_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"big": {2**64 - 1}, "huge": {10**30}}}')
    (found,) = fields(read(tmp_path / "a.jsonl"))
    assert found["big"] == 2**64 - 1
    assert float(str(found["huge"])) == 1e30


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_with_a_bad_line_tells_its_place(tmp_path: Path, suffix: str) -> None:
    path = _stored(tmp_path, suffix, BOM + GOOD + b"\n\n{broken\n" + GOOD)
    found = read(path, 10)
    assert bad(found) == [("invalid_json", 3, len(BOM + GOOD) + 2)]
    assert len(fields(found)) == 2


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_truncated_file_costs_what_is_missing(tmp_path: Path, suffix: str) -> None:
    rows = [json.dumps({"text": f"Lamp {i} of {i * 7919 % 1000}", "n": i}).encode() for i in range(60_000)]
    path = _stored(tmp_path, suffix, b"\n".join(rows))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = read(path)
    numbers = [row["n"] for row in fields(found)]
    assert numbers == list(range(len(numbers)))
    assert 10_000 < len(numbers) < 50_000
    assert bad(found) == [("truncated", len(numbers) + 1, None)]


def _stored(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"a.jsonl{suffix}"
    path.write_bytes(gzip.compress(data) if suffix == ".gz" else zstandard.ZstdCompressor().compress(data))
    return path


def test_an_empty_file_holds_no_record(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    assert read(tmp_path / "a.jsonl") == []


def test_s3(tmp_path: Path, s3_url: str) -> None:
    import fsspec

    data = b"\n".join([GOOD, b"{broken", GOOD])
    fsspec.filesystem("s3").pipe_file(f"{s3_url}/lines.jsonl", data)
    parts = jsonl.splits(InputFile(f"{s3_url}/lines.jsonl", "jsonl", len(data)), 12)
    found = [record for split in parts for record in jsonl.records(split, FieldNames(), LIMIT)]
    assert bad(found) == [("invalid_json", 2, len(GOOD) + 1)]
    assert len(fields(found)) == 2


@pytest.mark.parametrize("name", ["A.JSONL.GZ", "a.Json.Zst", "a.ndjson.zst", "a.ndjson.gz"])
def test_a_compressed_file_is_known_by_its_name_in_any_case(tmp_path: Path, name: str) -> None:
    pack = gzip.compress if name.lower().endswith(".gz") else zstandard.compress
    (tmp_path / name).write_bytes(pack(b"\n".join([GOOD] * 50)))
    assert guess(str(tmp_path / name)) == "jsonl"
    assert len(fields(read(tmp_path / name, split_bytes=10))) == 50
