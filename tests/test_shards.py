"""Shards: bounded row groups, an explicit schema, the same bytes for the same rows."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.shards import BATCH_ROWS, ShardWriter, iter_batches, pieces, read_table, write_table
from pipeline.storage import HashedFile, Store

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("text", pa.string()), ("n", pa.int32())])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store for all tests here; each writes over what the one before left."""
    return Store(str(tmp_path_factory.mktemp("shards")))


def batch(sizes: list[int], begin: int = 0) -> pa.RecordBatch:
    rows = [{"id": f"d{begin + i}", "text": "x" * size, "n": begin + i} for i, size in enumerate(sizes)]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def write(store: Store, batches: list[list[int]], limit: int) -> HashedFile:
    begin = 0
    with store.create("a.parquet") as sink, ShardWriter(sink, SCHEMA, limit) as writer:
        for sizes in batches:
            writer.write(batch(sizes, begin), sum(sizes))
            begin += len(sizes)
    return sink


BATCHES = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=5), max_size=12)


@settings(max_examples=60, deadline=None)
@given(batches=BATCHES, limit=st.integers(1, 200))
def test_row_groups_are_bounded_by_bytes_of_text_and_as_full_as_can_be(
    store: Store, batches: list[list[int]], limit: int
) -> None:
    write(store, batches, limit)
    found = pq.ParquetFile(store.path("a.parquet"))
    groups = [found.read_row_group(i).column("text").to_pylist() for i in range(found.num_row_groups)]
    sizes = [sum(map(len, texts)) for texts in groups if texts]
    expected: list[int] = []
    for held in map(sum, batches):
        if expected and expected[-1] + held <= limit:
            expected[-1] += held
        else:
            expected.append(held)
    assert sizes == expected
    assert [row for group in groups for row in group] == ["x" * size for sizes in batches for size in sizes]


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(0, 30), max_size=20), limit=st.integers(1, 60))
def test_a_batch_over_the_bound_is_cut(sizes: list[int], limit: int) -> None:
    whole = pa.record_batch({"text_bytes": pa.array(sizes, pa.int64())})
    found = [(piece.column("text_bytes").to_pylist(), size) for piece, size in pieces(whole, limit)]
    assert [size for piece, _ in found for size in piece] == sizes
    assert all(sum(piece) == size and piece and (size <= limit or len(piece) == 1) for piece, size in found)
    assert all(one + two[0] > limit for (_, one), (two, _) in itertools.pairwise(found))


@settings(max_examples=30, deadline=None)
@given(batches=BATCHES)
def test_the_same_rows_give_the_same_bytes(store: Store, batches: list[list[int]]) -> None:
    first = write(store, batches, 100)
    content = Path(store.path("a.parquet")).read_bytes()
    assert write(store, batches, 100).hexdigest() == first.hexdigest()
    assert Path(store.path("a.parquet")).read_bytes() == content


def test_an_empty_shard_has_the_whole_schema(store: Store) -> None:
    write(store, [], 100)
    table = read_table(store, "a.parquet")
    assert (table.schema, table.num_rows) == (SCHEMA, 0)
    with store.open("a.parquet") as file:
        assert sum(found.num_rows for found in iter_batches(file)) == 0


def test_batches_come_in_order_and_within_bounds(store: Store) -> None:
    write(store, [[1] * 1500, [1] * 1500, [1] * 10], 2000)
    with store.open("a.parquet") as file:
        found = list(iter_batches(file, ["n"]))
    assert [n for held in found for n in held.column("n").to_pylist()] == list(range(3010))
    assert max(held.num_rows for held in found) <= BATCH_ROWS
    assert {tuple(held.schema.names) for held in found} == {("n",)}


def test_columns_come_in_the_order_of_the_shard_or_as_asked(store: Store) -> None:
    write(store, [[1, 2]], 100)
    assert read_table(store, "a.parquet", ["n", "id"]).column("n").to_pylist() == [0, 1]
    assert read_table(store, "a.parquet").to_pylist() == batch([1, 2]).to_pylist()


def test_an_error_while_writing_leaves_no_shard(store: Store) -> None:
    def fail() -> None:
        with store.create("b.parquet") as sink, ShardWriter(sink, SCHEMA, 10) as writer:
            writer.write(batch([20]), 20)
            writer.write(batch([20]), 20)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not store.exists("b.parquet")


def test_other_columns_are_refused(store: Store) -> None:
    def fail() -> None:
        with store.create("b.parquet") as sink, ShardWriter(sink, SCHEMA, 10) as writer:
            writer.write(batch([1]).select(["id", "n"]), 1)

    with pytest.raises((pa.ArrowInvalid, ValueError)):
        fail()
    assert not store.exists("b.parquet")


def test_small_tables_are_written_at_once(store: Store) -> None:
    for table in (pa.table({"a": [1, 2]}), pa.table({"a": pa.array([], pa.int64())})):
        write_table(store, "t.parquet", table)
        assert read_table(store, "t.parquet") == table


def test_shards_are_compressed_with_zstd_and_say_nothing_of_text(store: Store) -> None:
    write(store, [[5]], 100)
    meta = pq.ParquetFile(store.path("a.parquet")).metadata.row_group(0)
    columns = {meta.column(i).path_in_schema: meta.column(i) for i in range(3)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert not columns["text"].is_stats_set
    assert columns["n"].is_stats_set
