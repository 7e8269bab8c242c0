"""Each kind of bad input costs what it must and no more, and the ledger closes."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from stages.errors import ConfigError, NothingRead, TooManyBadRecords
from tests.runs import documents, go, write_config, write_jsonl

GOOD = 40
LINES = [json.dumps(row).encode() for row in documents(GOOD, seed=9)]
BODY = b"\n".join(LINES) + b"\n"


def _with_line(line: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / "bad.jsonl"
        path.write_bytes(b"\n".join([*LINES[:3], line, *LINES[3:]]) + b"\n")
        return path

    return build


LINE_CASES = {
    "invalid_utf8": b'{"id": "x", "text": "caf\xe9"}',
    "invalid_json": b'{"id": "x", "text": "cut',
    "invalid_json ": b'{"id": "x", "text": "nul \x00 byte"}',
    "not_an_object": b'["a", "list"]',
    "missing_text": b'{"id": "x", "body": "text under another name"}',
    "text_not_string": b'{"id": "x", "text": 42}',
    "text_not_string ": b'{"id": "x", "text": null}',
    "empty_text": b'{"id": "x", "text": "  \\n "}',
    "lone_surrogate": b'{"id": "x", "text": "half \\ud83d pair"}',
    "repeated_id": LINES[1],
}


@pytest.mark.parametrize("reason", sorted(LINE_CASES))
def test_a_bad_line_costs_that_line(tmp_path: Path, reason: str) -> None:
    path = _with_line(LINE_CASES[reason])(tmp_path)
    finished = go(_config(tmp_path, path))
    assert finished.ledger.quarantined == {reason.strip(): 1}
    assert (finished.ledger.read, finished.ledger.kept) == (GOOD + 1, GOOD)
    (place,) = _places(tmp_path)
    assert (place["url"], place["line"], place["offset"]) == (str(path), 4, sum(len(line) + 1 for line in LINES[:3]))


def test_a_nul_character_written_as_an_escape_is_text(tmp_path: Path) -> None:
    path = _with_line(b'{"id": "x", "text": "nul \\u0000 character, kept as it came"}')(tmp_path)
    finished = go(_config(tmp_path, path))
    assert (finished.ledger.kept, finished.ledger.quarantined) == (GOOD + 1, {})
    table = pq.read_table(tmp_path / "run" / "data")
    assert "nul \x00 character, kept as it came" in table.column("text").to_pylist()


def test_a_line_of_50_mb_is_refused_or_kept_as_the_limit_says(tmp_path: Path) -> None:
    line = b'{"id": "huge", "text": "' + b"long word " * 5_000_000 + b'"}'
    config = _config(tmp_path, _with_line(line)(tmp_path))
    assert go(config).ledger.quarantined == {"too_large": 1}
    finished = go(config, "input.max_document_mb=60")
    assert (finished.ledger.kept, finished.ledger.quarantined) == (GOOD + 1, {})


def test_nested_metadata_and_mixed_schemas_come_through_as_they_came(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "a.jsonl", [{"text": "One text here.", "meta": {"deep": [1, {"x": None}]}}])
    second = write_jsonl(tmp_path / "b.jsonl", [{"text": "Another text.", "meta": "plain", "stars": 5}])
    finished = go(_config(tmp_path, first, second))
    assert finished.ledger.kept == 2
    metadata = pq.read_table(tmp_path / "run" / "data").column("metadata").to_pylist()
    assert [json.loads(m) for m in metadata] == [{"meta": {"deep": [1, {"x": None}]}}, {"meta": "plain", "stars": 5}]


def test_shards_of_mixed_parquet_schemas(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["A text."], "n": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": pa.array(["Another."], pa.large_string()), "n": ["x"]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"body": ["No text column."]}), tmp_path / "c.parquet")
    finished = go(_config(tmp_path, *(tmp_path / f"{name}.parquet" for name in "abc")))
    assert (finished.ledger.kept, finished.ledger.quarantined) == (2, {"missing_text": 1})


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]
)
def test_a_truncated_stream_costs_its_end(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    content = compress(BODY * 50)
    path = tmp_path / f"cut.jsonl{suffix}"
    path.write_bytes(content[: len(content) - 20])
    finished = go(_config(tmp_path, path))
    repeats = finished.ledger.quarantined.get("repeated_id", 0)
    assert finished.ledger.quarantined["truncated"] == 1
    assert finished.ledger.kept + repeats >= GOOD
    assert finished.ledger.closes


def test_a_parquet_file_cut_short_costs_that_file(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"text": ["One text.", "Two texts."]}), whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-30])
    finished = go(_config(tmp_path, whole, tmp_path / "cut.parquet"))
    assert (finished.ledger.kept, finished.ledger.quarantined) == (2, {"damaged_file": 1})


def test_an_empty_file_beside_others_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    finished = go(_config(tmp_path, tmp_path / "empty.jsonl", write_jsonl(tmp_path / "a.jsonl", documents(5))))
    assert finished.ledger.read == 5


def test_nothing_read_explains_itself(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(NothingRead, match="the files are empty"):
        go(_config(tmp_path, tmp_path / "empty.jsonl"))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\n" * 3)
    with pytest.raises(NothingRead, match="all 3 records are bad: invalid_utf8 3"):
        go(_config(tmp_path, tmp_path / "binary.jsonl"))
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_wrong_field_name_fails_at_the_start(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"content": "Some text.", "key": 1}])
    with pytest.raises(ConfigError, match=r"none has a field 'text'.*Fields found: content, key"):
        go(_config(tmp_path, path))
    assert not (tmp_path / "run").exists()


def test_the_error_budget_stops_a_run_that_can_go_on(tmp_path: Path) -> None:
    good = write_jsonl(tmp_path / "a.jsonl", documents(30))
    (tmp_path / "b.jsonl").write_bytes(b"broken\n" * 3)
    config = _config(tmp_path, good, tmp_path / "b.jsonl", max_bad_fraction=0.05)
    with pytest.raises(TooManyBadRecords, match=r"3 of 33 records \(9.1%\).*invalid_json 3"):
        go(config)
    assert [place["line"] for place in _places(tmp_path)] == [1, 2, 3]
    shard = next((tmp_path / "run").glob("steps/00-read-*/shard-0000000-00000.parquet"))
    before = shard.stat().st_mtime_ns
    assert go(config, "input.max_bad_fraction=0.1").ledger.kept == 30
    assert shard.stat().st_mtime_ns == before


def _config(folder: Path, *inputs: Path, max_bad_fraction: float = 1.0) -> Path:
    settings = {"max_bad_fraction": max_bad_fraction}
    return write_config(folder / "config.yaml", inputs, folder / "run", input=settings, stages=[])


def _places(folder: Path) -> list[dict[str, object]]:
    return list(pq.read_table(folder / "run" / "quarantine" / "part-00000.parquet").to_pylist())
