"""The tables of counts that the student rater reads tokens with, made of clean, abusive, formal and informal text."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stages.rating_features import parts_of
from stages.rating_tokens import NEVER, STEP, VOCABULARY, Embedder, Tables

MOST_PAIRS = 150_000
"""Pairs of neighbours that are kept, the most frequent."""
_CHARACTERS = 20_000

Counts = npt.NDArray[np.int64]


def tables_of(
    embedder: Embedder, clean: Iterable[str], improper: Iterable[str], civil: Iterable[str], formal: Iterable[str],
    informal: Iterable[str],
) -> Tables:  # fmt: skip
    """Tables of these texts; the same texts in the same order give the same tables."""
    rows = [_ids(embedder, text) for text in clean]
    counts = np.bincount(np.concatenate(rows), minlength=VOCABULARY)
    pairs, strength = pair_table(rows, counts)
    return Tables(
        single=single_table(counts),
        pairs=pairs,
        strength=strength,
        improper=odds_table(_counts(embedder, improper), _counts(embedder, civil)),
        formal=odds_table(_counts(embedder, formal), _counts(embedder, informal)),
    )


def single_table(counts: Counts) -> npt.NDArray[np.int8]:
    """Log10 frequencies in steps of .05; tokens never seen get NEVER.

    >>> single_table(np.array([90, 10, 0])).tolist()
    [-1, -20, -128]
    """
    total = counts.sum()
    with np.errstate(divide="ignore"):
        steps = np.round(np.log10(counts / total) / 0.05)
    return np.where(counts > 0, np.clip(steps, NEVER + 1, 0), NEVER).astype(np.int8)


def pair_table(
    rows: Iterable[npt.NDArray[np.int32]], counts: Counts
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int8]]:
    """Keys of the pairs seen more than once, ascending, and log of observed to expected frequency in steps of STEP."""
    found = [row[:-1].astype(np.uint32) * np.uint32(VOCABULARY) + row[1:].astype(np.uint32) for row in rows]
    keys, seen = np.unique(np.concatenate(found), return_counts=True)
    order = np.lexsort((keys, -seen))[:MOST_PAIRS]
    chosen = np.sort(order[seen[order] > 1])
    keys, seen = keys[chosen], seen[chosen]
    total = float(counts.sum())
    expected = counts[keys // VOCABULARY] * (counts[keys % VOCABULARY] / total)
    strength = np.clip(np.round(np.log(seen / expected) / STEP), -127, 127)
    return keys, strength.astype(np.int8)


def odds_table(one: Counts, other: Counts) -> npt.NDArray[np.int8]:
    """Smoothed log odds of each token in the one text to the other, in steps of STEP, at most 4 either way."""
    smooth = 3.0
    share = (one + smooth) / (one.sum() + smooth * one.size), (other + smooth) / (other.sum() + smooth * other.size)
    rare = (one + other) < 4
    odds = np.where(rare, 0.0, np.log(share[0] / share[1]))
    return np.clip(np.round(odds / STEP), -40, 40).astype(np.int8)


def _ids(embedder: Embedder, text: str) -> npt.NDArray[np.int32]:
    return embedder.ids(parts_of(text[:_CHARACTERS]).sentences)[0]


def _counts(embedder: Embedder, texts: Iterable[str]) -> Counts:
    rows = [_ids(embedder, text) for text in texts]
    return np.bincount(np.concatenate(rows), minlength=VOCABULARY) if rows else np.zeros(VOCABULARY, np.int64)
