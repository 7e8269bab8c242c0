"""Totals: the sum of all outcomes, whichever comes first, wherever a run was cut; and nothing of them is kept."""

import dataclasses
import gc
import json
import random
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import totals
from pipeline.aggregates import OTHER
from pipeline.facts import Facts
from pipeline.outcomes import FORMAT, Outcome
from pipeline.perplexity_facts import Scores
from pipeline.rating_facts import EXAMPLES, Example, RatingFacts
from pipeline.storage import Store
from pipeline.totals import Folding, ShardRow, Totals
from pipeline.verdicts import StageCounts
from stages.errors import EngineError
from stages.rating_protocol import CRITERIA
from tests.runs import documents, go, write_config, write_jsonl


def rated(chance: random.Random, number: int) -> RatingFacts:
    """Ratings of some documents with ids of their own."""
    width = len(CRITERIA)
    shown = [(chance.randrange(50), f"id-{number}-{place}", "text") for place in range(4)]
    return RatingFacts(
        by_source={f"s{chance.randrange(5)}": [chance.randrange(9) for _ in range(5 * width)] for _ in range(2)},
        complete=chance.randrange(9),
        sums=[chance.randrange(9) for _ in range(width)],
        products=[[chance.randrange(9) for _ in range(width)] for _ in range(width)],
        prompt_tokens=chance.randrange(99),
        documents=sorted(shown),
        examples={f"{CRITERIA[place]}/{chance.randint(1, 2)}": [place, place + 1] for place in range(3)},
    )


def facts_of(number: int, values: int = 8) -> Facts:
    """Made-up facts of one shard."""
    chance = random.Random(number)
    kept, dropped = chance.randrange(9), chance.randrange(9)
    return Facts(
        repeated=chance.randrange(2),
        kept=kept,
        kept_bytes=chance.randrange(10**12),
        stages=[StageCounts("language", kept + dropped, kept, {chance.choice("xy"): dropped} if dropped else {}, {})],
        by_source={f"s{chance.randrange(values)}": [3, 2, 10**9] for _ in range(3)},
        columns={name: {str(chance.randrange(values)): [2, 1] for _ in range(5)} for name in ("lang", "length")},
        scores={"harmful_ratio": {chance.choice(["en", "de"]): {str(chance.randrange(-4, 4)): [3, 1]}}},
        rating=rated(chance, number) if number % 3 else None,
        tokens=[9, chance.randrange(9)],
        milliseconds={"language": chance.randrange(10**6)},
    )


def outcome(number: int, values: int = 8) -> Outcome:
    """Made-up, but the same for the same number."""
    bad = (f"quarantine-{number}",) if number % 7 == 0 else ()
    return Outcome(name_of(number), facts_of(number, values), bad, 0.1, FORMAT)


def name_of(number: int) -> str:
    return f"shard-{number:05d}.parquet"


def folding_of(folder: Path | str, count: int) -> Folding:
    return Folding(Store(str(folder)), "write", [name_of(number) for number in range(count)])


def in_memory() -> str:
    """A store of its own that waits for no disk."""
    return f"memory://totals-{uuid.uuid4().hex}"


def plain(found: Totals) -> str:
    """What a report shows of totals: without the order in which things came."""
    return json.dumps(dataclasses.asdict(found), sort_keys=True)


def oracle(count: int) -> dict[str, Any]:
    """The same sums by other means: of plain values, all at once."""
    parts = [facts_of(number) for number in range(count)]
    ratings = [part.rating for part in parts if part.rating]
    return {
        "kept": sum(part.kept for part in parts),
        "entered": sum(part.stages[0].entered for part in parts),
        "lang": {
            str(value): [sum(part.columns["lang"].get(str(value), [0, 0])[kind] for part in parts) for kind in (0, 1)]
            for value in range(8)
        },
        "milliseconds": sum(part.milliseconds["language"] for part in parts),
        "products": sum(rating.products[3][5] for rating in ratings),
        "examples": {
            f"{name}/{score}": sorted(
                example for rating in ratings for example in rating.shown().get(f"{name}/{score}", [])
            )[:EXAMPLES]
            for name in CRITERIA
            for score in (1, 2)
        },
    }


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_order_gives_the_sum_of_all(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 24))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totals, "BLOCK", data.draw(st.integers(1, 8)))
        folding = folding_of(in_memory(), count)
        for number in data.draw(st.permutations(range(count))):
            folding.take(number, outcome(number))
        found = folding.totals()
    expected, facts = oracle(count), found.facts
    assert (facts.kept, facts.stages[0].entered) == (expected["kept"], expected["entered"])
    assert facts.columns["lang"] == {value: row for value, row in expected["lang"].items() if row[0]}
    assert facts.milliseconds == {"language": expected["milliseconds"]}
    if facts.rating:
        assert facts.rating.products[3][5] == expected["products"]
        assert facts.rating.shown() == {key: shown for key, shown in expected["examples"].items() if shown}
    assert found.rows == [ShardRow(f.kept_bytes, f.tokens[1]) for f in map(facts_of, range(count)) if f.tokens]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_is_cut_off_depends_on_no_order_and_no_resuming(data: st.DataObject) -> None:
    """With more values than are kept, a run in order, and one in another order that ends early and goes on."""
    count, many = 24, 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totals, "BLOCK", 4)
        patch.setattr(totals, "LOOSE", 2)
        patch.setattr(totals, "MOST_VALUES", 5)
        straight = folding_of(in_memory(), count)
        for number in range(count):
            straight.take(number, outcome(number, many))
        folder = in_memory()
        first = folding_of(folder, count)
        for number in data.draw(st.permutations(range(count)))[: data.draw(st.integers(0, count))]:
            first.take(number, outcome(number, many))
        again = folding_of(folder, count)
        for number in data.draw(st.permutations(again.left)):
            again.take(number, outcome(number, many))
        found = straight.totals()
        assert plain(again.totals()) == plain(found)
    lang = found.facts.columns["lang"]
    assert again.dropped == straight.dropped
    assert sorted(again.quarantines) == sorted(straight.quarantines)
    assert sum(row[0] for row in lang.values()) == sum(
        row[0] for number in range(count) for row in facts_of(number, many).columns["lang"].values()
    )
    assert OTHER in lang


