"""The ledger closes or is an error; what ends a run says how much of what."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.facts import Facts
from pipeline.ledger import Ledger, check_budget, check_kept, check_read, funnel_of, ledger_of
from pipeline.reading import SplitRecord
from pipeline.verdicts import StageCounts
from stages.errors import EngineError, NothingKept, NothingRead, TooManyBadRecords

Counts = tuple[int, int, int]
"""Documents that a stage keeps, drops and fails on."""


def split(good: int, **bad: int) -> SplitRecord:
    return SplitRecord("a.jsonl", good + sum(bad.values()), bad, False, (), "", 0.0)


def outcome(kept: int, *stages: StageCounts, repeated: int = 0) -> Facts:
    return Facts(repeated=repeated, kept=kept, stages=list(stages))


def total(outcomes: list[Facts]) -> Facts:
    found = Facts()
    for one in outcomes:
        found.add(one)
    return found


def counts(stage: str, entered: int, dropped: int = 0, failed: int = 0, reason: str = "short") -> StageCounts:
    kept = entered - dropped - failed
    return StageCounts(
        stage, entered, kept, {reason: dropped} if dropped else {}, {"stage_error": failed} if failed else {}
    )


SHARD = st.tuples(*(st.integers(0, 9) for _ in range(7)))


@settings(max_examples=100, deadline=None)
@given(shards=st.lists(SHARD, min_size=1, max_size=5))
def test_every_record_is_accounted_for(shards: list[tuple[int, ...]]) -> None:
    splits, outcomes = [], []
    for bad, repeated, drop_1, fail_1, drop_2, fail_2, kept in shards:
        second = counts("echo", kept + drop_2 + fail_2, drop_2, fail_2)
        first = counts("length", second.entered + drop_1 + fail_1, drop_1, fail_1)
        splits.append(split(first.entered + repeated, **({"invalid_json": bad} if bad else {})))
        outcomes.append(outcome(kept, first, second, repeated=repeated))
    ledger = ledger_of(splits, total(outcomes))
    sums = [sum(column) for column in zip(*shards, strict=True)]
    assert ledger.closes
    assert ledger.read == sum(sums)
    assert ledger.kept == sums[6]
    assert ledger.dropped_total == sums[2] + sums[4]
    expected = {"invalid_json": sums[0], "repeated_id": sums[1], "stage_error": sums[3] + sums[5]}
    assert ledger.quarantined == {reason: number for reason, number in expected.items() if number}
    assert [(c.stage, c.entered, c.kept) for c in funnel_of(total(outcomes))] == [
        ("length", sum(sums[2:7]), sum(sums[4:7])),
        ("echo", sum(sums[4:7]), sums[6]),
    ]


def test_without_stages_what_is_read_is_kept() -> None:
    ledger = ledger_of([split(5, invalid_utf8=2), split(1)], total([outcome(4), outcome(1, repeated=1)]))
    assert (ledger.read, ledger.kept, ledger.dropped) == (8, 5, {})
    assert ledger.quarantined == {"invalid_utf8": 2, "repeated_id": 1}


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [outcome(4, counts("length", 5))],
        [outcome(5, StageCounts("length", 5, 4, {}, {}))],
        [outcome(5, counts("length", 6, 1))],
        [outcome(5, counts("length", 5), repeated=1)],
    ],
)
def test_a_ledger_that_does_not_close_is_an_error(outcomes: list[Facts]) -> None:
    with pytest.raises(EngineError, match="the ledger does not close"):
        ledger_of([split(5)], total(outcomes))


def test_the_equation_is_shown() -> None:
    ledger = Ledger(12_345, 12_000, {"length": {"short": 300, "odd": 40}}, {"invalid_json": 5})
    assert str(ledger) == "read 12,345 = kept 12,000 + dropped 340 + quarantined 5"
    assert ledger.closes
    assert not Ledger(2, 1).closes


def test_the_budget_is_a_share_that_may_be_reached_but_not_passed() -> None:
    check_budget({}, 0, 0.0)
    check_budget({"invalid_json": 10}, 1000, 0.01)
    check_budget({"invalid_json": 1000}, 1000, 1.0)
    with pytest.raises(TooManyBadRecords) as error:
        check_budget({"invalid_json": 4, "truncated": 1, "invalid_utf8": 1006}, 100_000, 0.01)
    assert "1,011 of 100,000 records (1.0%)" in str(error.value)
    assert "invalid_utf8 1,006, invalid_json 4, truncated 1" in str(error.value)
    assert "input.max_bad_fraction = 0.01" in str(error.value)


def test_a_single_bad_record_passes_a_budget_of_nothing() -> None:
    with pytest.raises(TooManyBadRecords, match="1 of 10 records"):
        check_budget({"invalid_json": 1}, 10, 0.0)


def test_nothing_read_says_why() -> None:
    check_read({"invalid_json": 1}, 2)
    with pytest.raises(NothingRead, match="the files are empty"):
        check_read({}, 0)
    with pytest.raises(NothingRead, match=r"all 3 records are bad: missing_text 2, invalid_json 1\. Check input\."):
        check_read({"invalid_json": 1, "missing_text": 2}, 3)


def test_nothing_kept_says_what_dropped_it() -> None:
    check_kept(Ledger(2, 1, {"length": {"short": 1}}))
    with pytest.raises(NothingKept, match=r"of 1,203 read.*length: short 1,200, length: odd 1; quarantined: 2"):
        check_kept(Ledger(1203, 0, {"length": {"short": 1200, "odd": 1}}, {"stage_error": 2}))
    with pytest.raises(NothingKept, match="Dropped: none; quarantined: 2"):
        check_kept(Ledger(2, 0, {}, {"repeated_id": 2}))
