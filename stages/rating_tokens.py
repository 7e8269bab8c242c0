"""What the student rater reads from a document's tokens: how usual they are, how sentences hang together, the meaning.

The tokens and their vectors are those of wordllama (256 numbers a token, MIT), read from the installed package without
importing it. The tables of counts are made by training, on clean text. All sums run over rows in their order, one
document at a time, so that a document's numbers do not depend on its neighbours, on threads, or on a BLAS library.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.embed_static import wordllama_files
from stages.errors import ModelError
from stages.rating_numbers import Floats, Numbers, lengths_of, share, spread

WIDTH = 256
"""Numbers in an embedding."""
VOCABULARY = 32_000
MOST_SENTENCES = 150
"""Sentences that are compared with each other."""
WINDOW = 24
"""Tokens of a window."""
STEP = 0.1
"""Natural logarithms of the tables are stored in steps of this."""
NEVER = -128
"""Value in the table of single tokens for one that training never saw."""
COUNTED = 1e-4
"""Tokens more frequent than this are common: two of them that were never seen side by side are a sign of a mistake."""
_LONGEST_PIECE = 40
_WORD_OPENS = "\u2581"
_APART = ("<s>", "</s>", "<unk>", _WORD_OPENS)
"""Pieces that hold one of these are encoded alone: beside others, the tokenizer would read them in another way."""
_REMEMBERED = 200_000

Floats32 = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Tables:
    """Counts of clean text, as whole steps of logarithms."""

    single: npt.NDArray[np.int8]
    """(VOCABULARY,): log10 frequency in steps of .05, 0 for 1, or NEVER."""
    pairs: npt.NDArray[np.uint32]
    """Ascending keys `first * VOCABULARY + second` of neighbours that were seen more than once."""
    strength: npt.NDArray[np.int8]
    """Of each pair: log of how much more often it was seen than chance, in steps of STEP."""
    improper: npt.NDArray[np.int8]
    """(VOCABULARY,): log odds of abusive to civil text, in steps of STEP."""
    formal: npt.NDArray[np.int8]
    """(VOCABULARY,): log odds of formal to informal text, in steps of STEP."""


class Embedder:
    """Tokenizer and token vectors; remembers the tokens of words it has seen."""

    def __init__(self, tokenizer: Any, vectors: Floats32) -> None:
        self._tokenizer = tokenizer
        self.vectors = vectors
        self._known: dict[str, list[int]] = {}
        self._opens = np.zeros(VOCABULARY, bool)
        self._opens[[number for token, number in tokenizer.get_vocab().items() if token.startswith(_WORD_OPENS)]] = True

    def ids(self, sentences: Sequence[str]) -> tuple[Ids, npt.NDArray[np.int64], int]:
        """Tokens of all sentences, where each that has any starts, and the number of pieces between white space."""
        cut = [_pieces(sentence) for sentence in sentences]
        self._learn(dict.fromkeys(chain.from_iterable(cut)))
        rows = [list(chain.from_iterable(map(self._known.__getitem__, pieces))) for pieces in cut]
        sizes = np.array([len(row) for row in rows if row], np.int64)
        ids = np.fromiter(chain.from_iterable(rows), np.int32, int(sizes.sum()))
        return np.minimum(ids, VOCABULARY - 1), np.cumsum(sizes) - sizes, sum(map(len, cut))

    def forget(self) -> None:
        """Forget the words seen so far."""
        self._known.clear()

    def _learn(self, pieces: Collection[str]) -> None:
        new = [piece for piece in pieces if piece not in self._known]
        if len(self._known) + len(new) > _REMEMBERED:
            self._known.clear()
            new = list(pieces)
        apart = {piece for piece in new if any(odd in piece for odd in _APART)}
        plain = [piece for piece in new if piece not in apart]
        self._known.update(zip(plain, self._encoded(plain), strict=True))
        self._known.update((piece, self._alone(piece)) for piece in new if piece in apart)

    def _encoded(self, pieces: list[str]) -> list[list[int]]:
        """Tokens of each plain piece: one call for all, cut where tokens open a word, is quicker than one for each."""
        row = self._alone(" ".join(pieces))
        starts = np.flatnonzero(self._opens[row])
        if len(starts) == len(pieces):
            return [row[begin:end] for begin, end in pairwise([*starts.tolist(), len(row)])]
        return [self._alone(piece) for piece in pieces]

    def _alone(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


@cache
def open_embedder() -> Embedder:
    """The embedding, loaded once per process. Raises ModelError if it is not installed."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    files = wordllama_files()
    tokenizer = Tokenizer.from_file(str(files["tokenizer"]))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    vectors = load_file(files["embedding"])["embedding.weight"].astype(np.float32)
    if vectors.shape != (VOCABULARY, WIDTH):
        raise ModelError(f"{files['embedding']}: found {vectors.shape}, expected {(VOCABULARY, WIDTH)}; "
                         "run: pip install 'wordllama>=0.4'")  # fmt: skip
    return Embedder(tokenizer, vectors)


