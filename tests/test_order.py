"""The stage order: every document has one place in its group, twins fall, templates stay, and shards do not matter."""

import itertools
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipeline.parts import placed, solved
from stages.contract import State, gathers, settings_of
from stages.contract_checks import decided
from stages.embed_shingles import Sketcher
from stages.errors import ConfigError
from stages.order import Order
from stages.order_sketches import confirmation
from stages.ordering_shingles import containment, resemblance, shingles
from stages.ordering_vectors import floats, units
from tests.ordering_sets import EDGES, clusters

SKETCHER = Sketcher()
WORDS = [f"word{number}" for number in range(4_000)]


def texts(count: int, length: int = 80, seed: int = 0) -> list[str]:
    """Different ones."""
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=length)) for _ in range(count)]


def rows(vectors: Any, given: list[str] | None = None, **columns: Any) -> pa.RecordBatch:
    """Documents with these vectors; ids 000, 001, ..., sources a."""
    lists = [None if one is None else np.asarray(one, np.float32).tolist() for one in vectors]
    given = texts(len(lists)) if given is None else given
    known = {
        "id": pa.array([f"{number:03}" for number in range(len(lists))], pa.string()),
        "source": pa.array(["a"] * len(lists), pa.string()),
        "embedding": pa.array(lists, pa.list_(pa.float32())),
        "embedding_shingles": SKETCHER.column(given),
        "text_bytes": pa.array([len(text) for text in given], pa.int64()),
        **columns,
    }
    return pa.RecordBatch.from_pydict(known)


def surveyed(stage: Order, shards: Iterable[pa.RecordBatch], seed: int = 0) -> State:
    """The finished state, with two levels of merging, the last shard first."""
    seen = [shard.select(list(gathers(stage))) for shard in shards]
    state, rounds = stage.begin(seed), 0
    while not stage.finished(state):
        partials = [stage.merge([stage.survey(state, shard)]) for shard in reversed(seen)]
        state, rounds = stage.reduce(state, stage.merge(partials)), rounds + 1
        assert rounds <= 4
    return state


def run(stage: Order, shards: list[pa.RecordBatch], seed: int = 0) -> dict[str, dict[str, Any]]:
    """What is added to each id."""
    state = surveyed(stage, shards, seed)
    parts = stage.open_parts(state)
    seen = [shard.select(list(gathers(stage))) for shard in shards]
    numbers = np.concatenate([placed(stage, parts, shard) for shard in seen])
    whole = pa.Table.from_batches(seen).combine_chunks().to_batches()
    batch = whole[0] if whole else seen[0]
    answer = solved(stage, parts, numbers, batch)
    reasons = decided(stage, answer)
    found = zip(batch.column("id").to_pylist(), answer.to_pylist(), reasons, strict=True)
    return {id_: {**one, "reason": reason} for id_, one, reason in found}


def positions(found: dict[str, dict[str, Any]]) -> list[int]:
    return sorted(one["position"] for one in found.values())


def cut(batch: pa.RecordBatch, shards: int, seed: int) -> list[pa.RecordBatch]:
    """The rows in another order, in some shards, one of them empty."""
    order = np.random.default_rng(seed).permutation(batch.num_rows)
    return [batch.take(pa.array(part)) for part in np.array_split(order, shards)] + [batch.slice(0, 0)]


def column(found: dict[str, dict[str, Any]], name: str) -> list[Any]:
    return [found[id_][name] for id_ in sorted(found)]


@pytest.mark.parametrize("mode", ["context", "path", "fast"])
@pytest.mark.parametrize("name", sorted(EDGES))
@pytest.mark.parametrize("bucket", [7, 1000])
def test_edges_have_one_place_each(name: str, mode: str, bucket: int) -> None:
    batch = rows(floats(EDGES[name]))
    found = run(Order(mode=mode, bucket=bucket, largest=max(bucket, 20), context=50), [batch])
    assert positions(found) == list(range(len(EDGES[name])))
    assert set(column(found, "order_status")) <= {"placed"}
    assert set(column(found, "reason")) <= {None}
    sizes = np.bincount(column(found, "bucket")) if found else np.zeros(1)
    assert sizes.max() <= max(bucket, 20)


