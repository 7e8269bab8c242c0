"""Near-duplicates: the best rated of each stays, none is left, the text has the last word, and nothing chains."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.ordering_duplicates import compact, near_duplicates
from stages.ordering_graph import Ints
from stages.ordering_neighbours import neighbours
from stages.ordering_shingles import confirmation, containment, resemblance, shingles
from stages.ordering_vectors import SCALE, Mask, Units, units
from tests.ordering_sets import EDGES, clusters, hashes, products


def _yes(ones: Ints, others: Ints) -> Mask:
    return np.ones(len(ones), np.bool_) & (ones != others)


def _found(vectors: Units, threshold: float, ranks: Ints, width: int = 5) -> Ints:
    return near_duplicates(vectors, neighbours(vectors, width, hashes(len(vectors))), ranks, threshold, _yes)


def _plain(vectors: Units, threshold: float, ranks: Ints) -> list[int]:
    """Greedy on all pairs: who is dropped by whom."""
    every, fell_to = products(vectors), [-1] * len(vectors)
    for row in np.argsort(ranks).tolist():
        if fell_to[row] < 0:
            for other in range(len(vectors)):
                if other != row and fell_to[other] < 0 and every[row, other] > threshold * SCALE:
                    fell_to[other] = row
    return fell_to


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_on_complete_lists_it_is_the_plain_greedy(threshold: float) -> None:
    vectors, ranks = clusters(150, dimensions=12), np.random.default_rng(1).permutation(150).astype(np.int32)
    assert _found(vectors, threshold, ranks, 149).tolist() == _plain(vectors, threshold, ranks)


@pytest.mark.parametrize("width", [1, 3, 20])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_no_pair_is_left_and_survivors_survive(threshold: float, width: int) -> None:
    vectors, ranks = clusters(300, dimensions=12), np.random.default_rng(1).permutation(300).astype(np.int32)
    found = _found(vectors, threshold, ranks, width)
    kept = np.flatnonzero(found < 0)
    every = products(vectors)[np.ix_(kept, kept)]
    np.fill_diagonal(every, -SCALE)
    assert every.max() <= threshold * SCALE
    assert (found[found[found >= 0]] == -1).all()
    assert (ranks[found[found >= 0]] < ranks[np.flatnonzero(found >= 0)]).all()


@pytest.mark.parametrize("name", sorted(EDGES))
def test_one_of_each_stays(name: str) -> None:
    vectors = EDGES[name]
    found = _found(vectors, 0.999, np.arange(len(vectors), dtype=np.int32))
    expected = {"identical": 1, "opposite": 2}.get(name, len(vectors))
    assert (found < 0).sum() == expected


def test_the_best_rated_stays_of_thousands_that_are_the_same() -> None:
    vectors = units(np.ones((3_000, 8)))
    ranks = np.random.default_rng(0).permutation(3_000).astype(np.int32)
    found = _found(vectors, 0.95, ranks)
    assert np.flatnonzero(found < 0).tolist() == [int(ranks.argmin())]


def test_a_chain_is_not_a_component() -> None:
    angles = np.linspace(0, np.pi / 2, 20)
    vectors = units(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = _found(vectors, 0.99, np.arange(20, dtype=np.int32))
    assert (found < 0).sum() == 10
    rows = np.flatnonzero(found >= 0)
    assert (products(vectors)[rows, found[rows]] > 0.99 * SCALE).all()


def test_templates_that_the_text_tells_apart_stay() -> None:
    vectors = EDGES["identical"]
    near = neighbours(vectors, 5, hashes(40))
    ranks = np.arange(40, dtype=np.int32)
    assert (near_duplicates(vectors, near, ranks, 0.9, lambda ones, _: ones < 0) == -1).all()
    same = near_duplicates(vectors, near, ranks, 0.9, lambda ones, others: (ones < 2) & (others < 2))
    assert same.tolist() == [-1, 0, *[-1] * 38]


def test_lists_of_those_that_stay() -> None:
    vectors = clusters(60)
    near = neighbours(vectors, 8, hashes(60))
    kept = np.random.default_rng(0).random(60) < 0.5
    found, rows = compact(near, kept, 4), np.flatnonzero(kept)
    for place, row in enumerate(rows):
        expected = [other for other in near.ids[row].tolist() if kept[other]][:4]
        assert [int(rows[other]) for other in found.ids[place] if other >= 0] == expected


TOKENS = st.lists(st.integers(0, 5), max_size=30)


@given(one=TOKENS, other=TOKENS, width=st.integers(1, 6))
def test_shingles_are_sets_of_runs(one: list[int], other: list[int], width: int) -> None:
    runs = [
        {tuple(text[at : at + wide]) for at in range(len(text) - wide + 1)}
        if (wide := min(width, len(text)))
        else set()
        for text in (one, other)
    ]
    sets = [shingles(np.array(text, np.uint64), width) for text in (one, other)]
    assert [len(found) for found in sets] == [len(found) for found in runs]
    shared = len(runs[0] & runs[1])
    if runs[0] and runs[1]:
        assert resemblance(*sets) == shared / len(runs[0] | runs[1])
        assert containment(*sets) == shared / min(map(len, runs))


def test_texts_that_are_empty() -> None:
    nothing, something = shingles([]), shingles([1, 2, 3])
    assert resemblance(nothing, nothing) == containment(nothing, nothing) == 1.0
    assert resemblance(nothing, something) == containment(nothing, something) == 0.0
    assert confirmation([nothing, something])(np.empty(0, np.int32), np.empty(0, np.int32)).tolist() == []


def test_texts_that_hash_alike_fall_whatever_their_cosine_if_confirmed() -> None:
    vectors, ranks = np.array(np.eye(6) * 16384, np.int16), np.array([5, 4, 3, 2, 1, 0], np.int32)
    alike = np.array([7, 9, 7, -1, -1, 9], np.int64)
    lists = neighbours(vectors, 3, hashes(6))
    assert near_duplicates(vectors, lists, ranks, 0.9, _yes, alike).tolist() == [2, 5, -1, -1, -1, -1]
    assert near_duplicates(vectors, lists, ranks, 0.9, lambda one, other: one < 0, alike).tolist() == [-1] * 6
