"""Windows and perplexities against a brute-force reading of their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.perplexity_scores import document_scores, largest_mean, windows

LINES = st.lists(st.tuples(st.floats(-50, 0), st.integers(1, 20)), min_size=1, max_size=30)


def _brute_force(values: list[float], tokens: list[int], size: int) -> float:
    """All windows that end with the line that brings them to `size`, and those that end with the last line."""
    if sum(tokens) < size:
        return sum(values) / sum(tokens)
    means = []
    for begin in range(len(values)):
        for end in range(begin + 1, len(values) + 1):
            count = sum(tokens[begin:end])
            if count >= size:
                means.append(sum(values[begin:end]) / count)
                break
    last = max(b for b in range(len(values)) if sum(tokens[b:]) >= size)
    return max([*means, sum(values[last:]) / sum(tokens[last:])])


@given(LINES, st.integers(1, 60))
@settings(deadline=None)
def test_the_largest_window_mean_is_that_of_brute_force(lines: list[tuple[float, int]], size: int) -> None:
    values, tokens = [value for value, _ in lines], [count for _, count in lines]
    found = largest_mean(np.array(values), windows(np.array(tokens), size))
    assert found == pytest.approx(_brute_force(values, tokens, size), abs=1e-9)


@given(LINES, st.integers(1, 60))
@settings(deadline=None)
def test_the_worst_window_is_at_least_as_bad_as_the_document(lines: list[tuple[float, int]], size: int) -> None:
    log10 = np.array([value for value, _ in lines])
    tokens = np.array([count for _, count in lines])
    scores = document_scores(log10, tokens, None, size)
    if size >= tokens.sum():
        assert scores.worst == pytest.approx(scores.ppl)
    assert scores.ppl == pytest.approx(10 ** (-sum(v for v, _ in lines) / sum(n for _, n in lines)))
    assert math.isnan(scores.ratio)


def test_a_model_that_is_its_own_background_gives_no_ratio() -> None:
    log10, tokens = np.array([-3.0, -8.0, -1.0]), np.array([2, 4, 3])
    assert document_scores(log10, tokens, log10, 5).ratio == 0.0


def test_probabilities_too_small_for_a_perplexity_do_not_overflow() -> None:
    assert np.isfinite(document_scores(np.array([-4000.0]), np.array([2]), None, 5).ppl)