def test_what_is_the_same_falls_but_one() -> None:
    found = run(Order(prefer="rating"), [rows(np.ones((40, 4)), texts(1) * 40, rating=[1.0] * 7 + [3.0] + [2.0] * 32)])
    assert column(found, "duplicate_of") == ["007"] * 7 + [None] + ["007"] * 32
    assert [found["007"][name] for name in ("position", "order_status", "reason")] == [0, "placed", None]
    assert positions(found) == list(range(40))
    assert column(found, "reason").count("duplicate") == 39
    kept = run(Order(drop_duplicates=False), [rows(np.ones((40, 4)), texts(1) * 40)])
    assert column(kept, "duplicate_of") == [None] + ["000"] * 39
    assert set(column(kept, "reason")) == {None}


def test_vectors_that_cannot_be_placed_come_last() -> None:
    bad = [None, [], [np.nan] * 24, [0.0] * 24, [np.inf] + [1.0] * 23]
    given = [*bad[:3], *floats(clusters(60)), *bad[3:]]
    found = run(Order(bucket=20, largest=25), cut(rows(given), 4, 0))
    lost = [0, 1, 2, 63, 64]
    assert [one for one, status in enumerate(column(found, "order_status")) if status == "no_vector"] == lost
    assert [found[f"{one:03}"]["position"] for one in lost] == [60, 61, 62, 63, 64]
    assert all(found[f"{one:03}"]["bucket"] is None and found[f"{one:03}"]["reason"] is None for one in lost)
    assert positions(found) == list(range(65))
    nothing = run(Order(largest=2, bucket=2), [rows([None] * 9)])
    assert positions(nothing) == list(range(9))


def test_groups_have_orders_of_their_own() -> None:
    batch = rows(
        floats(clusters(63)),
        source=["a"] * 30 + ["b"] * 31 + ["c", "d"],
        lang=pa.array([*["en", None] * 31, "en"], pa.string()),
    )
    found = run(Order(bucket=12), [batch])
    for source, ids in (("a", range(30)), ("b", range(30, 61)), ("c", [61]), ("d", [62])):
        assert positions({str(one): found[f"{one:03}"] for one in ids}) == list(range(len(ids))), source
    both = run(Order(by=("source", "lang")), [batch])
    keys = list(zip(batch.column("source").to_pylist(), batch.column("lang").to_pylist(), strict=True))
    for key in set(keys):
        members = {str(one): both[f"{one:03}"] for one in range(63) if keys[one] == key}
        assert positions(members) == list(range(len(members)))
        assert len({one["bucket"] for one in members.values()}) == 1
    assert positions(run(Order(by=()), [batch])) == list(range(63))


@pytest.mark.parametrize("mode", ["context", "fast"])
def test_shards_do_not_matter_but_the_seed_does(mode: str) -> None:
    given = texts(150)
    given[10], given[77] = given[3], given[140]
    vectors = floats(clusters(150))
    vectors[10], vectors[77] = vectors[3], vectors[140]
    batch = rows([*vectors[:149], None], given, source=["a"] * 100 + ["b"] * 50)
    stage = Order(mode=mode, bucket=30, largest=40, context=60)
    first = run(stage, [batch])
    for shards, seed in itertools.product((1, 2, 9), (1, 2)):
        again = cut(batch, shards, seed)
        assert surveyed(stage, again) == surveyed(stage, [batch])
        assert run(stage, again) == first
    assert run(stage, [batch], seed=1) != first
    assert first["010"]["duplicate_of"] == "003"


def test_buckets_follow_each_other_and_neighbours_are_similar() -> None:
    found = run(Order(bucket=100, largest=200, context=400), [rows(floats(clusters(600, groups=20, seed=3)))])
    by_place = sorted(found.values(), key=lambda one: one["position"])
    numbers = [one["bucket"] for one in by_place]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) >= 6
    after, before = (
        np.mean([one[name] for one in by_place if one[name] is not None])
        for name in ("order_similarity", "order_similarity_by_id")
    )
    assert after > before + 0.1
    assert all(one["order_recall"] == 1 for one in by_place)


def test_one_giant_bucket_is_cut() -> None:
    state = surveyed(Order(bucket=10, largest=20, duplicates=0.0), [rows(np.ones((200, 4)))])
    (group,) = state["groups"].values()
    assert sum(group["sizes"]) == 200
    assert max(group["sizes"]) <= 30
    notes = Order().summary(state).notes
    assert notes[0] == f"200 documents in 1 groups and {len(group['sizes']) - 1} buckets"
    assert "1 buckets are larger than order.largest" in notes[1]


