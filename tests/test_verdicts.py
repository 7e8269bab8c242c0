"""Verdicts: the right rows, from stages that drop, fail, answer nothing or break their contract."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pipeline.verdicts
from pipeline.documents import Document
from pipeline.formats import Place
from pipeline.plan import Step
from pipeline.quarantine import merge_quarantine
from pipeline.reading import SCHEMA, as_batch
from pipeline.records import file_record
from pipeline.shards import ShardWriter, read_table
from pipeline.sidecars import SidecarRecord, ensure_sidecar
from pipeline.storage import Store
from pipeline.verdicts import Shard, Verdict, judge
from stages.errors import ContractError
from tests.tiny import Echo, Length

TEXTS = ["tide", "a", "harbour null", "harbour nan", "bb", "salt and rope", "bad rope", "ccc", "salt", "bad salt"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty run directory."""
    return Store(str(tmp_path))


def make_shard(store: Store, texts: list[str], repeated: tuple[int, ...] = (), batch: int = 3) -> Shard:
    """A shard of the read step with these texts, of several row groups."""
    documents = [
        Document(f"d{n}", text, "log", "{}", Place("log.jsonl", n + 1, 100 * n), len(text), True)
        for n, text in enumerate(texts)
    ]
    with store.create("steps/00-read-x/shard-00000-000.parquet") as sink, ShardWriter(sink, SCHEMA, 20) as writer:
        for begin in range(0, len(documents), batch):
            held = documents[begin : begin + batch]
            writer.write(as_batch(held), sum(document.text_bytes for document in held))
    size = sum(map(len, texts))
    return Shard(file_record("steps/00-read-x/shard-00000-000.parquet", sink, len(texts), size), repeated)


def run(store: Store, shard: Shard, *stages: Length | Echo) -> Verdict:
    steps = tuple(Step(index, stage.name, f"{index}", stage) for index, stage in enumerate(stages, 1))
    return judge(store, steps, shard, lambda documents, size: None)


def test_every_row_gets_its_own_verdict(store: Store) -> None:
    verdict = run(store, make_shard(store, TEXTS), Length(least=3))
    lengths = [len(text) for text in TEXTS]
    assert verdict.alive.tolist() == [n >= 3 for n in lengths]
    assert verdict.dropped_by.tolist() == [None if n >= 3 else "length" for n in lengths]
    assert verdict.reason.tolist() == [None if n >= 3 else "short" for n in lengths]
    assert verdict.columns.column("length").to_pylist() == lengths
    (counts,) = verdict.counts
    assert (counts.entered, counts.kept, counts.dropped, counts.quarantined) == (10, 8, {"short": 2}, {})


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_a_later_stage_gets_the_values_of_its_own_rows(store: Store, batch: int) -> None:
    verdict = run(store, make_shard(store, TEXTS, repeated=(0, 5), batch=batch), Length(least=3), Echo())
    living = [n for n, text in enumerate(TEXTS) if len(text) >= 3 and n not in (0, 5)]
    expected = [f"d{n}:{len(text)}" if n in living else None for n, text in enumerate(TEXTS)]
    assert verdict.columns.column("echo").to_pylist() == expected
    assert np.flatnonzero(verdict.alive).tolist() == living
    assert [(c.stage, c.entered, c.kept) for c in verdict.counts] == [("length", 8, 6), ("echo", 6, 6)]
    assert verdict.columns.column("length").to_pylist()[0] is None


def test_more_rows_than_a_batch_holds(store: Store) -> None:
    texts = ["x" * (n % 7) + "y" for n in range(2500)]
    verdict = run(store, make_shard(store, texts, batch=2500), Length(least=3), Echo())
    expected = [f"d{n}:{len(text)}" if len(text) >= 3 else None for n, text in enumerate(texts)]
    assert verdict.columns.column("echo").to_pylist() == expected


def test_null_and_nan_are_answers(store: Store) -> None:
    half = run(store, make_shard(store, TEXTS), Length(), Echo()).columns.column("half").to_pylist()
    assert half[2] is None
    assert half[3] != half[3]
    assert half[0] == 2.0


def test_rows_on_which_a_stage_fails_are_lost_alone_and_named_without_text(store: Store) -> None:
    verdict = run(store, make_shard(store, TEXTS), Length(least=2), Echo(fail_on="bad"))
    failed = [n for n, text in enumerate(TEXTS) if "bad" in text]
    assert np.flatnonzero(verdict.alive).tolist() == [n for n in range(10) if n not in (1, *failed)]
    assert verdict.dropped_by[failed].tolist() == [None, None]
    counts = verdict.counts[1]
    assert (counts.entered, counts.kept, counts.quarantined) == (9, 7, {"stage_error": 2})
    merge_quarantine(store, verdict.quarantines)
    rows = read_table(store, "quarantine/part-00000.parquet").to_pylist()
    assert [(r["url"], r["line"], r["offset"], r["id"]) for r in rows] == [
        ("log.jsonl", n + 1, 100 * n, f"d{n}") for n in failed
    ]
    assert {(r["reason"], r["detail"], r["step"], r["count"]) for r in rows} == {
        ("stage_error", "echo: ValueError", "echo", 1)
    }
    assert "rope" not in str(rows)


