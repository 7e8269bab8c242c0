"""Hugging Face datasets on disk as input, compared with what the `datasets` library loads."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats import BadRecord, FieldNames, InputFile, Record, hf

datasets = pytest.importorskip("datasets")
ROWS = [{"text": f"Entry {i} of the logbook.", "id": f"h{i}", "meta": {"page": i, "tags": ["a"]}} for i in range(43)]


def read(url: str | Path, split_bytes: int = 1 << 30, max_bytes: int = 1 << 20) -> list[Record | BadRecord]:
    size = sum(p.stat().st_size for p in Path(url).rglob("*.arrow")) if Path(url).is_dir() else 0
    parts = hf.splits(InputFile(str(url), "hf", size), split_bytes)
    return [record for split in parts for record in hf.records(split, FieldNames(), max_bytes)]


def fields(found: list[Record | BadRecord]) -> list[dict[str, object]]:
    return [record.fields for record in found if isinstance(record, Record)]


def bad(found: list[Record | BadRecord]) -> list[tuple[int | None, str]]:
    return [(record.place.line, record.reason) for record in found if isinstance(record, BadRecord)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hf") / "plain"
    datasets.Dataset.from_list(ROWS).save_to_disk(str(path), num_shards=3)
    return path


@pytest.fixture(scope="module")
def saved_dict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hf") / "dict"
    parts = {"train": datasets.Dataset.from_list(ROWS[10:]), "test": datasets.Dataset.from_list(ROWS[:10])}
    datasets.DatasetDict(parts).save_to_disk(str(path))
    return path


@settings(max_examples=20, deadline=None)
@given(split_bytes=st.integers(1, 20_000))
def test_the_splits_hold_every_row_once_and_in_order(saved: Path, saved_dict: Path, split_bytes: int) -> None:
    for path in (saved, saved_dict):
        found = read(path, split_bytes)
        assert fields(found) == ROWS
        assert [record.place.line for record in found] == list(range(1, 44))


def test_it_reads_what_the_library_loads(tmp_path: Path) -> None:
    changed = datasets.Dataset.from_list(ROWS).filter(lambda row: row["meta"]["page"] % 3 == 0).shuffle(seed=1)
    changed.with_format(columns=["id", "text"]).save_to_disk(str(tmp_path / "a"))
    assert fields(read(tmp_path / "a")) == list(datasets.load_from_disk(str(tmp_path / "a")))


def test_a_row_over_the_limit_is_too_large(saved: Path) -> None:
    assert set(bad(read(saved, max_bytes=3))) == {(n, "too_large") for n in range(1, 44)}


@pytest.mark.parametrize("split_bytes", [200, 1 << 30])
@pytest.mark.parametrize("keep", [0, 7, 200, -3, -8])
def test_a_damaged_file_costs_its_own_rows(saved: Path, tmp_path: Path, keep: int, split_bytes: int) -> None:
    shutil.copytree(saved, tmp_path / "a")
    first, second, third = sorted((tmp_path / "a").glob("*.arrow"))
    second.write_bytes(second.read_bytes()[:keep])
    found = read(tmp_path / "a", split_bytes)
    assert [reason for _, reason in bad(found)] == ["damaged_file"]
    kept = fields(found)
    assert kept[:15] == ROWS[:15]
    assert kept[-14:] == ROWS[-14:]
    assert len(kept) == (43 if keep in (-8, -3) else 29)
    assert [first.name, third.name] == [p.name for p in sorted((tmp_path / "a").glob("*.arrow")) if p != second]


def test_a_missing_file_costs_its_own_rows(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "a")
    min((tmp_path / "a").glob("*.arrow")).unlink()
    found = read(tmp_path / "a")
    assert bad(found) == [(1, "damaged_file")]
    assert fields(found) == ROWS[15:]


@pytest.mark.parametrize(
    "state", [None, "{", "[]", '{"_data_files": 3}', '{"_data_files": [], "_indices_data_files": [1]}']
)
def test_a_damaged_directory_is_one_bad_record(tmp_path: Path, state: str | None) -> None:
    if state is not None:
        (tmp_path / "state.json").write_text(state)
    assert bad(read(tmp_path)) == [(1, "damaged_file")]


def test_a_damaged_part_of_a_dict_costs_itself(saved_dict: Path, tmp_path: Path) -> None:
    shutil.copytree(saved_dict, tmp_path / "a")
    (tmp_path / "a" / "test" / "state.json").write_text("{")
    found = read(tmp_path / "a")
    assert bad(found) == [(1, "damaged_file")]
    assert fields(found) == ROWS[10:]
    (tmp_path / "a" / "dataset_dict.json").write_text(json.dumps({"nothing": 1}))
    assert bad(read(tmp_path / "a")) == [(1, "damaged_file")]


def test_s3(saved_dict: Path, s3_url: str) -> None:
    import fsspec

    fsspec.filesystem("s3").put(str(saved_dict), f"{s3_url}/", recursive=True)
    assert fields(read(f"{s3_url}/dict", 100)) == ROWS


def test_damaged_offsets_cost_rows_and_not_the_process(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "a")
    path = min((tmp_path / "a").glob("*.arrow"))
    offsets = b"".join(i.to_bytes(4, "little") for i in (0, 23, 46, 69))
    assert offsets in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(offsets, offsets[:8] + b"\xff\xff\xff\x7f" + offsets[12:], 1))
    found = read(tmp_path / "a")
    assert bad(found) == [(2, "unreadable_value"), (3, "unreadable_value")]
    assert fields(found) == [ROWS[0], *ROWS[3:]]