def token_statistics(embedder: Embedder, tables: Tables, sentences: Sequence[str]) -> tuple[Numbers, Floats32]:
    """Statistics by name in a fixed order, and the document's embedding: unit length, or zeros without tokens."""
    ids, starts, pieces = embedder.ids(sentences)
    if not ids.size:
        ids, starts = np.zeros(1, np.int32), np.zeros(1, np.int64)
    rarity = tables.single[ids].astype(np.float64) * -0.05
    weights = (1e-3 / (1e-3 + 10.0**-rarity)).astype(np.float32)[:, None]
    sums = np.add.reduceat(embedder.vectors[ids] * weights, starts, axis=0)
    numbers = {
        "pieces_of_word": ids.size / max(1, pieces),
        "byte_tokens": share((ids >= 3) & (ids < 259)),
        **_rarity(rarity, tables.single[ids] == NEVER),
        **_pairs(ids, rarity, tables),
        **_tone(tables.improper[ids], starts, "improper"),
        **_tone(tables.formal[ids], starts, "formal"),
        **_coherence(_unit(sums[:MOST_SENTENCES])),
    }
    return numbers, _unit(np.add.reduce(sums, axis=0)[None])[0]


def _pieces(sentence: str) -> list[str]:
    pieces = sentence.split()
    if max(map(len, pieces), default=0) <= _LONGEST_PIECE:
        return pieces
    size = _LONGEST_PIECE
    return [piece[at : at + size] for piece in pieces for at in range(0, len(piece), size)]


def _unit(rows: Floats32) -> Floats32:
    norms = np.sqrt(np.add.reduce(rows * rows, axis=1, dtype=np.float64))
    return np.asarray(rows / np.maximum(norms, 1e-6)[:, None], np.float32)


def _windows(values: Floats) -> Floats:
    """Means of consecutive windows; a last one of less than half a window counts to the one before."""
    starts = np.arange(0, max(1, values.size - WINDOW // 2), WINDOW)
    return np.asarray(np.add.reduceat(values, starts) / lengths_of(starts, values.size))


def _rarity(rarity: Floats, never: npt.NDArray[np.bool_]) -> Numbers:
    windows = _windows(rarity)
    mean, deviation = spread(rarity)
    return {
        "rarity": mean,
        "rarity_deviation": deviation,
        "rare": share(rarity > 4.5),
        "very_rare": share(rarity > 5.5),
        "never": share(never),
        "rarity_highest": float(windows.max()),
        "rarity_windows": spread(windows)[1],
    }


def _pairs(ids: Ids, rarity: Floats, tables: Tables) -> Numbers:
    names = ("known_pairs", "strength", "clashes", "hard_clashes", "weak", "lowest_window", "window_deviation")
    if ids.size < 2:
        return dict.fromkeys(names, 0.0)
    keys = ids[:-1].astype(np.uint32) * np.uint32(VOCABULARY) + ids[1:].astype(np.uint32)
    places = np.minimum(np.searchsorted(tables.pairs, keys), tables.pairs.size - 1)
    known = tables.pairs[places] == keys
    expected = 10.0 ** (6.5 - rarity[:-1] - rarity[1:])
    strength = np.where(known, tables.strength[places] * STEP, -np.log1p(expected))
    common = np.maximum(rarity[:-1], rarity[1:])
    windows = _windows(strength)
    clashes = ~known
    values = (share(known), spread(strength)[0], share(clashes & (common < 4)), share(clashes & (common < 3)),
              share(strength < -1), float(windows.min()), spread(windows)[1])  # fmt: skip
    return dict(zip(names, values, strict=True))


def _tone(odds: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], name: str) -> Numbers:
    by_sentence = np.add.reduceat(odds * STEP, starts)
    ranked = np.sort(by_sentence)
    rate = by_sentence / (lengths_of(starts, odds.size) + 3)
    return {
        name: float(np.add.reduce(by_sentence) / (odds.size + 10)),
        f"{name}_deviation": spread(rate)[1],
        f"{name}_highest": float(ranked[-1]),
        f"{name}_high": float(np.add.reduce(ranked[-3:])),
        f"{name}_lowest": float(rate.min()),
        f"{name}_sentences": share(rate > 0.3),
        f"{name}_change": spread(np.abs(rate[1:] - rate[:-1]))[0],
    }


def _coherence(units: Floats32) -> Numbers:
    """Cosines between sentences (unit rows): neighbours, all pairs, quarters, and the nearest other sentence."""
    count = len(units)
    names = ("neighbours", "neighbour_lowest", "neighbour_deviation", "next_but_one", "all_pairs", "order",
             "to_centre", "to_centre_lowest", "to_centre_deviation", "halves", "quarters_lowest", "likest")  # fmt: skip
    if count < 3:
        return dict.fromkeys(names, 0.0)
    table = np.einsum("ik,jk->ij", units, units, optimize=False).astype(np.float64)
    near, second = np.diagonal(table, 1), np.diagonal(table, 2)
    everything = (table.sum() - count) / (count * (count - 1))
    centre = _unit(np.add.reduce(units, axis=0)[None])[0]
    to_centre = np.add.reduce(units * centre, axis=1, dtype=np.float64)
    edges = np.arange(4) * count // 4
    quarters = _unit(np.add.reduceat(units, np.unique(edges), axis=0))
    between = np.einsum("ik,jk->ij", quarters, quarters, optimize=False)
    np.fill_diagonal(table, 0.0)
    halves = _unit(np.add.reduceat(units, [0, count // 2], axis=0))
    near_mean, near_deviation = spread(near)
    centre_mean, centre_deviation = spread(to_centre)
    values = (near_mean, near.min(), near_deviation, spread(second)[0], everything, near_mean - everything,
              centre_mean, to_centre.min(), centre_deviation, (halves[0] * halves[1]).sum(), between.min(),
              spread(table.max(axis=1))[0])  # fmt: skip
    return {name: float(value) for name, value in zip(names, values, strict=True)}
