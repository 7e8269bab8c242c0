"""What a packing did, as sums that add up over parts of a corpus; `packing_measures` says what each means."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.ordering_measures import token_win, win
from stages.ordering_vectors import Units
from stages.packing_contexts import Spans


class Sums(NamedTuple):
    """Of one packing, or several."""

    contexts: int = 0
    places: int = 0
    """Tokens that the contexts have room for."""
    tokens: int = 0
    """That they hold."""
    documents: int = 0
    """With tokens."""
    cut: int = 0
    """Of these, in more parts than their length needs."""
    compared: int = 0
    """Contexts that hold several parts with a vector."""
    similarity: float = 0.0
    """Of these, the sum of the mean cosine within."""
    weighed: int = 0
    """Tokens of parts with a vector."""
    weighted: float = 0.0
    """The sum over these tokens of the mean cosine to the others of the context."""
    alone: int = 0
    """Tokens of documents that have a context to themselves."""

    @property
    def padding(self) -> float:
        """The share of places that no token fills."""
        return 1 - self.tokens / self.places if self.places else 0.0

    @property
    def win(self) -> float | None:
        """The mean cosine within contexts."""
        return self.similarity / self.compared if self.compared else None

    @property
    def token_win(self) -> float | None:
        """The same by tokens; those alone in a context count as 0."""
        return self.weighted / self.weighed if self.weighed else None


def sums(spans: Spans, tokens: npt.ArrayLike, context: int, vectors: Units | None) -> Sums:
    """Of a packing of documents with `tokens` (n,) and `vectors` (n, dimensions), if they have any.

    >>> spans = Spans(np.array([0, 0]), np.array([0, 1]), np.array([0, 0]), np.array([3, 4]))
    >>> found = sums(spans, [3, 4], 10, np.array([[16384, 0], [0, 16384]], np.int16))
    >>> found.contexts, round(found.padding, 3), found.win, found.token_win
    (1, 0.3, 0.0, 0.0)
    """
    given = np.asarray(tokens, np.int64)
    lengths = spans.ends - spans.begins
    total = int(lengths.sum())
    parts = np.bincount(spans.documents, minlength=len(given))
    cut = int((parts > -(-given // context)).sum())
    held, numbers, mates = np.unique(spans.contexts, return_inverse=True, return_counts=True)
    found = Sums(len(held), len(held) * context, total, int((given > 0).sum()), cut)
    found = found._replace(alone=int(lengths[mates[numbers] == 1].sum()))
    if vectors is None or not total:
        return found
    compared = int((mates > 1).sum())
    similarity = win(vectors, spans.documents, spans.contexts) * compared if compared else 0.0
    weighted = token_win(vectors, spans.documents, spans.contexts, lengths) * total
    return found._replace(compared=compared, similarity=similarity, weighed=total, weighted=weighted)


def added(found: Sequence[Sequence[float]]) -> Sums:
    """Of several, each a `Sums`, or the same as a list.

    >>> added([Sums(1, 10, 7), [2, 30, 13, 3, 0, 1, 0.5, 13, 8.0]]).padding
    0.5
    """
    return Sums(*(sum(column) for column in zip(*(Sums(*one) for one in found), strict=True)))  # type: ignore[arg-type]
