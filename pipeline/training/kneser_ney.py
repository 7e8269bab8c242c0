"""Modified Kneser-Ney smoothing in NumPy: the estimator for small corpora where `lmplz` is not built, and its oracle.

"An Empirical Study of Smoothing Techniques for Language Modeling" (1998), section 3, interpolated,
with the conventions of KenLM. For an n-gram g = h w with context h:

    a(g)     its count, if n is the model's order or g begins with <s>; else the number of different words before it
    n_j      the number of n-grams with a(g) = j; Y = n_1 / (n_1 + 2 n_2)
    D_j      j - (j + 1) Y n_{j+1} / n_j for j = 1, 2 and 3 (which stands for more); 0.5, 1, 1.5 for the whole order if
             some n_1..n_3 is 0 or some D_j is not within 0..j
    gamma(h) sum over w of D_{a(h w)} / sum over w of a(h w)
    p(w | h) (a(h w) - D_{a(h w)}) / sum over w' of a(h w') + gamma(h) p(w | h without its first word)

Below the unigrams stands the uniform distribution over all words, </s> and <unk>. All counts are held in memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from stages.errors import NothingRead

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

UNK, BOS, EOS = 0, 1, 2
_SPECIAL = ("<unk>", "<s>", "</s>")
_FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])
_LEAST = -99.0


@dataclass(frozen=True)
class Grams:
    """All n-grams of one order, sorted by context; row i of each array is n-gram i."""

    words: Integers
    """Word numbers, one column for each position."""
    probability: Floats
    """Log10."""
    backoff: Floats
    """Log10 of gamma, 0 for what is no context."""


@dataclass(frozen=True)
class _Counted:
    words: Integers
    context: Integers
    """Row of the n-gram without its last word, one order below."""
    suffix: Integers
    """Row of the n-gram without its first word, one order below."""
    count: Integers


def estimate(lines: Iterable[str], order: int) -> tuple[list[str], list[Grams]]:
    """The vocabulary and the n-grams of orders 1 to `order` (2 at least) of lines of tokens.

    >>> vocabulary, grams = estimate(["a b", "a"], 2)
    >>> vocabulary, grams[1].words.tolist()
    (['<unk>', '<s>', '</s>', 'a', 'b'], [[1, 3], [3, 2], [3, 4], [4, 2]])
    >>> round(float(10 ** grams[1].probability[0]), 4)  # a after <s>: (2 - 1) / 2 + 1 / 2 * .25
    0.625

    Raises NothingRead if there is no token.
    """
    vocabulary, stream = _numbered(lines)
    counted = _count(stream, order, len(vocabulary))
    adjusted = [_adjusted(counted, n) for n in range(order)]
    gammas, probabilities = [], [_uniform(len(vocabulary))]
    for grams, counts in zip(counted, adjusted, strict=True):
        gamma, probability = _smooth(grams, counts, probabilities[-1])
        gammas.append(gamma)
        probabilities.append(probability)
    return vocabulary, [_logs(grams, probabilities[n + 1], gammas[n + 1 :]) for n, grams in enumerate(counted)]


def write_arpa(file: IO[bytes], vocabulary: Sequence[str], orders: Sequence[Grams]) -> None:
    """Write a model as the ARPA text that KenLM's `build_binary` and `kenlm.Model` read."""
    head = [f"ngram {n}={len(grams.words)}" for n, grams in enumerate(orders, 1)]
    file.write(("\\data\\\n" + "\n".join(head) + "\n").encode())
    for n, grams in enumerate(orders, 1):
        file.write(f"\n\\{n}-grams:\n".encode())
        rows = zip(grams.words.tolist(), grams.probability.tolist(), grams.backoff.tolist(), strict=True)
        for words, probability, backoff in rows:
            text = " ".join(vocabulary[word] for word in words)
            end = f"\t{backoff:.7g}" if n < len(orders) else ""
            file.write(f"{probability:.7g}\t{text}{end}\n".encode())
    file.write(b"\n\\end\\\n")


