"""The three orders: everyone once, whatever the set; the same ids however rows are permuted."""

from itertools import pairwise

import numpy as np
import pytest

from stages.ordering_contexts import fill
from stages.ordering_graph import Ints, undirected
from stages.ordering_measures import consecutive, token_win, win, windows_of
from stages.ordering_modes import Mode, Windows, ordered
from stages.ordering_neighbours import Neighbours, neighbours
from stages.ordering_path import path
from stages.ordering_refinement import refine
from stages.ordering_vectors import SCALE, Units
from stages.ordering_walk import walk
from tests.ordering_sets import EDGES, clusters, hashes, products, true_neighbours

MODES: tuple[Mode, ...] = ("fast", "path", "context")


def _ordered(vectors: Units, mode: Mode, near: Neighbours | None = None) -> Ints:
    ties = hashes(len(vectors))
    near = neighbours(vectors, 5, ties) if near is None else near
    return ordered(vectors, near, ties, mode, Windows(np.ones(len(vectors), np.int64), 4))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(EDGES))
def test_every_row_once(name: str, mode: Mode) -> None:
    vectors = EDGES[name]
    assert sorted(_ordered(vectors, mode).tolist()) == list(range(len(vectors)))


@pytest.mark.parametrize("mode", MODES)
def test_lists_of_nothing_are_an_order_too(mode: Mode) -> None:
    vectors = clusters(50)
    empty = Neighbours(np.full((50, 5), -1, np.int32), np.full((50, 5), -SCALE, np.int32))
    assert sorted(_ordered(vectors, mode, empty).tolist()) == list(range(50))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(set(EDGES) - {"none"}))
def test_the_order_of_the_rows_does_not_matter(name: str, mode: Mode) -> None:
    vectors = EDGES[name]
    ties = hashes(len(vectors))
    tokens = np.random.default_rng(2).integers(1, 9, len(vectors))
    rows = np.random.default_rng(1).permutation(len(vectors))
    first = ordered(vectors, neighbours(vectors, 5, ties), ties, mode, Windows(tokens, 16))
    near = neighbours(vectors[rows], 5, ties[rows])
    second = ordered(vectors[rows], near, ties[rows], mode, Windows(tokens[rows], 16))
    assert first.tolist() == rows[second].tolist()


def test_two_groups_of_one_document_are_two_orders() -> None:
    for mode in MODES:
        assert [_ordered(clusters(1, seed=seed), mode).tolist() for seed in (0, 1)] == [[0], [0]]


def _plain_walk(near: Neighbours) -> list[int]:
    """By counting anew at each dead end; an edge that both lists hold counts twice. Stacks decide ties."""
    count = len(near.ids)
    links = [[] for _ in range(count)]  # type: list[list[int]]
    values = {}
    for row in range(count):
        for other, value in zip(near.ids[row].tolist(), near.similarities[row].tolist(), strict=True):
            links[row].append(other)
            links[other].append(row)
            values[row, other] = values[other, row] = value
    order: list[int] = []
    touched = {row: -row for row in range(count)}
    clock, row = 0, -1
    left = set(range(count))
    while left:
        if row < 0:
            row = min(left, key=lambda it: (sum(other in left for other in links[it]), -touched[it]))
        order.append(row)
        left.remove(row)
        open_links = [other for other in links[row] if other in left]
        for other in open_links:
            clock += 1
            touched[other] = clock
        row = min(open_links, key=lambda it: (-values[row, it], it), default=-1)
    return order


@pytest.mark.parametrize("seed", range(4))
def test_the_walk_is_that_of_a_plain_rewriting(seed: int) -> None:
    vectors = clusters(120, groups=20, seed=seed)
    near = true_neighbours(vectors, 3, np.arange(120, dtype=np.uint64))
    assert walk(*near).tolist() == _plain_walk(near)


def test_the_walk_starts_again_at_the_fewest_unvisited_neighbours() -> None:
    lists = np.array([[1], [2], [1], [4], [3]], np.int32)
    assert walk(lists, np.full((5, 1), 9, np.int32)).tolist() == [0, 1, 2, 3, 4]


def _plain_path(vectors: Units) -> set[tuple[int, int]]:
    """The edges of the greedy matching on the complete graph."""
    every, count = products(vectors), len(vectors)
    pairs = sorted((-every[one, other], one, other) for one in range(count) for other in range(one + 1, count))
    degrees, parts, found = [0] * count, list(range(count)), set()
    for _, one, other in pairs:
        if degrees[one] < 2 and degrees[other] < 2 and parts[one] != parts[other]:
            found.add((one, other))
            degrees[one] += 1
            degrees[other] += 1
            old, new = parts[one], parts[other]
            parts = [new if part == old else part for part in parts]
    return found


@pytest.mark.parametrize("name", ["one", "two", "clusters", "opposite", "hub"])
def test_the_path_on_complete_lists_is_the_greedy_matching(name: str) -> None:
    vectors = EDGES[name]
    near = true_neighbours(vectors, len(vectors), np.arange(len(vectors), dtype=np.uint64))
    order = path(vectors, *near).tolist()
    steps = {(min(pair), max(pair)) for pair in pairwise(order)}
    assert steps == _plain_path(vectors)


def test_fragments_are_joined_though_no_list_leads_from_one_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.ordering_path.COMPLETE", 10)  # so that several rounds are needed
    for vectors in (clusters(400, groups=100), EDGES["identical"], EDGES["orthogonal"]):
        near = neighbours(vectors, 1, hashes(len(vectors)))
        assert sorted(path(vectors, *near).tolist()) == list(range(len(vectors)))


def test_each_mode_is_better_at_what_it_is_for() -> None:
    vectors = clusters(1_500, groups=120, dimensions=48)
    near = neighbours(vectors, 10, hashes(1_500))
    orders = {mode: _ordered(vectors, mode, near) for mode in MODES}
    along = {mode: consecutive(vectors, order).mean() for mode, order in orders.items()}
    within = {mode: win(vectors, np.arange(1_500), windows_of(order, 4)) for mode, order in orders.items()}
    assert along["path"] > along["fast"] > 0.4
    assert within["context"] > within["path"] > win(vectors, np.arange(1_500), np.arange(1_500) // 4) + 0.3


def test_windows_keep_to_their_capacity() -> None:
    vectors = clusters(300)
    tokens = np.random.default_rng(0).integers(1, 60, 300)
    near = neighbours(vectors, 6, hashes(300))
    graph = undirected(*near)
    filled = fill(graph, path(vectors, *near), tokens, 50)
    better = refine(vectors, graph, filled, tokens, 50)
    for windows in (filled, better):
        loads, sizes = np.bincount(windows, tokens), np.bincount(windows)
        assert ((loads <= 50) | (sizes == 1)).all()
        assert loads.sum() == tokens.sum()
    rows = np.arange(300)
    assert token_win(vectors, rows, better, tokens) > token_win(vectors, rows, filled, tokens)


def test_refinement_raises_the_sum_over_pairs_of_tokens_with_every_pass() -> None:
    vectors = clusters(200)
    tokens = np.random.default_rng(0).integers(1, 20, 200)
    graph = undirected(*neighbours(vectors, 6, hashes(200)))
    every = products(vectors).astype(object)
    windows, before = (np.arange(200) // 5).astype(np.int32), None
    for _ in range(3):
        same = windows[:, None] == windows[None, :]
        value = (every * same * np.outer(tokens, tokens).astype(object)).sum()
        assert before is None or value > before
        before = value
        windows = refine(vectors, graph, windows, tokens, 100, passes=1)
