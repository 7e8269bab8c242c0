"""How good a packing is: what is padded, what is cut without need, what is similar; and how long documents are."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.ordering_graph import Longs
from stages.ordering_measures import token_win, win
from stages.ordering_vectors import Units
from stages.packing_contexts import Spans

BANDS = (512, 2_048, 8_192, 32_768)
Doubles = npt.NDArray[np.float64]


class Packing(NamedTuple):
    """What a packing did."""

    contexts: int
    padding: float
    """The share of places that no token fills."""
    cut: float
    """The share of documents in more parts than their length needs."""
    win: float
    token_win: float


def measured(spans: Spans, tokens: npt.ArrayLike, context: int, vectors: Units) -> Packing:
    """`tokens` (n,) and `vectors` (n, dimensions) of the documents; similarities as in `ordering_measures`."""
    count = int(spans.contexts[-1]) + 1 if len(spans.contexts) else 0
    lengths = spans.ends - spans.begins
    padding = 1 - float(lengths.sum()) / (count * context) if count else 0.0
    similar = win(vectors, spans.documents, spans.contexts)
    weighted = token_win(vectors, spans.documents, spans.contexts, lengths)
    return Packing(count, padding, needlessly_cut(spans, tokens, context), similar, weighted)


def needlessly_cut(spans: Spans, tokens: npt.ArrayLike, context: int) -> float:
    """The share of documents with tokens that are in more parts than `ceil(tokens / context)`.

    >>> one = np.array([0, 1]), np.array([0, 0]), np.array([0, 1]), np.array([1, 4])
    >>> needlessly_cut(Spans(*one), [4], 5)
    1.0
    """
    given = np.asarray(tokens, np.int64)
    parts = np.bincount(spans.documents, minlength=len(given))
    held = given > 0
    return float((parts > -(-given // context))[held].mean()) if held.any() else 0.0


class Band(NamedTuple):
    """Documents of a length."""

    least: int
    """Tokens, at least."""
    documents: int
    tokens: int
    share: float
    """Of all tokens."""


def bands(tokens: npt.ArrayLike, edges: tuple[int, ...] = BANDS) -> list[Band]:
    """How many tokens are in documents of which length; the first band begins at 0, others at an edge.

    >>> [tuple(band) for band in bands([100, 300, 600], (512,))]
    [(0, 2, 400, 0.4), (512, 1, 600, 0.6)]
    """
    given = np.asarray(tokens, np.int64)
    homes = np.searchsorted(edges, given, side="right")
    total = int(given.sum())
    found = []
    for number, least in enumerate((0, *edges)):
        inside = given[homes == number]
        held = int(inside.sum())
        found.append(Band(least, len(inside), held, held / total if total else 0.0))
    return found


def length_weights(tokens: npt.ArrayLike, context: int, power: float = 0.5, most: float = 4.0) -> Doubles:
    """How often to draw each document, (n,): 1 up to a quarter of a context, then more with length, up to `most`.

    Long documents are few, and it is they that teach a model to use a long context.
    Source: "Effective Long-Context Scaling of Foundation Models" (NAACL 2024), which raises the share of long ones.

    >>> length_weights([100, 1024, 4096, 10**9], 4096).tolist()
    [1.0, 1.0, 2.0, 4.0]
    """
    return np.clip((np.asarray(tokens, np.float64) / (context / 4)) ** power, 1.0, most)


def seen_tokens(tokens: npt.ArrayLike, weights: Doubles, edges: tuple[int, ...] = BANDS) -> Doubles:
    """The share of tokens that a trainer sees from each band of `bands`, if documents are drawn by weight.

    >>> seen_tokens([100, 600], np.array([1.0, 4.0]), (512,)).tolist()
    [0.04, 0.96]
    """
    given = np.asarray(tokens, np.int64)
    drawn: Doubles = np.bincount(np.searchsorted(edges, given, side="right"), given * weights, len(edges) + 1).astype(
        np.float64
    )
    total = float(drawn.sum())
    return drawn / total if total else drawn


def cumulative(lengths: Longs) -> Longs:
    """Where each part begins in a row of them, and where the last ends: the boundaries that a mask needs.

    >>> cumulative(np.array([3, 2])).tolist()
    [0, 3, 5]
    """
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
