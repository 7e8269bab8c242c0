"""Windows and perplexities against a brute-force reading of their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.perplexity_scores import document_scores, largest_mean, pooled, windows

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


@given(LINES, st.integers(1, 60))
@settings(deadline=None)
def test_the_ratio_is_two_parts_worst_window_and_one_part_document(lines: list[tuple[float, int]], size: int) -> None:
    values, tokens = [value for value, _ in lines], [count for _, count in lines]
    values, tokens = [*values, -1.0], [*tokens, size]  # long enough for a window
    ratio = document_scores(np.array(values), np.array(tokens), np.array(values), size).ratio
    whole = sum(values) / sum(tokens)
    assert ratio == pytest.approx((2 * _brute_force(values, tokens, size) + whole) / 3, abs=1e-9)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.integers(0, 60))
@settings(deadline=None)
def test_a_document_that_is_too_short_for_a_window_is_filled_up(values: list[float], lacking: int) -> None:
    contrast, tokens = np.array(values), np.ones(len(values), np.int64)
    ratio = document_scores(contrast, tokens, contrast, len(values) + lacking).ratio
    tenths = [(value, 10) for value in values] + [(-1.0, 1)] * lacking
    assert ratio == pytest.approx(sum(v * n for v, n in tenths) / sum(n for _, n in tenths), abs=1e-9)


@given(LINES, st.integers(1, 60), st.integers(0, 29), st.floats(0, 50))
@settings(deadline=None)
def test_a_line_with_more_contrast_never_lowers_the_ratio(
    lines: list[tuple[float, int]], size: int, place: int, more: float
) -> None:
    contrast, tokens = np.array([value for value, _ in lines]), np.array([count for _, count in lines])
    raised = contrast.copy()
    raised[place % len(lines)] += more
    within = windows(tokens, size)
    assert pooled(raised, tokens, within) >= pooled(contrast, tokens, within) - 1e-9


def test_a_contrast_of_nothing_gives_no_ratio() -> None:
    log10, tokens = np.array([-3.0, -8.0, -1.0]), np.array([2, 4, 3])
    assert document_scores(log10, tokens, np.zeros(3), 5).ratio == 0.0


def test_probabilities_too_small_for_a_perplexity_do_not_overflow() -> None:
    assert np.isfinite(document_scores(np.array([-4000.0]), np.array([2]), None, 5).ppl)
