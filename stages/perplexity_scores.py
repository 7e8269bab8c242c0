"""Scores of one document from the log probabilities of its lines: the whole document, its worst window, and both.

A passage hides in the mean of a long document, so the window slides over the lines: it starts at each line and takes
lines until it has `size` tokens. Its mean log probability is compared, not its sum, so windows of different length are
comparable.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW_SHARE = 2 / 3
"""How much the worst window counts beside the whole document."""
ABSENT_WEIGHT, ABSENT_CONTRAST = 0.1, -1.0
"""What a token counts for that a document lacks to fill a window: little, and as one of a benign document."""


class Scores(NamedTuple):
    """Scores of one document."""

    ppl: float
    """Perplexity under the model: 10 ** -(mean log10 probability per token)."""
    worst: float
    """The smallest perplexity of a window: what in the document resembles the model's text most."""
    ratio: float
    """The mean contrast of a token: two parts of the worst window (the largest mean), one part of the whole document.
    Above 0 the document resembles the model's text more. Less in a document shorter than a window, by how much it is
    shorter, since it says less. NaN without a contrast."""


def document_scores(log10: Floats, tokens: Ints, contrast: Floats | None, size: int) -> Scores:
    """Scores from the log10 probability, the number of tokens and the contrast of each line (at least one line).

    The contrast is what a line gains under the model over another.

    >>> s = document_scores(np.array([-9., -3.]), np.array([3, 3]), np.array([-3., 3.]), size=3)
    >>> s.ppl, s.worst, s.ratio
    (100.0, 10.0, 0.6666666666666666)
    """
    within = windows(tokens, size)
    ratio = np.nan if contrast is None else filled_up(pooled(contrast, tokens, within), int(tokens.sum()), size)
    mean = float(log10.sum() / tokens.sum())
    return Scores(_perplexity(mean), _perplexity(largest_mean(log10, within)), ratio)


class Windows(NamedTuple):
    """Windows of whole lines."""

    begin: Ints
    end: Ints
    """The line after the last."""
    tokens: Ints


def windows(tokens: Ints, size: int) -> Windows:
    """The windows of lines that have at least `size` tokens, given the number of tokens of each line (at least one).

    A window ends with the line that brings it to `size`, and one more with the last line; a document that has fewer
    tokens is one window.

    >>> windows(np.array([1, 3, 1]), size=2)
    Windows(begin=array([0, 1, 1]), end=array([2, 2, 3]), tokens=array([4, 3, 4]))
    """
    lines = len(tokens)
    counts = np.zeros(lines + 1, np.int64)
    np.cumsum(tokens, out=counts[1:])
    if counts[-1] < size:
        return Windows(np.array([0]), np.array([lines]), counts[-1:])
    starts = int(counts.searchsorted(counts[-1] - size, side="right"))  # the lines that a window can begin with
    begin = np.minimum(np.arange(starts + 1), starts - 1)
    end = np.append(counts.searchsorted(counts[:starts] + size), lines)
    return Windows(begin, end, counts[end] - counts[begin])


def largest_mean(values: Floats, within: Windows) -> float:
    """The largest mean of `values` per token over all windows.

    >>> largest_mean(np.array([1., 0., 4.]), windows(np.array([1, 1, 2]), size=2))
    2.0
    """
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return float(((sums[within.end] - sums[within.begin]) / within.tokens).max())


def pooled(contrast: Floats, tokens: Ints, within: Windows) -> float:
    """The mean per token of the worst window and of the whole document, the window counting twice.

    The worst window finds a passage; the document tells text that is harmful throughout from text with one odd window.

    >>> pooled(np.array([0., 0., 3.]), np.array([1, 1, 1]), windows(np.array([1, 1, 1]), size=1))
    2.3333333333333335
    """
    whole = float(contrast.sum() / tokens.sum())
    return WINDOW_SHARE * largest_mean(contrast, within) + (1 - WINDOW_SHARE) * whole


def filled_up(mean: float, tokens: int, size: int) -> float:
    """The mean contrast if the tokens that a document lacks to fill a window counted a little, as benign ones.

    A sentence has a high mean by chance, or for one word, more often than a page does.

    >>> filled_up(1.0, tokens=4, size=14)
    0.6
    """
    absent = ABSENT_WEIGHT * max(0, size - tokens)
    return (mean * tokens + ABSENT_CONTRAST * absent) / (tokens + absent)


def _perplexity(mean_log10: float) -> float:
    return float(10.0 ** min(-mean_log10, 300.0))
