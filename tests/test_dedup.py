"""Exact duplicates: one of each text stays, whatever the order, the parts, and the engine."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import exchange
from pipeline.parts import placed, solved
from stages.dedup import Dedup
from stages.errors import ConfigError
from tests.runs import documents, fingerprint, go, write_config, write_jsonl

TEXTS = st.lists(st.tuples(st.text("ab", max_size=2), st.none() | st.floats(0, 3) | st.just(float("nan"))), max_size=30)


def _rows(texts: list[str], prefer: list[float | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "id": [f"id-{number:03d}" for number in range(len(texts))],
            "text_hash": pa.array([xxhash.xxh3_128_digest(text.encode()) for text in texts], pa.binary(16)),
            "text_bytes": pa.array([len(text) for text in texts], pa.int64()),
            "score": pa.array(prefer, pa.float64()),
        }
    )


def _stand_ins(stage: Dedup, rows: pa.RecordBatch) -> list[str | None]:
    parts = stage.open_parts(stage.reduce({}, rows.num_rows))
    narrow = rows.select(["id", *stage.reads])
    answer = solved(stage, parts, placed(stage, parts, narrow), narrow)
    return list(answer.column("exact_duplicate_of").to_pylist())


def _oracle(texts: list[str], prefer: list[float | None] | None) -> list[str | None]:
    """By a dictionary of texts."""
    best: dict[str, tuple[float, int]] = {}
    for number, text in enumerate(texts):
        value = prefer[number] if prefer else 0.0
        key = (float("inf") if value is None or math.isnan(value) else -value, number)
        best[text] = min(best.get(text, key), key)
    return [None if best[text][1] == n else f"id-{best[text][1]:03d}" for n, text in enumerate(texts)]


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["", "score"]), st.integers(1, 40), st.randoms())
def test_one_of_each_text_stays(rows: list[tuple[str, float | None]], prefer: str, part: int, random: Any) -> None:
    texts, values = [text for text, _ in rows], [value for _, value in rows]
    batch = _rows(texts, values)
    expected = _oracle(texts, values if prefer else None)
    stage = Dedup(prefer=prefer, part=part)
    assert _stand_ins(stage, batch) == expected
    order = list(range(len(texts)))
    random.shuffle(order)
    assert _stand_ins(stage, batch.take(pa.array(order, pa.int64()))) == [expected[place] for place in order]


def test_measures_sum_up_over_parts() -> None:
    stage = Dedup()
    rows = _rows(["a", "a", "a", "bb", "bb", "c"], [None] * 6)
    answer = pa.RecordBatch.from_pydict({"exact_duplicate_of": pa.array(_stand_ins(stage, rows))})
    one = stage.measure(0, rows, answer)
    assert one == {"copies": 3, "bytes": 4, "sizes": {"1": 1, "2": 1}}
    both = stage.combine([one, one])
    assert both == {"copies": 6, "bytes": 8, "sizes": {"1": 2, "2": 2}}
    assert stage.measured(both).notes == ("6 exact copies, 8 bytes of text",)


def test_a_run_drops_copies_wherever_they_lie(tmp_path: Path) -> None:
    rows = documents(60)
    copies = [{**row, "id": f"copy-{row['id']}"} for row in rows[::3]]
    inputs = [
        write_jsonl(tmp_path / "a.jsonl", rows[:30] + copies[10:]),
        write_jsonl(tmp_path / "b.jsonl", copies[:10] + rows[30:]),
    ]
    runs = []
    for name, part in (("one", 1_000_000), ("many", 7)):
        config = write_config(tmp_path / f"{name}.yaml", inputs, tmp_path / name, stages=[{"dedup": {"part": part}}])
        finished = go(config)
        assert finished.ledger.kept == 60
        runs.append(fingerprint(tmp_path / name))
    assert runs[0] == runs[1]
    kept = pl.read_parquet(tmp_path / "one" / "data" / "*.parquet")
    assert sorted(kept["text"]) == sorted(row["text"] for row in rows)
    dropped = pl.read_parquet(tmp_path / "one" / "dropped" / "*.parquet")
    assert set(dropped["drop_reason"]) == {"exact_duplicate"}
    text_of = {row["id"]: row["text"] for row in [*rows, *copies]}
    pairs = dropped.select("id", "exact_duplicate_of").rows()
    assert all(text_of[one] == text_of[other] for one, other in pairs)
    assert set(kept["id"]) == set(text_of) - {one for one, _ in pairs}


def test_marked_alone(tmp_path: Path) -> None:
    rows = documents(4)
    path = write_jsonl(tmp_path / "a.jsonl", [*rows, {**rows[0], "id": "zz"}])
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run", stages=[{"dedup": {"drop": False}}])
    assert go(config).ledger.kept == 5
    marked = pl.read_parquet(tmp_path / "run" / "data" / "*.parquet").drop_nulls("exact_duplicate_of")
    assert marked.select("id", "exact_duplicate_of").rows() == [("zz", rows[0]["id"])]


def test_a_part_holds_something() -> None:
    with pytest.raises(ConfigError, match=r"dedup.part: found 0, expected 1 or more"):
        Dedup(part=0)


def test_what_is_preferred_is_a_number(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(6))
    with pytest.raises(ConfigError, match="found the column 'source' of type string"):
        go(write_config(tmp_path / "c.yaml", [path], tmp_path / "out", stages=[{"dedup": {"prefer": "source"}}]))
    go(write_config(tmp_path / "c.yaml", [path], tmp_path / "out", stages=[{"dedup": {"prefer": "text_bytes"}}]))


def test_a_run_that_goes_on_with_other_parts_misses_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of parts enters no hash, and shards that were placed before are not placed anew."""
    rows = documents(40)
    paths = [
        write_jsonl(tmp_path / f"{name}.jsonl", [{**row, "id": f"{name}-{row['id']}"} for row in rows]) for name in "ab"
    ]

    def config(part: int) -> Path:
        stages = [{"dedup": {"part": part}}]
        return write_config(tmp_path / f"{part}.yaml", paths, tmp_path / "out", stages=stages)

    written = exchange.write_pieces
    calls: list[str] = []

    def cut_short(store: Any, name: str, batches: Any) -> Any:
        calls.append(name)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return written(store, name, batches)

    monkeypatch.setattr(exchange, "write_pieces", cut_short)
    with pytest.raises(KeyboardInterrupt):
        go(config(3))
    monkeypatch.undo()
    assert go(config(7)).ledger.kept == len(rows)