def _numbered(lines: Iterable[str]) -> tuple[list[str], Integers]:
    """Words by number, and all lines as numbers, each between <s> and </s>."""
    numbers: dict[str, int] = {word: number for number, word in enumerate(_SPECIAL)}
    stream: list[int] = []
    for line in lines:
        stream.append(BOS)
        stream.extend(numbers.setdefault(word, len(numbers)) for word in line.split())
        stream.append(EOS)
    if len(numbers) == len(_SPECIAL):
        raise NothingRead("found no token to train on")
    return list(numbers), np.array(stream, dtype=np.int64)


def _count(stream: Integers, order: int, words: int) -> list[_Counted]:
    """N-grams of every order; an n-gram is named by the pair of its context's row and its last word."""
    rows = stream
    positions = np.arange(len(stream))
    everyone = np.arange(words)
    nowhere = np.zeros(words, dtype=np.int64)
    counted = [_Counted(everyone[:, None], nowhere, everyone, np.bincount(stream, minlength=words))]
    for n in range(2, order + 1):
        positions = positions[stream[positions + n - 2] != EOS]
        context, after = rows[positions], rows[positions + 1]
        keys, first, inverse, count = np.unique(
            context * words + stream[positions + n - 1], return_index=True, return_inverse=True, return_counts=True
        )
        own = np.column_stack([counted[-1].words[keys // words], keys % words])
        counted.append(_Counted(own, keys // words, after[first], count))
        rows = np.full(len(stream), -1, dtype=np.int64)
        rows[positions] = inverse
    return counted


def _adjusted(counted: list[_Counted], n: int) -> Integers:
    """a(g) for all n-grams of one order; 0 for <s> and <unk>."""
    grams = counted[n]
    if n == len(counted) - 1:
        return grams.count
    before = np.bincount(counted[n + 1].suffix, minlength=len(grams.count))
    if n == 0:
        before[[UNK, BOS]] = 0
        return before
    return np.where(grams.words[:, 0] == BOS, grams.count, before)


def _discounts(adjusted: Integers) -> Floats:
    """D_0 (always 0) to D_3."""
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).astype(np.float64)
    if not n[1:4].all():
        return _FALLBACK
    steps = np.arange(4.0)
    found = steps.copy()
    found[1:] -= (steps[1:] + 1) * (n[1] / (n[1] + 2 * n[2])) * n[2:5] / n[1:4]
    return found if ((found >= 0) & (found <= steps)).all() else _FALLBACK


def _smooth(grams: _Counted, adjusted: Integers, lower: Floats) -> tuple[Floats, Floats]:
    """gamma of each context, and the probability of each n-gram, from the probabilities one order below."""
    discount = _discounts(adjusted)[np.minimum(adjusted, 3)]
    total = np.bincount(grams.context, weights=adjusted, minlength=len(lower))
    with np.errstate(invalid="ignore"):
        gamma = np.bincount(grams.context, weights=discount, minlength=len(lower)) / total
    probability = (adjusted - discount) / total[grams.context] + gamma[grams.context] * lower[grams.suffix]
    if grams.words.shape[1] == 1:
        probability[BOS] = 1.0
    return gamma, probability


def _uniform(words: int) -> Floats:
    """<s> is never predicted, so it has no share."""
    return np.full(words, 1.0 / (words - 1))


def _logs(grams: _Counted, probability: Floats, gammas: list[Floats]) -> Grams:
    """Logarithms; `gammas` begins with the gamma of these n-grams as contexts, if there is an order above."""
    with np.errstate(divide="ignore"):
        gamma = np.log10(np.nan_to_num(gammas[0], nan=1.0)) if gammas else np.zeros(len(probability))
    return Grams(grams.words, np.log10(probability), np.maximum(gamma, _LEAST))
