"""A look with a limit: exactly as many records as were asked for, spread over the files, if there are as many."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.formats import InputFile, load
from pipeline.plan import make_plan
from pipeline.reading import ReadTask, read_split
from pipeline.splitting import read_tasks, shares
from pipeline.storage import Store
from tests.tiny import Length


def tasks(folder: Path, counts: Sequence[int], limit: int, **options: float) -> list[ReadTask]:
    for number, count in enumerate(counts):
        lines = "".join(json.dumps({"text": f"Tide {number} {line}."}) + "\n" for line in range(count))
        (folder / f"{number:03}.jsonl").write_text(lines)
    settings = InputConfig(paths=(str(folder / "*.jsonl"),), **options)  # type: ignore[arg-type]
    config = RunConfig(output="run", input=settings, stages=(Length(),), shards=ShardsConfig(), limit=limit)
    return read_tasks(make_plan(config), Store(str(folder / "run")))


def read(found: Sequence[ReadTask]) -> dict[str, int]:
    records = [read_split(task, lambda documents, size: None) for task in found]
    return {Path(record.url).stem: record.read for record in records}


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [
        ([0, 3], 1, {"001": 1}),
        ([0, 0, 0, 2], 2, {"003": 2}),
        ([1, 9, 9], 7, {"000": 1, "001": 3, "002": 3}),
        ([2, 2], 9, {"000": 2, "001": 2}),
        ([5, 5, 5, 5], 2, {"000": 1, "002": 1}),
        ([500], 300, {"000": 300}),
        ([3, 3], sys.maxsize * 4, {"000": 3, "001": 3}),
    ],
)
def test_the_limit_is_exact_and_spread(tmp_path: Path, counts: list[int], limit: int, expected: dict[str, int]) -> None:
    assert read(tasks(tmp_path, counts, limit)) == expected


def test_the_limit_goes_beyond_the_first_split_of_a_file(tmp_path: Path) -> None:
    assert len(tasks(tmp_path, [200], 0, split_mb=0.001)) > 2
    assert read(tasks(tmp_path, [200], 150, split_mb=0.001)) == {"000": 150}


def test_bad_records_count(tmp_path: Path) -> None:
    (tmp_path / "999.jsonl").write_text("{broken\n" * 5)
    assert read(tasks(tmp_path, [1], 4)) == {"000": 1, "999": 3}


@given(held=st.lists(st.integers(0, 9), max_size=12), total=st.integers(0, 60))
def test_shares_add_up_and_are_even(held: list[int], total: int) -> None:
    found = shares(total, len(held), lambda part, most: min(most, held[part]))
    real = [min(one, other) for one, other in zip(found, held, strict=True)]
    assert sum(real) == min(total, sum(held))
    level = max(real, default=0)
    assert all(share in (level - 1, level) or share == most for share, most in zip(real, held, strict=True))


def test_many_empty_files_are_each_looked_into_once() -> None:
    looked: list[int] = []

    def holds(part: int, most: int) -> int:
        looked.append(part)
        return int(part == 99)

    assert shares(1, 100, holds)[99] == 1
    assert len(looked) <= 100


def test_a_file_whose_size_is_unknown_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    (split,) = load("jsonl").splits(InputFile(str(tmp_path / "a.jsonl"), "jsonl", 0), 10)
    assert (split.start, split.stop) == (0, -1)
