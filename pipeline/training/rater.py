"""Training of a student rater: examples are measured once, the heads are fitted, weights and card are written."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.training.rater_examples import Example
from pipeline.training.rater_fit import Fitting, Inputs, fit
from stages.embed_static import wordllama_files
from stages.model_files import sha256_of
from stages.rating_card import CARD, WEIGHTS, Kind, StudentCard, card_json, student_bytes
from stages.rating_features import VERSION
from stages.rating_heads import Heads
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.rating_student import measured, statistic_names
from stages.rating_tokens import Embedder, Tables

PROXIES = {
    "knowledge_novelty": ("semantic_density", "professionalism", "overall_score"),
    "creativity": ("grammatical_diversity", "originality", "overall_score"),
}
"""Criteria that no damage reaches are answered by the mean of these: a guess that follows what is known of a text."""


def measure(examples: Sequence[Example], embedder: Embedder, tables: Tables) -> Inputs:
    """What the heads are fitted on, a row for each example."""
    rows = [measured(example.text, embedder, tables) for example in examples]
    return Inputs(
        statistics=np.stack([row.statistics for row in rows]),
        embeddings=np.stack([row.embedding for row in rows]),
        labels=np.stack([example.labels for example in examples]),
        weights=np.stack([example.weights for example in examples]),
        domains=np.array([example.domain for example in examples], np.int64),
    )


def rows_of(data: Inputs, chosen: np.ndarray | slice) -> Inputs:
    """Some rows; `chosen` is a mask, places, or a part."""
    return Inputs(
        data.statistics[chosen],
        data.embeddings[chosen],
        data.labels[chosen],
        data.weights[chosen],
        data.domains[chosen],
    )


def expected_scores(heads: Heads, data: Inputs) -> np.ndarray:
    """Expected scores (n, criteria)."""
    answers = (heads.answer(*row) for row in zip(data.statistics, data.embeddings, strict=True))
    return np.stack([answer.ratings @ np.arange(1.0, 6.0) for answer in answers])


def criteria_of(data: Inputs) -> tuple[dict[str, Kind], dict[str, tuple[str, ...]]]:
    """Which criteria these labels train, which are proxies, which are left unrated."""
    trained = {name for name, labels in zip(CRITERIA, data.labels.T, strict=True) if not np.isnan(labels).all()}
    proxies: dict[str, tuple[str, ...]] = {
        name: of for name, of in PROXIES.items() if name not in trained and set(of) <= trained
    }
    kinds: dict[str, Kind] = {}
    for name in CRITERIA:
        kinds[name] = "trained" if name in trained else ("proxy" if name in proxies else "null")
    return kinds, proxies


def train_heads(data: Inputs, how: Fitting) -> Heads:
    """Fit, then store and read back as 16 bits, so that what is measured is what is shipped."""
    return fit(data, how).halved()


def write_student(  # noqa: PLR0913 - what a card needs
    directory: Path,
    heads: Heads,
    tables: Tables,
    embedder: Embedder,
    *,
    data: Inputs,
    name: str,
    sources: Iterable[str],
    licence: str,
    command: str,
    teacher: str,
    languages: tuple[str, ...],
    figures: dict[str, Any],
) -> StudentCard:
    """Write weights and card; each appears whole or not at all."""
    kinds, proxies = criteria_of(data)
    found = student_bytes(heads, tables)
    counts: dict[str, int] = {}
    for source in sources:
        counts[source] = counts.get(source, 0) + 1
    known = sorted(set(data.domains.tolist()) - {-1})
    card = StudentCard(
        name=name,
        features=VERSION,
        statistics=statistic_names(embedder, tables),
        criteria=kinds,
        proxies=proxies,
        domains=tuple(DOMAINS[place] for place in known),
        languages=languages,
        documents=dict(sorted(counts.items())),
        sha256=hashlib.sha256(found).hexdigest(),
        bytes=len(found),
        embedding_sha256=sha256_of(wordllama_files()["embedding"]),
        licence=licence,
        command=command,
        teacher=teacher,
        figures=figures,
    )
    directory.mkdir(parents=True, exist_ok=True)
    for file, content in ((WEIGHTS, found), (CARD, card_json(card))):
        temporary = directory / f".{file}.tmp"
        temporary.write_bytes(content)
        temporary.replace(directory / file)
    return card