def twins() -> tuple[list[str], npt.NDArray[np.float32]]:
    """100 documents, each followed by one with three words changed, and 100 that fill one template differently."""
    chosen, given, originals = random.Random(5), [], texts(100)
    for text in originals:
        words = text.split()
        for place in chosen.sample(range(80), 3):
            words[place] = chosen.choice(WORDS)
        given += [text, " ".join(words)]
    frame = [f"entry {number}" for number in range(10)]
    given += [" ".join(itertools.chain(*zip(frame, chosen.sample(WORDS, 10), strict=True))) for _ in range(100)]
    vectors = np.repeat(floats(clusters(100, groups=100, dimensions=64)), 2, axis=0)
    template = np.tile(floats(clusters(1, dimensions=64, seed=9)), (100, 1))
    noise = np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32) * 0.02
    return given, np.concatenate([vectors, template]) + noise


def test_planted_twins_fall_and_templates_stay() -> None:
    given, vectors = twins()
    found = run(Order(), [rows(vectors, given)])
    fell = [one for one in sorted(found) if found[one]["duplicate_of"]]
    assert {f"{number:03}" for number in range(1, 200, 2)} == set(fell)
    assert all(found[one]["duplicate_of"] == f"{int(one) - 1:03}" for one in fell)
    unconfirmed = run(Order(confirm="none"), [rows(vectors, given)])
    assert sum(one["duplicate_of"] is not None for one in unconfirmed.values()) == 199
    assert all(one["duplicate_of"] is None for one in run(Order(duplicates=0.0), [rows(vectors, given)]).values())


def test_sketches_estimate_what_texts_share() -> None:
    one = texts(1, 1_000)[0].split()
    halves = [one, one[:500], [*one[:900], *texts(1, 100, 1)[0].split()], texts(1, 1_000, 2)[0].split(), one[:60]]
    sketches = SKETCHER.column([" ".join(words) for words in halves])
    assert [len(sketch) for sketch in sketches.to_pylist()] == [64, 64, 64, 64, 56]
    assert all(sketch == sorted(set(sketch)) and sketch[0] >= 0 for sketch in sketches.to_pylist())
    numbers = {word: number for number, word in enumerate(WORDS)}
    sets = [shingles([numbers[word] * 2_654_435_761 for word in words]) for words in halves]
    others = np.arange(1, 4, dtype=np.int32)
    true = [(resemblance(sets[0], sets[other]), containment(sets[0], sets[other])) for other in others]
    for least in (0.1, 0.3, 0.7, 0.95):
        same = confirmation(sketches, least)(np.zeros(3, np.int32), others)
        assert same.tolist() == [how >= least or inside >= 0.8 for how, inside in true]


def test_sketches_see_words_whatever_the_script() -> None:
    said = SKETCHER.sketch
    assert said("The ferry LEFT, its pier at nine!").tolist() == said("the ferry left its pier at nine").tolist()
    assert len(said("船は九時に出た")) == 3
    assert len(said("Die Fähre fährt um neun Uhr")) == 2
    assert said("!? !?").tolist() != said("!? ??").tolist() != []
    assert said(" \n").tolist() == said("").tolist() == []
    long = " ".join(texts(1, 60_000))
    assert said(long).tolist() == said(long[: 2**18]).tolist()


