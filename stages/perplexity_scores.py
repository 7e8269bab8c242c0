"""Scores of one document from the log probabilities of its lines: the whole document, and its worst window.

A passage hides in the mean of a long document, so the window slides over the lines: it starts at each line and takes
lines until it has `size` tokens. Its mean log probability is compared, not its sum, so windows of different length are
comparable.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def pieces(lines: list[str], size: int) -> list[str]:
    """Lines of tokens with none longer than `size` tokens.

    >>> pieces(["a b c", "d"], 2)
    ['a b', 'c', 'd']
    """
    cut: list[str] = []
    for line in lines:
        if line.count(" ") < size:
            cut.append(line)
        else:
            tokens = line.split(" ")
            cut.extend(" ".join(tokens[begin : begin + size]) for begin in range(0, len(tokens), size))
    return cut


class Scores(NamedTuple):
    """Scores of one document."""

    ppl: float
    """Perplexity under the model: 10 ** -(mean log10 probability per token)."""
    worst: float
    """The smallest perplexity of a window: what in the document resembles the model's text most."""
    ratio: float
    """The largest difference, over the windows, of mean log10 probability under the model and under the background
    model: above 0 the window resembles the model's text more. NaN without a background model."""


def document_scores(log10: Floats, tokens: Ints, background: Floats | None, size: int) -> Scores:
    """Scores from the log10 probability and the number of tokens of each line (at least one line).

    >>> s = document_scores(np.array([-9., -3.]), np.array([3, 3]), np.array([-6., -6.]), size=3)
    >>> s.ppl, s.worst, s.ratio
    (100.0, 10.0, 1.0)
    """
    worst = largest_window_mean(log10, tokens, size)
    ratio = np.nan if background is None else largest_window_mean(log10 - background, tokens, size)
    return Scores(_perplexity(float(log10.sum() / tokens.sum())), _perplexity(worst), float(ratio))


def largest_window_mean(values: Floats, tokens: Ints, size: int) -> float:
    """The largest mean of `values` per token over all windows of whole lines with at least `size` tokens.

    A window ends with the line that brings it to `size`; a document that has fewer is one window.

    >>> largest_window_mean(np.array([1., 0., 4.]), np.array([1, 1, 2]), size=2)
    2.0
    """
    sums = np.concatenate(([0.0], np.cumsum(values)))
    counts = np.concatenate(([0], np.cumsum(tokens)))
    ends = np.searchsorted(counts, counts[:-1] + size)
    starts = np.flatnonzero(ends < len(counts))
    if not len(starts):
        return float(sums[-1] / counts[-1])
    last = np.searchsorted(counts, counts[-1] - size, side="right") - 1  # the window that ends with the last line
    begin = np.append(starts, last)
    end = np.append(ends[starts], len(counts) - 1)
    return float(np.max((sums[end] - sums[begin]) / (counts[end] - counts[begin])))


def _perplexity(mean_log10: float) -> float:
    return float(10.0 ** min(-mean_log10, 300.0))
