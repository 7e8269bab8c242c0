"""Selection: exactly what one sort of all rows gives, however the rows lie; drawn as it should be; loud about lacks."""

import dataclasses
import doctest
import importlib
import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import as_plain, build_config
from pipeline.plan import digest
from pipeline.sections import build
from stages import select_search
from stages.contract import values_of
from stages.errors import ConfigError
from stages.frozen import Frozen
from stages.rating_protocol import CRITERIA
from stages.select import Select
from stages.select_rows import gumbel, key_of, logarithm, ordered
from tests.rated import batch, best_first, by_stratum, greedy, row, selected, some_rows, surveyed

COUNTED: dict[str, Any] = {"tokens_from": "count"}


def taken(stage: Select, rows: list[dict[str, Any]], seed: int = 0) -> set[str]:
    return {id_ for id_, said in selected(stage, [rows], seed).items() if said["select_copies"]}


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.sampled_from("abc")), min_size=1, max_size=80),
    budget=st.integers(1, 300),
    cuts=st.lists(st.integers(0, 80), max_size=4),
    method=st.sampled_from(["top_k", "sample"]),
    sample=st.sampled_from([1, 2, 5, 1000]),
    seed=st.integers(0, 3),
)
def test_it_is_what_one_sort_of_all_rows_gives(
    scores: list[tuple[int, int, str]], budget: int, cuts: list[int], method: str, sample: int, seed: int
) -> None:
    """With samples of few documents, too, so that many rounds are needed."""
    rows = [row(n, score, count=count, source=source) for n, (score, count, source) in enumerate(scores)]
    stage = Select(tokens=budget, method=method, **COUNTED)
    places = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select_search, "SAMPLE", max(sample, 3))
        said = selected(stage, [rows[one:two] for one, two in itertools.pairwise(places)], seed)
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert selected(stage, [shuffled], seed) == said
    summary = {found[0]: found for found in stage.summary(surveyed(stage, [rows], seed)).rows}
    tokens = {found["id"]: found["count"] for found in rows}
    for source, ids in by_stratum(rows, "source").items():
        asked = summary[source][4]
        expected = greedy(best_first(said, ids, seed), tokens, asked) if asked else set()
        expected = expected if any(tokens[id_] for id_ in ids) else set(ids)  # what holds no tokens costs none
        got = {i for i in ids if said[i]["select_copies"]}
        assert got == expected
        assert sum(tokens[i] for i in got) == summary[source][6] <= asked
        assert len(got) == summary[source][5]


@pytest.mark.parametrize("ties", [True, False])
def test_large_strata_take_three_rounds(ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_search, "SAMPLE", 400)
    rows = some_rows(20_000, ties=ties)
    stage = Select(tokens=200_000, method="top_k", **COUNTED)
    states = [
        surveyed(stage, splits) for splits in ([rows], [rows[:7], rows[7:12_000], [], rows[12_000:]], [rows[::-1]])
    ]
    assert states[0] == states[1] == states[2]
    assert states[0]["rounds"] == 3
    said = selected(stage, [rows])
    tokens = {found["id"]: found["count"] for found in rows}
    for name, ids in by_stratum(rows, "source").items():
        got = {i for i in ids if said[i]["select_copies"]}
        assert got == greedy(best_first(said, ids, 0), tokens, states[0]["strata"][name]["asked"])


def test_all_scores_alike_are_told_apart_by_the_seed() -> None:
    rows = [row(n, 3) for n in range(500)]
    stage = Select(tokens=1000, method="top_k", **COUNTED)
    found = [taken(stage, rows, seed) for seed in (1, 2)]
    assert [len(one) for one in found] == [100, 100]
    assert len(found[0] & found[1]) < 50
    assert taken(stage, rows, -1) == taken(stage, rows, 2**64 - 1)


def test_the_document_at_the_border_is_left_out_and_ends_it() -> None:
    rows = [row(0, 5, count=6), row(1, 4, count=5), row(2, 3, count=1)]
    stage = Select(tokens=10, method="top_k", strata=(), **COUNTED)
    assert taken(stage, rows) == {"d0"}
    assert taken(dataclasses.replace(stage, tokens=11), rows) == {"d0", "d1"}


