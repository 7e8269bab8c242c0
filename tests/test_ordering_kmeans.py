"""Buckets: none too large, the same in any order of the rows, and assignment by brute force."""

import numpy as np
import pytest

from stages.ordering_kmeans import centroids, nearest
from stages.ordering_vectors import units
from tests.ordering_sets import EDGES, clusters, hashes


@pytest.mark.parametrize("name", sorted(EDGES))
@pytest.mark.parametrize("largest", [0.1, 0.5, 1.0])
def test_buckets_are_bounded_where_rows_differ(name: str, largest: float) -> None:
    vectors = EDGES[name]
    found = centroids(vectors, hashes(len(vectors)), 3, largest)
    assert (len(found) > 0) == (len(vectors) > 0)
    if len(vectors):
        sizes = np.bincount(nearest(vectors, found, 1)[:, 0])
        same = {"identical": 40, "opposite": 20}.get(name, 1)
        assert sizes.max() <= max(largest * len(vectors), same)


def test_the_order_of_the_rows_does_not_matter() -> None:
    vectors, ties = clusters(500), hashes(500)
    order = np.random.default_rng(0).permutation(500)
    first, second = centroids(vectors, ties, 12, 0.2), centroids(vectors[order], ties[order], 12, 0.2)
    assert first.tolist() == second.tolist()
    assert first.tolist() != centroids(vectors, ties, 12, 0.2, seed=1).tolist()


def test_centroids_find_what_is_apart() -> None:
    vectors = units(np.eye(4).repeat(30, axis=0) + np.random.default_rng(0).standard_normal((120, 4)) * 0.05)
    homes = nearest(vectors, centroids(vectors, hashes(120), 8, 0.3), 1)[:, 0].reshape(4, 30)
    assert all(not set(one) & set(two) for place, one in enumerate(homes) for two in homes[:place])


def test_the_nearest_are_the_most_similar() -> None:
    vectors, centres = clusters(50), clusters(9, seed=1)
    found = nearest(vectors, centres, 3)
    products = vectors.astype(np.int64) @ centres.astype(np.int64).T
    for row in range(50):
        assert found[row].tolist() == sorted(range(9), key=lambda one: (-products[row, one], one))[:3]
    assert nearest(vectors, centres, 99).shape == (50, 9)


def test_a_share_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="above 0"):
        centroids(clusters(5), hashes(5), 2, 0.0)
