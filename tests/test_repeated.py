"""Repeated ids: the first in input order stays, every other is named; against a Python dict."""

import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.documents import Document
from pipeline.formats import Place
from pipeline.reading import SCHEMA, as_batch
from pipeline.records import FileRecord, file_record
from pipeline.repeated import quarantine_repeated
from pipeline.shards import ShardWriter, read_table
from pipeline.storage import Store

Ids = list[list[str]]
"""The ids of each shard."""


def write(store: Store, directory: str, ids: Ids) -> list[FileRecord]:
    """Shards of the read step with these ids; every row has a place of its own."""
    records = []
    for number, held in enumerate(ids):
        name = f"{directory}/shard-{number:05d}-000.parquet"
        documents = [
            Document(id_, "The tide.", "log", "{}", Place(f"{number}.jsonl", row + 1, 10 * row), 9, True)
            for row, id_ in enumerate(held)
        ]
        with store.create(name) as sink, ShardWriter(sink, SCHEMA, 30) as writer:
            for document in documents:
                writer.write(as_batch([document]), document.text_bytes)
        records.append(file_record(name, sink, len(held), 9 * len(held)))
    return records


def expected(directory: str, ids: Ids) -> tuple[dict[str, tuple[int, ...]], list[tuple[str, int, int, str]]]:
    seen: dict[str, bool] = {}
    rows: dict[str, tuple[int, ...]] = {}
    places = []
    for number, held in enumerate(ids):
        for row, id_ in enumerate(held):
            if id_ in seen:
                shard = f"{directory}/shard-{number:05d}-000.parquet"
                rows[shard] = (*rows.get(shard, ()), row)
                places.append((f"{number}.jsonl", row + 1, 10 * row, id_))
            seen[id_] = True
    return rows, places


def check(store: Store, ids: Ids) -> None:
    directory = f"steps/00-read-{uuid.uuid4().hex}"
    shards = write(store, directory, ids)
    found = quarantine_repeated(store, directory, shards, lambda count: None)
    rows, places = expected(directory, ids)
    assert (found.rows, found.count) == (rows, len(places))
    assert bool(found.quarantine) == bool(places)
    if places:
        table = read_table(store, found.quarantine).to_pylist()
        assert [(r["url"], r["line"], r["offset"], r["id"]) for r in table] == places
        assert {(r["reason"], r["step"], r["count"]) for r in table} == {("repeated_id", "read", 1)}
    for record in shards:
        store.remove(record.name)
    assert quarantine_repeated(store, directory, shards, lambda count: None) == found, "it is found once and recorded"


IDS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "", "A", "é", "a "]), max_size=8), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS)
def test_the_first_stays_and_the_others_are_named(tmp_path: Path, ids: Ids) -> None:
    check(Store(str(tmp_path)), ids)


def test_many_repeats_over_many_row_groups(tmp_path: Path) -> None:
    check(Store(str(tmp_path)), [[f"d{n % 700}" for n in range(1500)], ["x", "d3", "x"]])


@pytest.mark.parametrize("name", ["a run", "it's", "run[1]", "run*"])
def test_the_name_of_the_run_directory_does_not_matter(tmp_path: Path, name: str) -> None:
    check(Store(str(tmp_path / name)), [["a", "b"], ["b", "a", "c"]])


def test_s3(s3_url: str) -> None:
    check(Store(f"{s3_url}/{uuid.uuid4().hex}"), [["a", "b", "a"], ["b"], []])
