import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregates import OTHER, Rows
from pipeline.rating_facts import EXAMPLES, RatingFacts, merged, rating_facts
from pipeline.rating_report import correlations, first_component, rating_section
from pipeline.report import render
from stages.rating import Rating
from stages.rating_protocol import CRITERIA
from stages.ratings import Ratings

SCORES = st.lists(st.lists(st.integers(0, 5), min_size=14, max_size=14), min_size=1, max_size=30)


def facts_of(scores: np.ndarray, start: int = 0, texts: dict[int, str] | None = None) -> RatingFacts:
    count = len(scores)
    ratings = Ratings.none(count, "ok")
    ratings.scores = scores.astype(np.int8)
    ratings.tokens = np.full((count, 2), 3, np.int32)
    table = pa.Table.from_batches([ratings.as_batch("test")])
    ids = [f"id-{start + row}" for row in range(count)]
    sources = [f"source-{(start + row) % 2}" for row in range(count)]
    read = lambda rows: [(ids[row], (texts or {}).get(row, f"text {start + row}")) for row in rows.tolist()]  # noqa: E731
    found = rating_facts(table, sources, ids, np.ones(count, bool), read)
    assert found is not None
    return found


def test_a_shard_without_documents_has_facts_of_none() -> None:
    found = facts_of(np.zeros((0, 14), np.int64))
    assert (found.by_source, found.complete) == ({}, 0)


def test_no_rating_no_facts() -> None:
    assert rating_facts(pa.table({"lang": ["en"]}), ["a"], ["1"], np.ones(1, bool), lambda rows: []) is None


@given(SCORES, st.integers(0, 30))
def test_merging_shards_gives_the_facts_of_all_documents(rows: list[list[int]], cut: int) -> None:
    scores = np.array(rows)
    parts = [part for part in (scores[:cut], scores[cut:]) if len(part)]
    starts = [0, len(scores[:cut])] if len(parts) == 2 else [0]
    split = merged([facts_of(part, start) for part, start in zip(parts, starts, strict=True)])
    whole = merged([facts_of(scores)])
    assert split.by_source == whole.by_source
    assert (split.complete, split.sums, split.products) == (whole.complete, whole.sums, whole.products)
    assert split.prompt_tokens == 3 * len(scores)
    assert split.shown() == whole.shown()
    assert split.documents == sorted(set(split.documents))
    assert all(len(hits) <= EXAMPLES for hits in split.examples.values())


def test_many_sources_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).integers(0, 6, (600, 14))
    names = [f"s{chance}" for chance in np.random.default_rng(1).integers(0, 40, 600)]
    table = pa.Table.from_batches([_rated(scores)])
    read = lambda rows: [("", "")] * len(rows)  # noqa: E731
    ids = [str(row) for row in range(600)]

    def found() -> Rows:
        facts = rating_facts(table, names, ids, np.ones(600, bool), read)
        assert facts is not None
        assert merged([facts]).by_source == facts.by_source
        return facts.by_source

    plain = {
        name: [int((scores[np.array(names) == name, place] == score).sum())
               for place in range(14) for score in range(1, 6)]
        for name in sorted(set(names))
    }  # fmt: skip
    assert found() == plain
    monkeypatch.setattr("pipeline.rating_facts.MOST_VALUES", 5)
    largest = sorted(plain, key=lambda name: (-int(np.sum(plain[name])), name))[:5]
    few = found()
    assert list(few) == [*largest, OTHER]
    assert {name: few[name] for name in largest} == {name: plain[name] for name in largest}
    assert np.sum(list(few.values())) == np.sum(list(plain.values()))


def _rated(scores: np.ndarray) -> pa.RecordBatch:
    ratings = Ratings.none(len(scores), "ok")
    ratings.scores = scores.astype(np.int8)
    return ratings.as_batch("test")


def test_correlations_agree_with_numpy() -> None:
    scores = np.random.default_rng(0).integers(1, 6, (200, 14))
    scores[:, 3] = scores[:, 2]
    matrix = correlations(facts_of(scores))
    np.testing.assert_allclose(matrix, np.corrcoef(scores.T), atol=1e-9)
    assert matrix[2, 3] == pytest.approx(1)


def test_one_axis_is_called_one_axis() -> None:
    same = np.tile(np.random.default_rng(1).integers(1, 6, (100, 1)), (1, 14))
    section = rating_section(facts_of(same), Rating())
    assert section["first_component"] == 1.0
    assert section["one_axis"]
    assert first_component(correlations(facts_of(np.full((9, 14), 3)))) is None


def test_unrated_documents_enter_no_mean() -> None:
    scores = np.zeros((4, 14), int)
    scores[0] = 5
    section = rating_section(facts_of(scores), Rating())
    row = section["rows"]["accuracy"][0]
    assert (row["documents"], row["mean"], row["counts"]) == (1, 5.0, [0, 0, 0, 0, 1])


def test_the_cost_is_of_the_tokens_at_the_prices_given() -> None:
    served = Rating(rater="served", url="http://localhost/v1", prompt_price=1000.0, answer_price=2e6)
    assert rating_section(facts_of(np.full((10, 14), 3)), served)["cost"] == 0.03 + 60.0
    assert rating_section(facts_of(np.full((10, 14), 3)), Rating())["cost"] == 0


def test_examples_are_of_kept_documents_and_escaped() -> None:
    facts = facts_of(np.full((1, 14), 4), texts={0: "<script>alert(1)</script>"})
    assert {key.split("/")[0] for key in facts.shown()} == set(CRITERIA)
    page = render(page_facts(rating_section(facts, Rating())))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def page_facts(section: dict[str, object]) -> dict[str, object]:
    """The least that the template needs beside the ratings."""
    ledger = {"read": 1, "kept": 1, "quarantined": {}}
    return {
        "config": {"output": "x"},
        "tamis": "0",
        "engine": "local",
        "finished": "now",
        "seconds": {"total": 1},
        "ledger": ledger,
        "documents_kept_bytes": 1,
        "parts": [],
        "funnel": [],
        "sources": {},
        "columns_all": {},
        "columns_kept": {},
        "columns": {},
        "rating": section,
        "rating_columns": [],
        "quarantine_places": [],
        "versions": {},
        "steps": [],
    }