def test_the_rest_of_one_part_is_not_lost_in_another() -> None:
    """A part's own rest may be its largest row."""
    facts = Facts(by_source={OTHER: [50, 5, 5], "a": [9, 1, 1], "b": [8, 1, 1], "c": [1, 1, 1]})
    facts.bound(2)
    assert facts.by_source == {"a": [9, 1, 1], "b": [8, 1, 1], OTHER: [51, 6, 6]}


def held_objects(folding: Folding) -> int:
    """Objects that garbage collection would find from here, but not through classes and modules."""
    seen: dict[int, object] = {}
    waiting: list[object] = [folding]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen[id(one)] = one
        waiting += gc.get_referents(one)
    return len(seen)


def test_of_each_shard_a_few_numbers_are_held() -> None:
    """However many shards have come, only the blocks that are not complete hold facts."""
    count = 512
    folding = folding_of(in_memory(), count)
    before = held_objects(folding)
    held = []
    for number in range(count - 1):
        folding.take(number, outcome(number))
        if number % totals.BLOCK == totals.BLOCK // 2:
            held.append(held_objects(folding) - before)
    assert len(held) == count // totals.BLOCK
    assert min(held) > 100
    assert max(held) < 1.5 * min(held) + 100
    folding.take(count - 1, outcome(count - 1))
    assert held_objects(folding) - before < count


def test_totals_are_not_given_of_some_shards(tmp_path: Path) -> None:
    folding = folding_of(tmp_path, 3)
    folding.take(1, outcome(1))
    with pytest.raises(EngineError, match=r"block-00000.json: not there, which is a fault"):
        folding.totals()


def test_no_shards_have_no_facts(tmp_path: Path) -> None:
    assert folding_of(tmp_path, 0).totals() == Totals(Facts(), [])


def test_sums_of_other_shards_or_another_version_are_none(tmp_path: Path) -> None:
    folding = folding_of(tmp_path, 2)
    for number in range(2):
        folding.take(number, outcome(number))
    assert folding_of(tmp_path, 2).left == []
    assert folding_of(tmp_path, 3).left == [0, 1, 2]
    path = tmp_path / "write/sums/block-00000.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"format": 1}))
    assert folding_of(tmp_path, 2).left == [0, 1]
    path.write_bytes(path.read_bytes()[:-9])
    assert folding_of(tmp_path, 2).left == [0, 1]


def test_examples_hold_each_document_once() -> None:
    example: Example = (1, "id", "text")
    both = RatingFacts(documents=[example], examples={"accuracy/1": [0], "safety/2": [0]})
    total = RatingFacts()
    total.add(both)
    assert total.documents == [example]
    assert total.shown() == {"accuracy/1": [example], "safety/2": [example]}


def test_scores_are_never_shared_between_parts_and_total() -> None:
    part: Scores = {"harmful_ratio": {"en": {"1": [1, 1]}}}
    total = Facts()
    for _ in range(3):
        total.add(Facts(scores=part, by_source={"a": [1, 1, 1]}, columns={"lang": {"en": [1, 0]}}))
    assert part == {"harmful_ratio": {"en": {"1": [1, 1]}}}
    assert total.scores == {"harmful_ratio": {"en": {"1": [3, 3]}}}
    assert (total.by_source, total.columns) == ({"a": [3, 3, 3]}, {"lang": {"en": [3, 0]}})


def test_a_run_goes_on_from_its_sums_and_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is left of the records, the report says the same."""
    monkeypatch.setattr(totals, "BLOCK", 2)
    path = write_jsonl(tmp_path / "a.jsonl", documents(300))
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run", input={"split_mb": 0.02})
    assert len(go(config).totals.rows) > 4
    (step,) = tmp_path.glob("run/steps/*-write-*")
    whole = seen_of(tmp_path / "run")

    def again(*gone: Path, old: tuple[Path, ...] = ()) -> dict[str, Any]:
        for one in (tmp_path / "run/manifest.json", *gone):
            one.unlink()
        for one in old:
            one.write_bytes(orjson.dumps({**orjson.loads(one.read_bytes()), "format": 1}))
        go(config)
        return seen_of(tmp_path / "run")

    outcomes, blocks = sorted(step.glob("records/outcome-*.json")), sorted(step.glob("sums/*.json"))
    assert again() == whole
    assert again(blocks[0], outcomes[0]) == whole
    assert again(*blocks, *outcomes[1:3]) == whole
    assert again(*blocks, old=tuple(outcomes)) == whole
    assert again(*outcomes) == whole
    assert not list(step.glob("records/outcome-*.json"))


def seen_of(run: Path) -> dict[str, Any]:
    """A report without the times of the call."""
    facts: dict[str, Any] = json.loads((run / "report.json").read_text())
    return {key: value for key, value in facts.items() if key not in ("finished", "seconds", "part_facts")}
