"""What a rater says of some documents, and the columns it becomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from stages.rating_protocol import CRITERIA

OK, INVALID, EMPTY, ERROR, OTHER_LANGUAGE = "ok", "invalid", "empty", "error", "other_language"
"""Status of a document: rated; the rater's answer was not one; there is no text to rate; the rater failed on it; the
rater does not know its language."""

SCHEMA = pa.schema(
    [
        *(pa.field(f"rating_{name}", pa.int8()) for name in CRITERIA),
        *(pa.field(f"rating_{name}_mean", pa.float32()) for name in CRITERIA),
        pa.field("rating_confidence", pa.float32()),
        pa.field("domain", pa.string()),
        pa.field("domain_confidence", pa.float32()),
        pa.field("rating_status", pa.string()),
        pa.field("rating_prompt_tokens", pa.int32()),
        pa.field("rating_answer_tokens", pa.int32()),
        pa.field("rater", pa.string()),
    ]
)


@dataclass
class Ratings:
    """Answers for `n` documents; nothing is ever imputed for a document that was not rated."""

    scores: np.ndarray
    """int8, (n, 14), in the order of CRITERIA: 1 to 5, or 0 where there is none."""
    means: np.ndarray
    """float32, (n, 14): expected scores, NaN where the rater gives no probabilities."""
    confidence: np.ndarray
    """float32, (n,): mean probability of the scores that were chosen, NaN if unknown."""
    domains: list[str | None]
    domain_confidence: np.ndarray
    """float32, (n,): probability of the domain that was chosen, NaN if unknown."""
    status: list[str]
    tokens: np.ndarray
    """int32, (n, 2): tokens of the prompt and of the answer; -1 if the rater has no tokens."""

    @classmethod
    def none(cls, count: int, status: str = EMPTY) -> "Ratings":
        """Ratings of `count` documents of which nothing is known but their status."""
        return cls(
            scores=np.zeros((count, len(CRITERIA)), np.int8),
            means=np.full((count, len(CRITERIA)), np.nan, np.float32),
            confidence=np.full(count, np.nan, np.float32),
            domains=[None] * count,
            domain_confidence=np.full(count, np.nan, np.float32),
            status=[status] * count,
            tokens=np.full((count, 2), -1, np.int32),
        )

    def spread(self, count: int, rows: Sequence[int], status: str) -> "Ratings":
        """These ratings at `rows` of `count` documents; the others have none, and that status."""
        whole = Ratings.none(count, status)
        for name in ("scores", "means", "confidence", "domain_confidence", "tokens"):
            getattr(whole, name)[list(rows)] = getattr(self, name)
        for row, domain, found in zip(rows, self.domains, self.status, strict=True):
            whole.domains[row], whole.status[row] = domain, found
        return whole

    def as_batch(self, rater: str) -> pa.RecordBatch:
        """The columns of SCHEMA; zeros, NaN and -1 become null."""
        arrays = [
            *(_unless(column == 0, column) for column in self.scores.T),
            *(_unless(np.isnan(column), column) for column in self.means.T),
            _unless(np.isnan(self.confidence), self.confidence),
            pa.array(self.domains, pa.string()),
            _unless(np.isnan(self.domain_confidence), self.domain_confidence),
            pa.array(self.status, pa.string()),
            *(_unless(column < 0, column) for column in self.tokens.T),
            pa.array([rater] * len(self.status), pa.string()),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


class Rater(Protocol):
    """Something that rates documents; made once per worker process."""

    @property
    def name(self) -> str:
        """Id and version, such as `tamis-student-1` or `DataMan-1.5B-EN@5f2c01ab`: the column `rater`."""
        ...

    def rate(self, texts: Sequence[str]) -> Ratings:
        """Ratings of the texts, in their order. Texts of white space alone are `empty`."""
        ...


def _unless(missing: np.ndarray, values: np.ndarray) -> pa.Array:
    return pa.array(np.ascontiguousarray(values), mask=np.ascontiguousarray(missing))