def test_missing_sketches_confirm_nothing() -> None:
    column = pa.array([None, [], [1], [1]], pa.list_(pa.int32()))
    ones, others = np.array([0, 0, 2], np.int32), np.array([1, 2, 3], np.int32)
    assert confirmation(column, 0.5)(ones, others).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "tsp"}, "order.mode: found 'tsp', expected one of context, path, fast"),
        ({"confirm": "text"}, "order.confirm"),
        ({"by": ("a", "b", "c")}, "order.by"),
        ({"neighbours": 0}, "order.neighbours"),
        ({"context": 0}, "order.context"),
        ({"bytes_per_token": 0.0}, "order.bytes_per_token"),
        ({"duplicates": 1.0}, "order.duplicates"),
        ({"resemblance": 0.0}, "order.resemblance"),
        ({"largest": 500_001}, "order.largest: found 500001, expected 1 to 500000"),
        ({"bucket": 500, "largest": 100}, "order.bucket"),
        ({"threads": 0}, "order.threads"),
    ],
)
def test_settings_that_cannot_be_used_are_explained(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Order(**settings)


def test_what_does_not_fit_together_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    for shards in ([rows([[1.0, 2], [1.0, 2, 3]])], [rows([[1.0, 2]]), rows([[1.0, 2, 3]])]):
        with pytest.raises(ConfigError, match="found vectors of 2 and 3 numbers"):
            surveyed(Order(), shards)
    monkeypatch.setattr("stages.order_survey.MOST_GROUPS", 2)
    with pytest.raises(ConfigError, match="found over 2 groups"):
        surveyed(Order(by=("id",)), [rows(np.eye(3))])
    monkeypatch.setattr("stages.order.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"order needs faiss-cpu.*pip install 'tamis\[order\]'"):
        _ = Order().libraries


def test_reads_only_what_its_settings_need() -> None:
    assert Order().reads == ("embedding", "embedding_shingles", "source", "text_bytes")
    stage = Order(by=("lang",), confirm="none", tokens_from="embedding_tokens", prefer="rating")
    assert stage.reads == ("embedding", "lang", "embedding_tokens", "rating")
    assert all(info.help for info in settings_of(stage))


def test_neighbours_are_told_by_place() -> None:
    vectors = floats(clusters(120, groups=4))
    vectors[5] = vectors[90]
    given = texts(120)
    given[90] = given[5]
    found = run(Order(neighbours=5, by=()), [rows([*vectors, None], [*given, ""])])
    by_place = {one["position"]: id_ for id_, one in found.items()}
    assert found["090"]["order_neighbours"] is found["120"]["order_neighbours"] is None
    standing = [number for number in range(120) if number != 90]
    products = floats(units(vectors)) @ floats(units(vectors)).T
    for number in standing:
        one = found[f"{number:03}"]
        near = [int(by_place[one["position"] + away]) for away in one["order_neighbours"]]
        others = sorted((other for other in standing if other != number), key=lambda other: -products[number, other])
        assert np.allclose(products[number, near], products[number, others[:5]], atol=1e-3)


def test_measures_are_those_of_a_plain_loop_and_add_up() -> None:
    given, vectors = twins()
    vectors = np.concatenate([vectors, vectors[:1] * 2])
    batch = rows([*vectors, None], [*given, given[0], ""], source=["a"] * 150 + ["b"] * 152)
    stage = Order(context=100, tokens_from="text_bytes", by=())
    answers, found = measured(stage, batch)
    placed = sorted((one["position"], int(id_)) for id_, one in answers.items() if one["order_status"] == "placed")
    unit = floats(units(vectors))
    along = [float(unit[one] @ unit[two]) for (_, one), (_, two) in itertools.pairwise(placed)]
    total, count = found["neighbours"]["sum"]
    assert (count, sum(found["neighbours"]["counts"].values())) == (len(placed) - 1,) * 2
    assert total == pytest.approx(sum(along), abs=0.05)
    fell: dict[str, int] = {}
    for one in answers.values():
        if one["duplicate_of"]:
            fell[one["duplicate_of"]] = fell.get(one["duplicate_of"], 0) + 1
    assert found["stand_for"] == {"0": len(placed) - len(fell), "1": 99, "2": 1}
    assert sum(int(size) * number for size, number in found["stand_for"].items()) == 301 - len(placed)
    assert found["sizes"] == {"256": 1}
    assert found["recall"] == [301.0, 301, 1.0]
    again = stage.combine([found, stage.combine([found, measured(stage, rows([None, None]))[1]])])
    assert again["stand_for"] == {name: 2 * number for name, number in found["stand_for"].items()}
    assert again["contexts"][0] == 2 * found["contexts"][0] > 0
    by_name = {"1024": 2, "128": 1, "64": 3}  # as JSON gives them back
    notes = stage.measured({**again, "sizes": by_name}).notes
    assert notes[-1] == "buckets by documents: 3 of 64 or more, 1 of 128 or more, 2 of 1,024 or more"
    summary = stage.measured(again)
    assert (
        f"{2 * (301 - len(placed))} near-duplicates; documents that stay for them: 198 for 1, 2 for 2" in summary.notes
    )
    assert sum(row[1] for row in summary.rows) == 2 * len(along)  # type: ignore[misc]
    assert stage.measured(stage.combine([measured(stage, rows([None]))[1]])).rows == ()


def measured(stage: Order, batch: pa.RecordBatch) -> tuple[dict[str, dict[str, Any]], Any]:
    """What is added to each id, and what is measured of all buckets."""
    seen = batch.select(list(gathers(stage)))
    parts = stage.open_parts(surveyed(stage, [batch]))
    measures: list[Any] = []
    answer = solved(stage, parts, placed(stage, parts, seen), seen, measures)
    return dict(zip(batch.column("id").to_pylist(), answer.to_pylist(), strict=True)), stage.combine(measures)
