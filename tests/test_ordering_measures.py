"""Measures of an order against their definitions, pair by pair."""

import math

import numpy as np

from stages.ordering_measures import consecutive, token_win, win, windows_of
from stages.ordering_vectors import cosine
from tests.ordering_sets import clusters, products


def test_similarity_inside_windows_pair_by_pair() -> None:
    vectors = clusters(40)
    windows = np.random.default_rng(0).integers(0, 9, 40)
    windows[0] = 77  # alone
    every = cosine(products(vectors))
    means = []
    for window in set(windows.tolist()):
        rows = np.flatnonzero(windows == window)
        pairs = [every[one, other] for one in rows for other in rows if one != other]
        means += [np.mean(pairs)] if pairs else []
    assert math.isclose(win(vectors, np.arange(40), windows), np.mean(means), abs_tol=1e-9)


def test_similarity_weighted_by_tokens_token_by_token() -> None:
    vectors = clusters(30)
    random = np.random.default_rng(0)
    windows, tokens = random.integers(0, 7, 30), random.integers(1, 50, 30)
    windows[0] = 77
    every, total = cosine(products(vectors)), 0.0
    for row in range(30):
        others = [other for other in range(30) if other != row and windows[other] == windows[row]]
        held = sum(tokens[other] for other in others)
        if held:
            total += tokens[row] * sum(tokens[other] * every[row, other] for other in others) / held
    found = token_win(vectors, np.arange(30), windows, tokens)
    assert math.isclose(found, total / tokens.sum(), abs_tol=1e-9)


def test_nothing_to_measure() -> None:
    vectors = clusters(1)
    assert math.isnan(win(vectors, [0], [0]))
    assert math.isnan(token_win(vectors[:0], [], [], []))
    assert token_win(vectors, [0], [0], [5]) == 0.0
    assert consecutive(vectors, np.array([0], np.int32)).tolist() == []
    assert windows_of(np.empty(0, np.int32), 4).tolist() == []
