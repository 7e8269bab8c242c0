"""Budgets of strata: whole tokens that add up, within what there is, in proportion."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.select_shares import apportioned, redistributed, shares_of

SUPPLY = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000), min_size=1)


@given(supply=SUPPLY, tokens=st.integers(0, 3000), kind=st.sampled_from(["proportional", "equal"]))
def test_budgets_add_up_and_keep_the_proportion(supply: dict[str, int], tokens: int, kind: str) -> None:
    shares = shares_of(kind, supply)
    assert sum(shares.values()) == bool(any(supply.values()))
    asked = apportioned(tokens, shares)
    assert sum(asked.values()) == (tokens if any(supply.values()) else 0)
    assert all(abs(asked[name] - tokens * share) < 1 for name, share in shares.items())
    assert all(asked[name] == 0 for name, held in supply.items() if held == 0)


@given(supply=SUPPLY, tokens=st.integers(0, 9000), kind=st.sampled_from(["proportional", "equal"]))
def test_what_some_lack_goes_to_the_others(supply: dict[str, int], tokens: int, kind: str) -> None:
    shares = shares_of(kind, supply)
    budget = redistributed(tokens, shares, supply)
    assert sum(budget.values()) == min(tokens, sum(supply.values()))
    assert all(0 <= budget[name] <= supply[name] for name in supply)
    open_ = [name for name in supply if budget[name] < supply[name]]
    rates = [Fraction(budget[name]) / shares[name] for name in open_ if shares[name]]
    assert all(abs(one - other) <= 2 / min(shares[name] for name in open_) for one in rates for other in rates)


def test_given_shares_are_made_whole_and_the_rest_has_none() -> None:
    shares = shares_of({"a": 0.1, "b": 0.2, "gone": 0.7}, {"a": 5, "b": 5, "c": 5})
    assert sum(shares.values()) == 1
    assert (shares["c"], float(shares["gone"])) == (0, pytest.approx(0.7))
    assert apportioned(100, shares) == {"a": 10, "b": 20, "c": 0, "gone": 70}
    assert redistributed(12, shares, {"a": 5, "b": 5, "c": 5}) == {"a": 5, "b": 5, "c": 0, "gone": 0}


def test_no_strata_have_no_budget() -> None:
    assert apportioned(10, shares_of("equal", {})) == {}
    assert redistributed(10, {}, {}) == {}
