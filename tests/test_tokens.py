"""The stage tokens: what it counts, what it drops, and the later stages that count by it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines.local import LocalEngine
from pipeline.run import run
from stages.contract import Stage
from stages.embed import Embed
from stages.errors import ConfigError, ModelError
from stages.model_files import sha256_of
from stages.order import Order
from stages.order_rows import tokens_of
from stages.ordering_compiled import Kernel
from stages.select import Select
from stages.tokenizers import DEFAULT_FILE, open_tokenizer, tokenizer_id
from stages.tokens import Tokens
from tests.rated import Rater
from tests.runs import documents, write_jsonl

TEXTS = ["a ferry", "", None, "Die Fähre fährt um 9:15.\n" * 40, "船", "<|end|>", "\x00\n"]


def annotated(stage: Tokens, texts: list[str | None]) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    answer = stage.open()(batch)
    assert answer.schema.equals(stage.adds)
    assert answer.num_rows == len(texts)
    return answer


def decided(stage: Tokens, answer: pa.RecordBatch) -> list[str | None]:
    reasons = stage.decide(answer)
    assert reasons.type == pa.string()
    return list(reasons.to_pylist())


@pytest.mark.parametrize("tokenizer", ["default", "bytes"])
@pytest.mark.parametrize("end", ["auto", "none"])
def test_counts_are_those_of_the_ids(tokenizer: str, end: str) -> None:
    stage = Tokens(tokenizer=tokenizer, end=end)
    answer = annotated(stage, TEXTS)
    ids = stage.open_tokenizer().encode([text or "" for text in TEXTS])
    assert answer.column("tokens").to_pylist() == [len(row) for row in ids]
    assert set(answer.column("tokenizer").to_pylist()) == {stage.tokenizer_id} == {tokenizer_id(tokenizer)}
    assert decided(stage, answer) == [None] * len(TEXTS)


def test_bytes_are_counted_with_the_end() -> None:
    assert annotated(Tokens("bytes"), ["abc", "é", "", None]).column("tokens").to_pylist() == [4, 3, 0, 0]
    assert annotated(Tokens("bytes", "none"), ["abc", "é", ""]).column("tokens").to_pylist() == [3, 2, 0]
    assert annotated(Tokens(), []).num_rows == 0


def test_thresholds_count_inclusively() -> None:
    answer = annotated(Tokens("bytes", "none"), ["", "a", "ab", "abc", "abcd"])
    for settings, expected in (
        ({"min_tokens": 2}, ["too_short", "too_short", None, None, None]),
        ({"max_tokens": 2}, [None, None, None, "too_long", "too_long"]),
        ({"min_tokens": 1, "max_tokens": 3}, ["too_short", None, None, None, "too_long"]),
        ({}, [None] * 5),
    ):
        assert decided(Tokens("bytes", "none", **settings), answer) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_tokens": -1}, r"tokens\.min_tokens: found -1, expected 0 or more"),
        ({"max_tokens": -1}, r"tokens\.max_tokens: found -1, expected 0 \(no limit\)"),
        ({"min_tokens": 5, "max_tokens": 4}, r"tokens\.max_tokens: found 4, expected .* tokens\.min_tokens \(5\)"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tokens(**settings)


def test_the_file_is_a_model_whose_checksum_counts(tmp_path: Path) -> None:
    assert Tokens().models() == {"tokenizer": DEFAULT_FILE}
    assert Tokens("bytes").models() == {}
    assert (Tokens("bytes").libraries, Tokens().libraries) == ((), ("tokenizers",))
    with pytest.raises(ModelError, match="found no file"):
        Tokens(str(tmp_path / "tokenizer.json")).models()
    with pytest.raises(ConfigError, match=r"tokens\.end: found '<none>'"):
        Tokens(end="<none>").open()


def test_a_tokenizer_that_normalises_is_taken_as_it_is(tmp_path: Path) -> None:
    known = json.loads(DEFAULT_FILE.read_text())
    known["normalizer"] = {"type": "Lowercase"}
    path = tmp_path / "lower.json"
    path.write_text(json.dumps(known))
    answer = annotated(Tokens(str(path)), ["The FERRY"])
    assert answer.column("tokens").to_pylist() == annotated(Tokens(), ["the ferry"]).column("tokens").to_pylist()
    assert answer.column("tokenizer").to_pylist() == [f"lower-{sha256_of(path)[:12]}"]


def kept(folder: Path, *stages: Stage, count: int = 300) -> list[dict[str, Any]]:
    """The rows that a run of these stages keeps, by id."""
    path = write_jsonl(folder / "a.jsonl", documents(count))
    config = RunConfig(InputConfig((str(path),), split_mb=0.05), str(folder / "run"), stages, ShardsConfig(text_mb=0.3))
    with LocalEngine(1) as engine:
        run(config, engine, Console(quiet=True))
    files = sorted((folder / "run/data").iterdir())
    return sorted((row for file in files for row in pq.read_table(file).to_pylist()), key=lambda row: str(row["id"]))


def test_select_counts_its_budget_by_them(tmp_path: Path) -> None:
    select = Select(tokens=6_000, method="top_k", tokens_from="tokens", strata=(), unrated="keep")
    rows = kept(tmp_path, Rater(), Tokens(), select)
    counted = open_tokenizer("default").count([row["text"] for row in rows])
    assert [row["tokens"] for row in rows] == counted.tolist()
    assert 5_000 < counted.sum() <= 6_000


def test_order_fills_its_contexts_by_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    # Compiling would take longer than everything else here, and few documents need it.
    monkeypatch.setattr(Kernel, "__call__", lambda kernel, *given: kernel.plain(*given))
    asked = []
    monkeypatch.setattr("stages.order_parts.tokens_of", lambda *given: asked.append(tokens_of(*given)) or asked[-1])
    stages = Tokens(max_tokens=400), Embed(), Order(tokens_from="tokens", mode="fast", duplicates=0)
    rows = kept(tmp_path, *stages, count=60)
    assert {row["order_status"] for row in rows} == {"placed"}
    assert sorted(np.concatenate(asked).tolist()) == sorted(row["tokens"] for row in rows)
    dropped = pq.read_table(tmp_path / "run/dropped").to_pylist()
    assert {row["drop_reason"] for row in dropped if row["dropped_by"] == "tokens"} == {"too_long"}
