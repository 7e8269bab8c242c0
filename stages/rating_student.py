"""The student rater: statistics and a static embedding of a document, and heads that rate it; on the CPU, offline.

It reads at most MOST_CHARACTERS of a document, its first and its last half of that. What a document is rated does not
depend on the documents beside it: each is computed alone, without a BLAS library, on one thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stages.embed_static import wordllama_files
from stages.errors import ModelError
from stages.model_files import sha256_of
from stages.rating_card import CARD, REMEDY, WEIGHTS, StudentCard, read_card, read_student, student_directory
from stages.rating_features import VERSION, parts_of, shown, statistics
from stages.rating_heads import Answer, Heads
from stages.rating_protocol import CRITERIA, DOMAINS, is_empty
from stages.rating_tokens import Embedder, Floats32, Tables, open_embedder, token_statistics
from stages.ratings import EMPTY, OK, Rater, Ratings

if TYPE_CHECKING:
    from stages.rating import Rating

DIGITS = 3
"""Decimals of expected scores and probabilities: rounding hides the last bits, in which machines may differ."""


class Measured(NamedTuple):
    """What the heads read of a document."""

    statistics: Floats32
    embedding: Floats32


def files(settings: "Rating") -> Mapping[str, Path]:
    """Weights and card of the student, weights and tokenizer of its embedding. Raises ModelError if one is missing."""
    directory = student_directory(settings.model)
    return {"student": directory / WEIGHTS, "student card": directory / CARD, **wordllama_files()}


def open_rater(settings: "Rating") -> Rater:
    """The student that `rating.model` names. Raises ModelError if it is not what its card says."""
    return open_student(student_directory(settings.model))


@cache
def open_student(directory: Path) -> "Student":
    """The student in a directory, verified and loaded once per process. Raises ModelError."""
    card = read_card(directory)
    if card.features != VERSION:
        raise ModelError(
            f"{directory / CARD}: found statistics of version {card.features}, expected {VERSION}; {REMEDY}"
        )
    found = sha256_of(wordllama_files()["embedding"])
    if found != card.embedding_sha256:
        raise ModelError(
            f"wordllama: found an embedding with SHA-256 {found}, expected {card.embedding_sha256}, with which "
            f"{directory / CARD} was trained; run: pip install 'wordllama>=0.4,<0.5', or {REMEDY}"
        )
    heads, tables = read_student(directory, card)
    student = Student(card, heads, tables, open_embedder())
    names = statistic_names(student.embedder, tables)
    if names != card.statistics:
        odd = sorted(set(names) ^ set(card.statistics)) or ["another order"]
        raise ModelError(f"{directory / CARD}: found other statistics than ours ({odd[0]}), expected those; {REMEDY}")
    return student


def measured(text: str, embedder: Embedder, tables: Tables) -> Measured:
    """Statistics and embedding of the part of a text that is judged."""
    parts = parts_of(shown(text))
    tokens, embedding = token_statistics(embedder, tables, parts.sentences)
    numbers = statistics(parts) | tokens
    return Measured(np.fromiter(numbers.values(), np.float32, len(numbers)), embedding)


def statistic_names(embedder: Embedder, tables: Tables) -> tuple[str, ...]:
    """Names of the statistics, in their order."""
    parts = parts_of("A text.")
    return (*statistics(parts), *token_statistics(embedder, tables, parts.sentences)[0])


@dataclass(frozen=True)
class Student:
    """A loaded student."""

    card: StudentCard
    heads: Heads
    tables: Tables
    embedder: Embedder

    @property
    def name(self) -> str:
        """As the card has it, such as `tamis-student-1`."""
        return self.card.name

    def rate(self, texts: Sequence[str]) -> Ratings:
        """Ratings of the texts; those that show nothing (`is_empty`) where they are judged are `empty`."""
        ratings = Ratings.none(len(texts), EMPTY)
        for row, text in enumerate(texts):
            if not is_empty(shown(text)):
                self._fill(ratings, row, self.heads.answer(*measured(text, self.embedder, self.tables)))
        return ratings

    def _fill(self, ratings: Ratings, row: int, answer: Answer) -> None:
        rated = [place for place, name in enumerate(CRITERIA) if self.card.criteria[name] == "trained"]
        chances = answer.ratings[rated]
        ratings.scores[row, rated] = chances.argmax(axis=1) + 1
        ratings.means[row, rated] = np.round(np.add.reduce(chances * np.arange(1, 6), axis=1), DIGITS)
        for name, of in self.card.proxies.items():
            mean = np.round(ratings.means[row, [CRITERIA.index(other) for other in of]].mean(dtype=np.float64), DIGITS)
            ratings.means[row, CRITERIA.index(name)] = mean
            ratings.scores[row, CRITERIA.index(name)] = int(np.floor(mean + 0.5))
        ratings.confidence[row] = round(float(chances.max(axis=1).mean()), DIGITS) if rated else np.nan
        ratings.status[row] = OK
        if self.card.domains:
            ratings.domains[row] = DOMAINS[int(answer.domains.argmax())]
            ratings.domain_confidence[row] = round(float(answer.domains.max()), DIGITS)
