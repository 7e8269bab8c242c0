"""The stage pack: every token in as many contexts as its document has copies, no context too full, groups apart."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines.local import LocalEngine
from pipeline.manifest import Finished
from pipeline.parts import placed, solved
from pipeline.run import run
from stages.contract import Annotate, gathers, is_measuring, settings_of
from stages.errors import ConfigError
from stages.ordering_vectors import floats
from stages.pack import Pack
from stages.pack_documents import copies_of
from stages.pack_parts import BUCKET, NO_BUCKET
from stages.tokens import Tokens
from tests.ordering_sets import EDGES, clusters, hashes, true_neighbours
from tests.runs import documents as documents_of_text
from tests.runs import write_jsonl

STRATEGIES = ("best-fit", "next-fit", "concat")
Rows = dict[str, dict[str, Any]]


def documents(tokens: list[int | None], vectors: Any = None, **columns: Any) -> pa.RecordBatch:
    """Documents 000, 001, ... in a shuffled order of bucket 3, as `order` gives them: neighbours by places."""
    count = len(tokens)
    vectors = clusters(count) if vectors is None else vectors
    position = np.random.default_rng(count).permutation(count)
    lists = true_neighbours(vectors, 4, hashes(count)).ids if count else np.zeros((0, 0), np.int32)
    known = {
        "id": pa.array([f"{number:03}" for number in range(count)], pa.string()),
        "bucket": pa.array([3] * count, pa.int32()),
        "position": pa.array(position + 70, pa.int64()),
        "tokens": pa.array(tokens, pa.int32()),
        "embedding": pa.array(floats(vectors).tolist(), pa.list_(pa.float32())),
        "order_neighbours": pa.array(
            [(position[near] - position[row]).tolist() for row, near in enumerate(lists)], pa.list_(pa.int32())
        ),
        "source": pa.array(["a"] * count, pa.string()),
        **columns,
    }
    return pa.RecordBatch.from_pydict(known)


def pack(stage: Pack, batch: pa.RecordBatch, seed: int = 0, measures: list[Any] | None = None) -> Rows:
    """What is added to each id."""
    parts = stage.open_parts(stage.begin(seed))
    seen = batch.select(list(gathers(stage)))
    answer = solved(stage, parts, placed(stage, parts, seen), seen, measures)
    return dict(zip(batch.column("id").to_pylist(), answer.to_pylist(), strict=True))


def pieces(row: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """(context, place, begin, end) of each part."""
    names = ("context", "context_place", "context_begin", "context_end")
    return list(zip(*(row[name] for name in names), strict=True))


def contexts_of(found: Rows) -> dict[int, list[tuple[int, str, int, int]]]:
    """(place, id, begin, end) of the parts of each context, in order of places."""
    made: dict[int, list[tuple[int, str, int, int]]] = {}
    for id_, row in found.items():
        for context, place, begin, end in pieces(row):
            made.setdefault(context, []).append((place, id_, begin, end))
    return {number: sorted(held) for number, held in sorted(made.items())}


def check(found: Rows, batch: pa.RecordBatch, context: int, copies: dict[str, int] | None = None) -> None:
    """Every token as often as its document has copies; contexts are full from 0 on, of one group, and numbered."""
    tokens = dict(zip(batch.column("id").to_pylist(), batch.column("tokens").to_pylist(), strict=True))
    for id_, row in found.items():
        count = tokens[id_] or 0
        wanted = copies[id_] if copies else 1
        assert row["pack_status"] == ("packed" if count else "no_tokens")
        held = [token for _, _, begin, end in pieces(row) for token in range(begin, end)]
        assert held == list(range(count)) * (wanted if count else 0), id_
    made = contexts_of(found)
    for held in made.values():
        ends = [place + end - begin for place, _, begin, end in held]
        assert [place for place, *_ in held] == [0, *ends[:-1]]
        assert ends[-1] <= context
        assert len({found[id_]["group"] for _, id_, _, _ in held}) == 1
    buckets = {number // BUCKET for number in made}
    for bucket in buckets:
        numbers = [number % BUCKET for number in made if number // BUCKET == bucket]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.one_of(st.none(), st.integers(0, 90)), max_size=30),
    context=st.integers(1, 60),
    upsample=st.sampled_from([0.0, 0.5, 1.0]),
    groups=st.integers(1, 3),
    seed=st.integers(0, 3),
)
def test_every_token_is_there_and_rows_may_come_in_any_order(
    strategy: str, lengths: list[int | None], context: int, upsample: float, groups: int, seed: int
) -> None:
    stage = Pack(context=context, strategy=strategy, upsample=upsample)
    names = [f"group {number % groups}" for number in range(len(lengths))]
    batch = documents(lengths, source=pa.array(names, pa.string()))
    known = np.array([length or 0 for length in lengths], np.int64)
    copies = dict(zip(batch["id"].to_pylist(), copies_of(stage, batch["id"], known, seed).tolist(), strict=True))
    measures: list[Any] = []
    found = pack(stage, batch, seed, measures)
    check(found, batch, context, copies)
    for held in contexts_of(found).values():
        if strategy != "concat":
            assert len({id_ for _, id_, _, _ in held}) == len(held)
    order = np.random.default_rng(seed).permutation(len(lengths))
    assert pack(stage, batch.take(pa.array(order)), seed) == found
    assert all(_agrees(stage, one, found, known, copies) for one in measures)


def _agrees(stage: Pack, one: Any, found: Rows, tokens: np.ndarray, copies: dict[str, int]) -> bool:
    """Whether measures, which must be values for JSON, are those of a plain loop."""
    assert json.loads(json.dumps(one)) == one
    weights = np.array(list(copies.values()))
    contexts, places, held, documents_, *_ = one["strategies"][stage.strategy]
    assert contexts == len(contexts_of(found))
    assert places == contexts * stage.context
    assert held == (tokens * weights).sum() == sum(band[3] for band in one["bands"])
    assert documents_ == (tokens > 0).sum() == sum(band[0] for band in one["bands"])
    assert one["without"] == (tokens == 0).sum()
    assert sum(contexts for *_, contexts in one["groups"].values()) == contexts
    assert stage.strategy == "concat" or one["strategies"][stage.strategy][4] == 0
    return True


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", sorted(EDGES))
def test_edges(name: str, strategy: str) -> None:
    vectors = EDGES[name]
    tokens: list[int | None] = [7 + number % 60 for number in range(len(vectors))]
    batch = documents(tokens, vectors)
    stage = Pack(context=50, strategy=strategy)
    measures: list[Any] = []
    found = pack(stage, batch, measures=measures)
    check(found, batch, 50)
    if measures:
        assert stage.measured(stage.combine(measures)).rows[0][0] == strategy


def test_a_document_longer_than_100_contexts_is_cut_in_order() -> None:
    batch = documents([5, 1_234, 3])
    found = pack(Pack(context=10), batch)
    check(found, batch, 10)
    assert [end - begin for _, _, begin, end in pieces(found["001"])] == [10] * 123 + [4]
    whole = found["001"]["context"][:-1]
    assert whole == list(range(whole[0], whole[0] + 123))


def test_documents_without_a_vector_are_a_bucket_of_their_own() -> None:
    tokens: list[int | None] = [20, 30, None, 0, 25, 15]
    nothing = pa.nulls(6, pa.list_(pa.float32()))
    lists, none = pa.nulls(6, pa.list_(pa.int32())), pa.nulls(6, pa.int32())
    places = pa.array(range(6), pa.int64())
    batch = documents(tokens, embedding=nothing, order_neighbours=lists, bucket=none, position=places)
    stage, measures = Pack(context=50), list[Any]()
    found = pack(stage, batch, measures=measures)
    check(found, batch, 50)
    assert {number // BUCKET for number in contexts_of(found)} == {NO_BUCKET}
    assert [found[id_]["pack_status"] for id_ in ("002", "003")] == ["no_tokens"] * 2
    summary = stage.measured(stage.combine(measures))
    assert summary.rows[0] == ("best-fit", 2, 0.1, 0.0, 0.0, None, None)
    assert "2 documents have no tokens and are in no context" in summary.notes


def test_groups_of_one_document_and_groups_that_change_inside_a_bucket() -> None:
    names = pa.array(["b", "a", "c", "a", "a", "a", None, ""], pa.string())
    batch = documents([5] * 8, source=names)
    found = pack(Pack(context=10), batch)
    check(found, batch, 10)
    assert {row["group"]: 0 for row in found.values()}.keys() == {"a", "b", "c", "none"}
    assert len(contexts_of(found)) == 2 + 1 + 1 + 1
    two = documents([5, 5], source=pa.array(["x", "y"], pa.string()))
    assert [row["group"] for row in pack(Pack(context=10), two).values()] == ["x", "y"]


def test_names_of_groups() -> None:
    source, lang = pa.array(["web", "wiki", None]), pa.array(["de", None, "en"])
    batch = documents([5, 5, 5], source=source, lang=lang, n=pa.array([1, 2, 3]))

    def names(**given: Any) -> list[str]:
        return [row["group"] for row in pack(Pack(**given), batch).values()]

    assert names(by=("source", "lang")) == ["web/de", "wiki/none", "none/en"]
    assert names(by=()) == ["all"] * 3
    assert names(by=("n",)) == ["1", "2", "3"]
    case = "CASE WHEN source = 'web' THEN 'web-' || lang ELSE lang END"
    assert names(by=("source", "lang"), group=case) == ["web-de", "none", "en"]
    assert names(by=("n",), group="CASE WHEN n > 1 THEN 'many' ELSE 'one' END -- a remark") == ["one", "many", "many"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("tokens || 'x'", r"over the columns n gave: Binder Error: .*tokens.*not found"),
        ("n + 1", r"values of type INTEGER; text is needed, such as by CAST"),
        ("unnest(['a', 'b'])", "4 values for 2 documents"),
        ("(SELECT content FROM read_text('/etc/hostname'))", "a PermissionException"),
        ("CAST(CAST('t' || n AS INTEGER) AS VARCHAR)", "gave: a ConversionException"),
        ("CAST(random() AS VARCHAR)", "gave: other values each time; it must depend on the columns alone"),
        ("'x') AS other, ('y'", "gave: values of type VARCHAR, VARCHAR"),
    ],
)
def test_an_expression_that_does_not_fit_is_named(expression: str, message: str) -> None:
    stage = Pack(by=("n",), group=expression)
    batch = documents([5, 5], n=pa.array([1, 2], pa.int32()))
    with pytest.raises(ConfigError, match=message):
        pack(stage, batch)


def test_columns_that_are_no_names_are_named() -> None:
    for column in (pa.array([[1], [2]]), pa.array([b"1" * 16, b"2" * 16], pa.binary(16))):
        with pytest.raises(ConfigError, match=r"found the column 'n' of type .*, expected one of text or numbers"):
            pack(Pack(by=("n",)), documents([5, 5], n=column))


def test_long_documents_are_repeated_and_copies_are_apart() -> None:
    tokens: list[int | None] = [100] * 40 + [256] * 40 + [576] * 200 + [5_000] * 20
    batch = documents(tokens)
    stage, measures = Pack(context=1_024, upsample=0.5, most_copies=4), list[Any]()
    found = pack(stage, batch, 3, measures)
    times = [row["context_begin"].count(0) for row in found.values()]
    assert times[:80] == [1] * 80
    assert set(times[80:280]) == {1, 2}
    assert 70 <= times[80:280].count(2) <= 130
    assert times[280:] == [4] * 20
    check(found, batch, 1_024, dict(zip(found, times, strict=True)))
    again = [row["context_begin"].count(0) for row in pack(stage, batch, 4).values()]
    assert again[80:280] != times[80:280]
    (one,) = measures
    assert one["bands"][1] == [200 + 0, 200 * 576, sum(times[80:280]), sum(times[80:280]) * 576]
    assert one["bands"][2] == [20, 100_000, 80, 400_000]
    notes = stage.measured(one).notes
    assert any(note.startswith("with copies of long documents: below 512") for note in notes)


def test_best_fit_is_more_similar_than_the_others_at_less_padding_than_next_fit() -> None:
    vectors = clusters(600, groups=40, dimensions=32)
    tokens = np.random.default_rng(0).integers(1, 300, 600).tolist()
    batch = documents(tokens, vectors)
    stage, measures = Pack(context=1_000), list[Any]()
    check(pack(stage, batch, measures=measures), batch, 1_000)
    best, after, concat = stage.measured(stage.combine(measures)).rows
    assert [best[0], after[0], concat[0]] == list(STRATEGIES)
    assert best[6] > max(after[6], concat[6])  # type: ignore[operator, type-var]
    assert after[2] > best[2] > concat[2]  # type: ignore[operator]
    assert (best[3], after[3], concat[3] > 0.05) == (0.0, 0.0, True)  # type: ignore[operator]


def test_measures_add_up_whatever_the_grouping() -> None:
    stage, measures = Pack(context=100), list[Any]()
    for number in range(3):
        pack(stage, documents([30, 200, 7 + number], source=pa.array(["a", "b", f"c{number}"])), measures=measures)
    whole = stage.combine(measures)
    assert stage.combine([measures[0], stage.combine(measures[1:])]) == whole
    assert whole["groups"]["b"] == [3, 600, 6]
    assert sorted(whole["groups"]) == ["a", "b", "c0", "c1", "c2"]


def test_too_many_groups_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.pack_measures.MOST_GROUPS", 2)
    stage, measures = Pack(by=("id",)), list[Any]()
    pack(stage, documents([5, 5, 5]), measures=measures)
    with pytest.raises(ConfigError, match="found over 2 groups"):
        stage.combine(measures)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": ("a", "a")}, "pack.by"),
        ({"context": 0}, "pack.context: found 0, expected 1 to"),
        ({"strategy": "best"}, "pack.strategy: found 'best', expected one of best-fit, next-fit, concat"),
        ({"open": 0}, "pack.open"),
        ({"upsample": -1.0}, "pack.upsample"),
        ({"most_copies": 0}, "pack.most_copies"),
        ({"file_mb": 0.0}, "pack.file_mb"),
        ({"group": "CASE WHEN"}, "pack.group: the SQL expression 'CASE WHEN' .* Parser Error"),
        ({"group": "1); DROP TABLE documents; SELECT (1"}, "no single expression"),
    ],
)
def test_settings_that_cannot_be_used_are_explained(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Pack(**given)


def test_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Pack().reads == ("bucket", "position", "tokens", "embedding", "order_neighbours", "source")
    assert set(Pack.remedies) == set(Pack().reads) - {"source"}
    assert "duckdb" in Pack(group="source").libraries
    assert "duckdb" not in Pack().libraries
    assert is_measuring(Pack())
    assert all(info.help for info in settings_of(Pack))
    monkeypatch.setattr("stages.pack.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pack needs numba.*pip install 'tamis\[order\]'"):
        _ = Pack().libraries


@dataclass(frozen=True)
class Ordered:
    """Stands for `embed` and `order`: each row by itself; every seventh has no bucket and no vector."""

    name: ClassVar[str] = "ordered"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def adds(self) -> pa.Schema:
        lists = {"embedding": pa.list_(pa.float32()), "order_neighbours": pa.list_(pa.int32())}
        return pa.schema({"bucket": pa.int32(), "position": pa.int64(), **lists})

    def models(self) -> Mapping[str, Path]:
        return {}

    def open(self) -> Annotate:
        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
            return pa.RecordBatch.from_pylist([self._row(*one) for one in texts], schema=self.adds)

        return annotate

    def _row(self, id_: str, text: str) -> dict[str, Any]:
        file, number = map(int, id_.split("-"))
        row: dict[str, Any] = {"position": 1_000 * file + number}
        if number % 7 == 0:
            return row
        vector = [1.0 + text.count(letter) for letter in "abdefghilmnor"]
        return {**row, "bucket": number % 3, "embedding": vector, "order_neighbours": [3, -3, 6, 9_999]}

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        return pa.nulls(annotations.num_rows, pa.string())


def packed_run(folder: Path, paths: Iterable[Path], stage: Pack, workers: int = 1, split_mb: float = 0.02) -> Finished:
    """Tokens are bytes."""
    input_ = InputConfig(paths=tuple(map(str, paths)), split_mb=split_mb)
    made = RunConfig(input_, str(folder), (Tokens(tokenizer="bytes"), Ordered(), stage), ShardsConfig(text_mb=1), 5)
    with LocalEngine(workers) as engine:
        return run(made, engine, Console(quiet=True))


def rows_of(folder: Path) -> Rows:
    return {row["id"]: row for file in (folder / "data").iterdir() for row in pq.read_table(file).to_pylist()}


def test_in_runs_shards_and_workers_do_not_matter(tmp_path: Path) -> None:
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", documents_of_text(count, n)) for n, count in enumerate((90, 60))]
    stage = Pack(context=1_200, upsample=0.5)
    finished = packed_run(tmp_path / "a", paths, stage)
    packed_run(tmp_path / "b", paths[::-1], stage, workers=2, split_mb=10)
    found = rows_of(tmp_path / "a")
    assert found == rows_of(tmp_path / "b")
    copies = {id_: row["context_begin"].count(0) for id_, row in found.items()}
    check(found, pa.RecordBatch.from_pylist(list(found.values())), 1_200, copies)
    assert set(copies.values()) >= {1, 2}
    assert {number // BUCKET for number in contexts_of(found)} == {0, 1, 2, NO_BUCKET}
    contexts = len(contexts_of(found))
    assert finished.surveys["pack"].notes[0].startswith(f"150 documents in {contexts:,} contexts of 1,200 tokens")
    assert finished.surveys["pack result"].rows[0][:2] == ("best-fit", contexts)
    kept = [json.loads(path.read_bytes()) for path in tmp_path.glob("*/steps/03-pack-*/measured.json")]
    assert kept[0]["groups"] == kept[1]["groups"]
    assert sum(own for *_, own in kept[0]["groups"].values()) == contexts