def test_a_document_larger_than_the_budget_gives_nothing_and_says_so() -> None:
    stage = Select(tokens=10, method="top_k", strata=(), **COUNTED)
    state = surveyed(stage, [[row(0, 5, count=11), row(1, 1, count=1)]])
    assert taken(stage, [row(0, 5, count=11), row(1, 1, count=1)]) == set()
    notes = stage.summary(state).notes
    assert notes[0] == "0 tokens of 10 asked, 0 of 2 candidates that hold 12 tokens"
    assert notes[1].startswith("10 tokens are left since the next document of a stratum does not fit")
    assert notes[1].endswith("1 strata give none")


def test_more_asked_than_there_is_takes_all_and_is_loud() -> None:
    rows = some_rows(50)
    supply = sum(found["count"] for found in rows)
    stage = Select(tokens=supply + 100, **COUNTED)
    assert len(taken(stage, rows)) == 50
    notes = stage.summary(surveyed(stage, [rows])).notes
    assert notes[1] == "SHORTFALL: the budget is larger than the supply by 100 tokens"
    assert "SHORTFALL: 100 tokens that 3 strata lack" in notes[2]
    assert len(taken(Select(**COUNTED), rows)) == 50


def test_tokens_are_estimated_from_bytes() -> None:
    rows = [row(n, 3, text_bytes=41) for n in range(10)]
    assert len(taken(Select(tokens=33), rows)) == 3
    assert len(taken(Select(tokens=33, bytes_per_token=41.0), rows)) == 10


def test_shares_of_the_supply_are_kept() -> None:
    rows = [row(n, 1 + 4 * (n % 10 == 0), source="a" if n < 800 else "b") for n in range(1000)]
    stage = Select(tokens=5000, **COUNTED)
    counts = {name: len(set(ids) & taken(stage, rows)) for name, ids in by_stratum(rows, "source").items()}
    assert counts == {"a": 400, "b": 100}


