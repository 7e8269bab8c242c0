"""Neighbours: those that sorting everything finds; the same ids in any order of the rows; nothing breaks an index."""

import os
import sys
import types

import numpy as np
import pytest

from stages.ordering_graph import row_of, similarity_of, undirected
from stages.ordering_neighbours import Index, Neighbours, choose, neighbours, recall, search
from stages.ordering_vectors import SCALE, Floats
from tests.ordering_sets import EDGES, clusters, hashes, products, true_neighbours


@pytest.mark.parametrize("name", sorted(set(EDGES) - {"identical", "opposite"}))
@pytest.mark.parametrize("count", [0, 1, 5, 500])
def test_exact_neighbours_are_those_of_brute_force(name: str, count: int) -> None:
    vectors = EDGES[name]
    ties = hashes(len(vectors))
    found, true = neighbours(vectors, count, ties), true_neighbours(vectors, count, ties)
    assert found.similarities.tolist() == true.similarities.tolist()
    if name not in {"orthogonal", "hub"}:  # as many ties as rows: an index proposes some of them
        assert found.ids.tolist() == true.ids.tolist()
    assert recall(vectors, found, ties) == 1.0


@pytest.mark.parametrize("name", sorted(EDGES))
@pytest.mark.parametrize("index", ["flat", "ivf"])
def test_the_order_of_the_rows_does_not_matter(name: str, index: Index) -> None:
    vectors = EDGES[name]
    ties = hashes(len(vectors))
    order = np.random.default_rng(1).permutation(len(vectors))
    first = neighbours(vectors, 4, ties, index=index)
    second = neighbours(vectors[order], 4, ties[order], index=index)
    assert first.similarities[order].tolist() == second.similarities.tolist()
    assert (
        first.ids[order].tolist() == np.where(second.ids >= 0, order[second.ids], -1).tolist() if len(order) else True
    )


def test_an_inverted_file_finds_most() -> None:
    vectors = clusters(3_000, groups=30, dimensions=48)
    found = neighbours(vectors, 10, hashes(3_000), index="ivf")
    assert 0.85 < recall(vectors, found, hashes(3_000)) <= 1.0


def test_what_nn_descent_could_not_find_is_minus_1(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, asked = clusters(50), {}

    class Fake(types.ModuleType):
        def NNDescent(self, rows: Floats, **named: object) -> "Fake":
            asked.update(named, rows=rows.shape)
            self.neighbor_graph = np.tile(np.array([3, -1, 4, -1, -1, -1, -1, -1, -1, -1], np.int32), (50, 1)), None
            return self

    monkeypatch.setitem(sys.modules, "pynndescent", Fake("pynndescent"))
    found = neighbours(vectors, 4, np.arange(50, dtype=np.uint64), index="descent")
    assert found.ids[:, 2:].tolist() == [[-1, -1]] * 50
    assert {tuple(sorted(ids)) for ids in found.ids[5:, :2].tolist()} == {(3, 4)}
    assert found.ids[3].tolist() == [4, -1, -1, -1]
    assert asked["n_neighbors"] == 10
    assert asked["random_state"] is not None


@pytest.mark.skipif("TAMIS_SLOW" not in os.environ, reason="pynndescent compiles for most of a minute: TAMIS_SLOW=1")
def test_nn_descent_finds_nearly_all_and_the_same_in_any_order() -> None:
    vectors, ties, order = clusters(3_000, groups=30), hashes(3_000), np.arange(2_999, -1, -1)
    found = neighbours(vectors, 10, ties, index="descent")
    again = neighbours(vectors[order], 10, ties[order], index="descent")
    assert recall(vectors, found, ties) > 0.95
    assert found.ids[order].tolist() == order[again.ids].tolist()
    same = neighbours(EDGES["identical"], 3, hashes(40), index="descent")
    assert np.unique(same.similarities[same.ids >= 0]).size == 1


def test_recall_counts_what_is_missing() -> None:
    vectors = clusters(100)
    true = true_neighbours(vectors, 4, hashes(100))
    half = Neighbours(np.where(np.arange(4) < 2, true.ids, -1).astype(np.int32), true.similarities)
    assert recall(vectors, half, hashes(100)) == 0.5


def test_proposals_may_hold_the_row_itself_twins_and_nothing() -> None:
    vectors = clusters(4)
    found = choose(vectors, np.array([[0, 2, 2, -1], [-1] * 4, [0, 1, 3, 0], [1, 3, -1, -1]], np.int32), 3)
    assert found.ids[1].tolist() == [-1, -1, -1]
    assert found.similarities[1].tolist() == [-SCALE] * 3
    assert found.ids[0].tolist() == [2, -1, -1]
    assert sorted(found.ids[2].tolist()) == [0, 1, 3]


def test_search_of_some_rows() -> None:
    vectors = clusters(60)
    true = true_neighbours(vectors, 7, np.arange(60, dtype=np.uint64))
    found = search(vectors, np.array([5, 59, 0], np.int32), 7)
    assert found.ids.tolist() == true.ids[[5, 59, 0]].tolist()


def test_a_graph_has_each_listed_edge_once_in_both_directions() -> None:
    random = np.random.default_rng(3)
    vectors = clusters(80)
    ids = random.integers(-1, 80, (80, 6)).astype(np.int32)
    ids[:, 0] = 7  # a hub
    every = products(vectors)
    graph = undirected(ids, np.take_along_axis(every, ids.astype(np.int64), axis=1).astype(np.int32))
    pairs = {(row, int(other)) for row in range(80) for other in ids[row] if other not in (-1, row)}
    pairs |= {(other, row) for row, other in pairs}
    for row in range(80):
        edges = graph.edges[graph.starts[row] : graph.starts[row + 1]]
        expected = sorted((other for one, other in pairs if one == row), key=lambda it: (-every[row, it], it))
        assert [row_of(value) for value in edges] == expected
        assert [similarity_of(value) for value in edges] == every[row, expected].tolist()
