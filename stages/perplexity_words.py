"""Weights of the words of a document: a word that stands in it n times weighs n ** -1/2 of its weight each time.

The second time that a document says a word is less news than the first: a page about one subject repeats its words, and
so do menus. Sublinear counts of words are those of "Term-weighting approaches in automatic text retrieval" (1988).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from stages.ngram_models import OpenModel
from stages.ngram_pieces import Pieces
from stages.perplexity_scores import Floats

MOST_WORDS = 100_000
"""Words whose weight is remembered at once, some 15 MB; then it starts anew."""
LINES = 4096
"""Lines that are cut into words at once."""


class WordWeights(dict[bytes, float]):
    """The weight of any word, looked up once: how far it lies above an unknown word, which weighs nothing."""

    def __init__(self, model: OpenModel) -> None:
        super().__init__()
        self._score: Callable[..., float] = model.score
        self._unknown = model.card.unknown_log10 or 0.0

    def __missing__(self, word: bytes) -> float:
        if len(self) >= MOST_WORDS:
            self.clear()
        weight = self[word] = self._score(word, bos=False, eos=False) - self._unknown
        return weight


def weights_of_lines(weights: WordWeights, found: Pieces) -> Floats:
    """The sum of the weights of the words of each line of a document (one or more); ends of lines weigh nothing."""
    counts = found.tokens - 1
    places: defaultdict[bytes, int] = defaultdict()
    places.default_factory = places.__len__  # words are numbered as they are met
    place = np.fromiter(map(places.__getitem__, _words(found.lines)), np.int64, int(counts.sum()))
    weight = np.fromiter(map(weights.__getitem__, places), np.float64, len(places))
    each = (weight / np.sqrt(np.bincount(place)))[place]
    return np.add.reduceat(each, np.cumsum(counts) - counts)


def _words(lines: list[bytes]) -> Iterator[bytes]:
    """The words of some lines at a time, since a long document as a list of words is many times its text."""
    parts = (lines[begin : begin + LINES] for begin in range(0, len(lines), LINES))
    return chain.from_iterable(b" ".join(part).split() for part in parts)