def test_equal_and_given_shares_and_what_they_lack() -> None:
    rows = [row(n, 3, source="abc"[min(2, n // 450)]) for n in range(1000)]  # 450, 450 and 100 documents
    equal = Select(tokens=6000, shares="equal", **COUNTED)
    table = {found[0]: found for found in equal.summary(surveyed(equal, [rows])).rows}
    assert [(table[name][4], table[name][6], table[name][7]) for name in "abc"] == [
        (2000, 2000, 0),
        (2000, 2000, 0),
        (2000, 1000, 1000),
    ]
    spread = dataclasses.replace(equal, shortfall="redistribute")
    table = {found[0]: found for found in spread.summary(surveyed(spread, [rows])).rows}
    assert [table[name][6] for name in "abc"] == [2500, 2500, 1000]
    given_ = Select(tokens=1000, shares={"a": 0.75, "c": 0.25}, **COUNTED)
    said = selected(given_, [rows])
    counts = {name: sum(said[i]["select_copies"] for i in ids) for name, ids in by_stratum(rows, "source").items()}
    assert counts == {"a": 75, "b": 0, "c": 25}
    assert {said[i]["select_status"] for i in by_stratum(rows, "source")["b"]} == {"share_zero"}
    assert "1 strata have no share and give nothing: b" in given_.summary(surveyed(given_, [rows])).notes


def test_documents_are_repeated_only_if_asked_and_at_most_so_often() -> None:
    rows = [row(n, n % 5 + 1) for n in range(10)]
    once = Select(tokens=250, method="top_k", **COUNTED)
    assert {said["select_copies"] for said in selected(once, [rows]).values()} == {1}
    copies = {i: said["select_copies"] for i, said in selected(dataclasses.replace(once, max_copies=9), [rows]).items()}
    assert sorted(copies.values()) == [2] * 5 + [3] * 5
    assert {i for i, n in copies.items() if n == 3} >= {"d4", "d9", "d3", "d8"}
    capped = dataclasses.replace(once, max_copies=2)
    assert {said["select_copies"] for said in selected(capped, [rows]).values()} == {2}
    assert capped.summary(surveyed(capped, [rows])).rows[0][6:9] == (200, 50, 2)


def test_minimums_and_missing_ratings_are_reasons() -> None:
    rows = [row(0, 3), row(1, 2), row(2, None), row(3, 3, rating_accuracy=1), row(4, 5, rating_accuracy=None)]
    stage = Select(min_overall_score=3, min_accuracy=2)
    said = {id_: one["select_status"] for id_, one in selected(stage, [rows]).items()}
    assert said == {
        "d0": "selected", "d1": "min_overall_score", "d2": "unrated", "d3": "min_accuracy", "d4": "unrated"
    }  # fmt: skip
    keep = dataclasses.replace(stage, unrated="keep", tokens=20, method="top_k")
    assert {id_: one["select_status"] for id_, one in selected(keep, [rows]).items()}["d4"] == "selected"
    assert selected(keep, [rows])["d2"]["select_status"] == "not_selected"
    answer = stage.open_with(surveyed(stage, [rows]))(batch(rows))
    assert stage.decide(answer).to_pylist() == [None, "min_overall_score", "unrated", "min_accuracy", "unrated"]


def test_the_expected_score_ranks_and_the_integer_stands_in() -> None:
    rows = [row(0, 4, 3.5), row(1, 4), row(2, 4, 4.4)]
    stage = Select(tokens=20, method="top_k", **COUNTED)
    said = selected(stage, [rows])
    assert [round(said[f"d{n}"]["select_score"], 6) for n in range(3)] == [3.5, 4.0, 4.4]
    assert taken(stage, rows) == {"d1", "d2"}


def test_weights_make_a_mean() -> None:
    stage = Select(weights={"accuracy": 3, "coherence": -1})
    said = selected(stage, [[row(0, 5, rating_coherence=1)]])
    assert said["d0"]["select_score"] == (15 - 1) / 4
    assert set(stage.reads) >= {"rating_accuracy", "rating_coherence_mean", "source", "text_bytes"}
    assert "text" not in stage.reads


def test_strata_of_two_columns_never_meet() -> None:
    rows = [row(0, 3, source="a | b", domain="c"), row(1, 3, source="a", domain="b | c"), row(2, 3, domain=None)]
    strata = surveyed(Select(strata=("source", "domain")), [rows])["strata"]
    assert set(strata) == {"a | (none)", "a | b \\| c", "a \\| b | c"}


def test_too_many_strata_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_search, "MOST_STRATA", 4)
    rows = [row(n, 3, source=f"s{n}") for n in range(6)]
    with pytest.raises(ConfigError, match="more than 4 strata"):
        surveyed(Select(), [rows])
    with pytest.raises(ConfigError, match="more than 4 strata"):
        surveyed(Select(), [rows[:3], rows[3:]])


def test_many_strata_are_exact() -> None:
    rows = [row(n, n % 5 + 1, source=f"s{n % 3000}", count=7) for n in range(9000)]
    stage = Select(tokens=9000 * 7 // 3 + 1, method="top_k", **COUNTED)
    said = selected(stage, [rows[:5000], rows[5000:]])
    counts = {name: sum(said[i]["select_copies"] for i in ids) for name, ids in by_stratum(rows, "source").items()}
    assert set(counts.values()) == {1}


def test_an_unknown_share_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"no document of stratum 'wikipedai' .*did you mean 'wikipedia'\?"):
        surveyed(Select(tokens=5, shares={"wikipedai": 1}), [[row(0, 3, source="wikipedia")]])
    stage = Select(tokens=40, shares={"law": 0.5, "finance": 0.5}, strata=("domain",), **COUNTED)
    notes = stage.summary(surveyed(stage, [[row(0, 3), row(1, 3)]])).notes
    assert "SHORTFALL: 20 tokens that 1 strata lack: finance 20 of 20" in notes


@pytest.mark.parametrize("column", ["count", "source"])
def test_a_token_column_must_hold_counts(column: str) -> None:
    with pytest.raises(ConfigError, match=f"the column '{column}'"):
        surveyed(Select(tokens_from=column), [[row(0, 3, count=None)]])


def test_drawing_follows_the_softmax_of_the_scores() -> None:
    """The first of a draw without replacement is i with probability softmax(score / temperature)."""
    scores, temperature = [1.0, 2.0, 3.0, 5.0], 2.0
    rows = [row(n, 3, score) for n, score in enumerate(scores)]
    stage = Select(tokens=10, strata=(), temperature=temperature, **COUNTED)
    annotate = stage.open_with(surveyed(stage, [rows]))
    trials = 4000
    many = [{**found, "id": f"{trial}-{found['id']}"} for trial in range(trials) for found in rows]
    keys = np.array(annotate(batch(many)).column("select_key").to_pylist()).reshape(trials, -1)
    weights = np.exp(np.array(scores) / temperature)
    first = np.bincount(keys.argmax(axis=1), minlength=4) / trials
    assert np.abs(first - weights / weights.sum()).max() < 0.03
    order = np.argsort(-keys, axis=1)
    of_last_first = order[order[:, 0] == 3][:, 1]
    second = np.bincount(of_last_first, minlength=4)[:3] / len(of_last_first)
    assert np.abs(second - weights[:3] / weights[:3].sum()).max() < 0.04


def test_noise_and_order_are_what_they_should_be() -> None:
    values = np.concatenate([np.random.default_rng(0).uniform(1e-300, 1, 2000), [5e-324, 1 - 2**-53, 0.5, 1.0, 1e308]])
    assert np.allclose(logarithm(values), np.log(values), rtol=1e-15, atol=1e-17)
    noise = gumbel(np.random.default_rng(1).integers(0, 2**64, 100_000, np.uint64))
    assert (abs(noise.mean() - 0.5772), abs(noise.std() - math.pi / math.sqrt(6))) < (0.02, 0.02)
    assert np.isfinite(gumbel(np.array([0, 2**64 - 1], np.uint64))).all()
    numbers = np.array([-np.inf, -2.5, -1e-300, 0.0, 3.0, np.inf])
    codes = ordered(numbers)
    assert (np.diff(codes.astype(object)) > 0).all()
    assert ordered(np.array([-0.0])) == ordered(np.array([0.0]))
    assert [key_of(int(code).to_bytes(8, "big")) for code in codes] == numbers.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "topk"}, r"select\.method: found 'topk', expected one of top_k, sample; did you mean 'top_k'\?"),
        ({"tokens": -1}, r"select\.tokens: found -1, expected 0 to 4,611"),
        ({"temperature": 0}, r"select\.temperature"),
        ({"temperature": math.nan}, r"select\.temperature"),
        ({"bytes_per_token": 0}, r"select\.bytes_per_token"),
        ({"max_copies": 0}, r"select\.max_copies: found 0, expected 1 to 1000"),
        ({"weights": {}}, r"select\.weights"),
        ({"weights": {"overall_score": 0}}, r"not all of them 0"),
        ({"weights": {"overal_score": 1}}, r"did you mean 'overall_score'\?"),
        ({"weights": {"overall_score": math.inf}}, r"finite"),
        ({"strata": ["source", "source"]}, r"select\.strata"),
        ({"strata": ["a", "b", "c"]}, r"at most two"),
        ({"shares": "evenly"}, r"expected one of proportional, equal"),
        ({"tokens": 5, "shares": {"a": 0.6, "b": 0.6}}, r"whose sum is 1"),
        ({"tokens": 5, "shares": {"a": 1.5, "b": -0.5}}, r"0 or more"),
        ({"shares": {"a": 1}}, r"set select\.tokens"),
        ({"tokens": 5, "shares": {"lore": 1}, "strata": ["domain"]}, r"found 'lore', expected one of medicine"),
        ({"shortfall": "x"}, r"select\.shortfall"),
        ({"unrated": "x"}, r"select\.unrated"),
        ({"min_accuracy": 6}, r"select\.min_accuracy: found 6, expected 0 to 5"),
        ({"min_acuracy": 1}, r"did you mean 'min_accuracy'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Select, values, "select")


def test_mappings_survive_every_form_of_a_configuration() -> None:
    stage = build(Select, {"tokens": 9, "weights": {"accuracy": 1}, "shares": {"b": 0.5, "a": 0.5}}, "select")
    assert stage == Select(tokens=9, weights=Frozen(accuracy=1.0), shares=Frozen(a=0.5, b=0.5))
    assert hash(stage) == hash(Select(tokens=9, weights={"accuracy": 1.0}, shares={"a": 0.5, "b": 0.5}))
    config = dataclasses.replace(build_config({"input": {}, "output": "run"}), stages=(stage,))
    plain = as_plain(config)["stages"][0]["select"]
    assert type(plain["weights"]) is dict
    assert build(Select, plain, "select") == stage
    other = dataclasses.replace(stage, shares=Frozen(a=0.4, b=0.6))
    assert digest(values_of(stage, filter=False)) != digest(values_of(other, filter=False))


def test_it_has_a_minimum_for_every_criterion() -> None:
    names = {field.name.removeprefix("min_") for field in dataclasses.fields(Select) if field.name.startswith("min_")}
    assert names == set(CRITERIA)


@pytest.mark.parametrize("name", ["frozen", "select_rows", "select_shares"])
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"stages.{name}")).failed == 0
