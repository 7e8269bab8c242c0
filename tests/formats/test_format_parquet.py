"""Parquet as input: every row once, in order; damage costs as little as it can."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats import BadRecord, FieldNames, InputFile, Record, parquet

NAMES = FieldNames()
ROWS = [{"text": f"A line about the river, number {i}.", "id": f"r{i}", "score": i / 2} for i in range(57)]


def read(url: str | Path, split_bytes: int = 1 << 20, max_bytes: int = 1 << 20) -> list[Record | BadRecord]:
    file = InputFile(str(url), "parquet", 0)
    return [
        record for split in parquet.splits(file, split_bytes) for record in parquet.records(split, NAMES, max_bytes)
    ]


def bad(found: list[Record | BadRecord]) -> list[tuple[int | None, str, int]]:
    return [(r.place.line, r.reason, r.count) for r in found if isinstance(r, BadRecord)]


def fields(found: list[Record | BadRecord]) -> list[dict[str, object]]:
    return [r.fields for r in found if isinstance(r, Record)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=10)
    return path


@settings(max_examples=30, deadline=None)
@given(split_bytes=st.integers(1, 5000))
def test_the_splits_hold_every_row_once_and_in_order(written: Path, split_bytes: int) -> None:
    found = read(written, split_bytes)
    assert fields(found) == ROWS
    assert [r.place.line for r in found] == list(range(1, 58))


def test_a_split_is_a_run_of_row_groups(written: Path) -> None:
    file = InputFile(str(written), "parquet", 0)
    assert [(s.start, s.stop) for s in parquet.splits(file, 1)] == [(i, i + 1) for i in range(6)]
    assert [(s.start, s.stop) for s in parquet.splits(file, 1 << 30)] == [(0, 6)]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_kind_of_text_column_works(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["First é", "second", None, "second"]
    pq.write_table(pa.table({"text": pa.array(texts).cast(kind)}), tmp_path / "a.parquet")
    assert [row["text"] for row in fields(read(tmp_path / "a.parquet"))] == texts


def test_values_become_json_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["A text"],
            "at": pa.array([datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)], pa.timestamp("ns", "Europe/Paris")),
            "price": [Decimal("1.50")],
            "nested": [{"tags": ["a", "b"], "when": datetime(2024, 1, 2).date(), "raw": b"utf-8 bytes"}],
            "pairs": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "image": [b"\x89PNG\xff"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert fields(read(tmp_path / "a.parquet")) == [
        {
            "text": "A text",
            "at": "2024-05-06T07:08:09+00:00",
            "price": "1.50",
            "nested": {"tags": ["a", "b"], "when": "2024-01-02", "raw": "utf-8 bytes"},
            "pairs": [["k", 1]],
        }
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_invalid_utf8_costs_one_row(tmp_path: Path, kind: pa.DataType) -> None:
    raw = pa.array([b"good", b"bad \xff byte", b"good too"])
    column = raw if kind == pa.binary() else raw.view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [row["text"] for row in fields(found)] == ["good", "good too"]
    assert bad(found) == [(2, "invalid_utf8", 1)]


def test_a_value_without_json_form_costs_one_row(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": ["a", "b"], "at": pa.array([0, 2**62], pa.timestamp("us"))}), tmp_path / "a.parquet"
    )
    assert bad(read(tmp_path / "a.parquet")) == [(2, "unreadable_value", 1)]


def test_a_row_over_the_limit_is_too_large(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["short", "x" * 101, "y" * 100]}), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", max_bytes=100)
    assert bad(found) == [(2, "too_large", 1)]
    assert len(fields(found)) == 2


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_one_bad_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    assert bad(read(tmp_path / "a.parquet")) == [(None, "damaged_file", 1)]


def test_a_file_cut_short_is_one_bad_record(written: Path, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(written.read_bytes()[:-100])
    assert bad(read(tmp_path / "a.parquet")) == [(None, "damaged_file", 1)]


def test_a_damaged_page_costs_its_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=10, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(2).column(0)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(content)
    found = read(path)
    assert bad(found) == [(21, "damaged_row_group", 10)]
    assert fields(found) == ROWS[:20] + ROWS[30:]


def test_a_missing_file_is_an_error_of_the_storage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing.parquet")


def test_a_table_without_rows_holds_no_record(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == []


def test_s3(written: Path, s3_url: str) -> None:
    import fsspec

    fsspec.filesystem("s3").pipe_file(f"{s3_url}/a.parquet", written.read_bytes())
    assert fields(read(f"{s3_url}/a.parquet", 100)) == ROWS
    with pytest.raises(FileNotFoundError):
        read(f"{s3_url}/missing.parquet")
