"""Aggregates: counts by value, mergeable, bounded, without loss of a document."""

from collections import Counter
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.aggregates import MOST_VALUES, OTHER, aggregate, merge, paired, rounded

NUMBERS = st.floats(1e-290, 1e290) | st.floats(-1e290, -1e-290) | st.just(0.0)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from(["en", "de", "fr", None]), st.booleans())))
def test_strings_are_counted_by_value(rows: list[tuple[str | None, bool]]) -> None:
    table = pa.table({"lang": pa.array([value for value, _ in rows], pa.string())})
    found = aggregate(table, np.array([kept for _, kept in rows], dtype=bool))["lang"]
    assert found.all == Counter(value for value, _ in rows if value is not None)
    assert found.kept == Counter(value for value, kept in rows if kept and value is not None)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(NUMBERS, min_size=1, max_size=20))
def test_numbers_are_rounded_to_two_digits(values: list[float]) -> None:
    context = Context(prec=2, rounding=ROUND_HALF_EVEN)
    for value, short in zip(values, rounded(np.array(values)).tolist(), strict=True):
        exact = float(context.create_decimal(Decimal(value)))
        assert short == pytest.approx(value, rel=0.0501)
        assert short == pytest.approx(exact, rel=1e-9) or abs(short - value) <= abs(exact - value) * 1.000001


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.int8(), pa.int64(), pa.uint64()])
def test_every_number_type_is_counted(kind: pa.DataType) -> None:
    found = aggregate(pa.table({"n": pa.array([1, 1, 12, None], kind)}), np.array([True, False, True, True]))["n"]
    assert (found.all, found.kept) == ({"1": 2, "12": 1}, {"1": 1, "12": 1})


def test_integers_beyond_the_exact_range_of_doubles_are_counted() -> None:
    found = aggregate(pa.table({"n": pa.array([2**53 + 1, 2**63 - 1], pa.int64())}), np.ones(2, dtype=bool))["n"]
    assert found.all == {"9e+15": 1, "9.2e+18": 1}


def test_null_nan_and_infinity_are_left_out() -> None:
    table = pa.table({"x": [0.5, None, float("nan"), float("inf"), float("-inf"), 0.0]})
    assert aggregate(table, np.ones(6, dtype=bool))["x"].all == {"0": 1, "0.5": 1}


def test_other_types_are_left_out() -> None:
    table = pa.table({"b": [True], "l": [["a"]], "s": [{"a": 1}], "raw": [b"a"], "t": ["a"]})
    assert list(aggregate(table, np.ones(1, dtype=bool))) == ["t"]


def test_an_empty_table_has_empty_counts() -> None:
    table = pa.table({"t": pa.array([], pa.string()), "n": pa.array([], pa.float32())})
    found = aggregate(table, np.ones(0, dtype=bool))
    assert [(one.all, one.kept) for one in found.values()] == [({}, {}), ({}, {})]


def test_rare_values_of_many_are_counted_together() -> None:
    values = ["common"] * 5 + [f"rare {n}" for n in range(1500)]
    found = aggregate(pa.table({"t": values}), np.ones(len(values), dtype=bool))["t"].all
    assert (found["common"], len(found), sum(found.values())) == (5, 1001, 1505)
    assert found[OTHER] == 501


@pytest.mark.parametrize("kept_from", [0, 1, 1500, 2999, 3000])
def test_no_row_has_more_kept_than_there_are(kept_from: int) -> None:
    values = [f"value {n:04d}" for n in range(3000)]
    alive = np.arange(3000) >= kept_from
    rows = paired(aggregate(pa.table({"t": values}), alive)["t"])
    assert len(rows) == MOST_VALUES + 1
    assert all(kept <= every for every, kept in rows.values())
    assert [sum(counts) for counts in zip(*rows.values(), strict=True)] == [3000, 3000 - kept_from]
    assert {value: counts for value, counts in rows.items() if value != OTHER} == {
        value: [1, int(alive[values.index(value)])] for value in rows if value != OTHER
    }


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(COUNTS, max_size=5))
def test_a_merge_is_the_sum_in_order_of_names(parts: list[dict[str, int]]) -> None:
    found = merge(parts)
    assert found == {key: sum(part.get(key, 0) for part in parts) for key in set().union(*parts)}
    assert list(found) == sorted(found)
    assert merge(reversed(parts)) == found