def test_all_rows_may_fail_or_drop(store: Store) -> None:
    verdict = run(store, make_shard(store, ["bad", "bad too"]), Length(), Echo(fail_on="bad"))
    assert (verdict.alive.sum(), verdict.counts[1].quarantined) == (0, {"stage_error": 2})


def test_nothing_reaches_a_stage_behind_one_that_drops_all(store: Store) -> None:
    verdict = run(store, make_shard(store, TEXTS), Length(least=99), Echo())
    assert (verdict.counts[1].entered, verdict.counts[1].kept) == (0, 0)
    assert verdict.columns.column("echo").to_pylist() == [None] * 10


def test_an_empty_shard_has_an_empty_verdict(store: Store) -> None:
    verdict = run(store, make_shard(store, []), Length(), Echo())
    assert len(verdict.alive) == 0
    assert verdict.columns.schema.names == ["row", "length", "echo", "half"]
    assert verdict.columns.num_rows == 0


def test_no_stage_keeps_all_but_repeated_rows(store: Store) -> None:
    verdict = run(store, make_shard(store, TEXTS, repeated=(2,)))
    assert np.flatnonzero(~verdict.alive).tolist() == [2]
    assert verdict.counts == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("one row less", ["'echo'", "2 rows for 3"]),
        ("other name", ["'echo'", "other: double", "declares", "half: double"]),
        ("other type", ["'echo'", "half: float", "half: double"]),
    ],
)
def test_a_broken_contract_is_named(store: Store, answer: str, words: list[str]) -> None:
    with pytest.raises(ContractError) as error:
        run(store, make_shard(store, TEXTS), Length(), Echo(answer=answer))
    assert all(word in str(error.value) for word in words), error.value


def test_a_stage_that_cannot_open_is_an_error_and_costs_no_row(store: Store) -> None:
    with pytest.raises(OSError, match="the model is gone"):
        run(store, make_shard(store, TEXTS), Length(), Echo(answer="will not open"))
    assert not any("quarantine" in name for name in store.names("steps/02-echo-2"))


def test_thresholds_move_without_a_new_annotation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = make_shard(store, TEXTS)
    run(store, shard, Length(least=3))
    with monkeypatch.context() as patch:
        patch.setattr(Length, "open", _never)
        assert run(store, shard, Length(least=6)).alive.sum() == sum(len(text) >= 6 for text in TEXTS)


def _never(stage: object) -> Callable[[object], object]:
    raise AssertionError("the stage was opened again")


def test_a_sidecar_that_is_gone_or_cut_short_is_made_again(store: Store) -> None:
    shard = make_shard(store, TEXTS)
    first = run(store, shard, Length())
    sidecar = Path(store.path("steps/01-length-1/shard-00000-000.parquet"))
    content = sidecar.read_bytes()
    sidecar.write_bytes(content[:-1])
    assert run(store, shard, Length()).columns == first.columns
    assert sidecar.read_bytes() == content
    sidecar.unlink()
    assert run(store, shard, Length()).columns == first.columns


def test_the_work_of_stages_of_one_name_adds_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.verdicts, "ensure_sidecar", _taking(3.0))
    verdict = run(store, make_shard(store, TEXTS), Length(least=2), Named(), Echo())
    assert verdict.seconds == {"length": 6.0, "echo": 3.0}
    assert [counts.stage for counts in verdict.counts] == ["length", "length", "echo"]


@dataclasses.dataclass(frozen=True)
class Named(Length):
    """The stage `length` once more, with a column of its own."""

    @property
    def adds(self) -> pa.Schema:
        return pa.schema([pa.field("length_again", pa.int64())])

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        return pa.nulls(annotations.num_rows, pa.string())


def _taking(seconds: float) -> Callable[..., SidecarRecord]:
    def ensured(*given: Any) -> SidecarRecord:
        return dataclasses.replace(ensure_sidecar(*given), seconds=seconds)

    return ensured


def test_progress_counts_every_row_and_byte_once(store: Store) -> None:
    seen: list[tuple[int, int]] = []
    steps = (Step(1, "length", "1", Length()),)
    for _ in range(2):
        seen.clear()
        judge(store, steps, make_shard(store, TEXTS), lambda documents, size: seen.append((documents, size)))
        assert (sum(n for n, _ in seen), sum(size for _, size in seen)) == (10, sum(map(len, TEXTS)))
