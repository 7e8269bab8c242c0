"""Length bands and weights, and measures of nothing."""

import math

import numpy as np

from stages.packing_contexts import best_fit
from stages.packing_measures import bands, cumulative, length_weights, measured, needlessly_cut, seen_tokens
from tests.ordering_sets import clusters


def test_no_documents() -> None:
    spans = best_fit([], 10)
    found = measured(spans, [], 10, clusters(1)[:0])
    assert (found.contexts, found.padding, found.cut) == (0, 0.0, 0.0)
    assert math.isnan(found.win)
    assert [band.tokens for band in bands([])] == [0] * 5
    assert seen_tokens([], length_weights([], 100)).tolist() == [0.0] * 5


def test_padding_and_needless_cuts() -> None:
    spans = best_fit([6, 6, 25], 10)
    found = measured(spans, [6, 6, 25], 10, clusters(3))
    assert found.contexts == 5 - 1 + 1
    assert math.isclose(found.padding, 1 - 37 / 50)
    assert needlessly_cut(spans, [6, 6, 25], 10) == 0.0


def test_bands_hold_everything_and_weights_raise_the_share_of_long_documents() -> None:
    tokens = np.random.default_rng(0).lognormal(7, 1.5, 2_000).astype(np.int64)
    found = bands(tokens)
    assert sum(band.tokens for band in found) == tokens.sum()
    assert sum(band.documents for band in found) == 2_000
    weights = length_weights(tokens, 8_192)
    assert weights.min() == 1.0
    assert weights.max() <= 4.0
    seen = seen_tokens(tokens, weights)
    assert math.isclose(seen.sum(), 1.0)
    assert seen[-1] > found[-1].share
    assert seen[0] < found[0].share
    assert cumulative(np.empty(0, np.int64)).tolist() == [0]
