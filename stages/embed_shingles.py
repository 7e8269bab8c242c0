"""A narrow sketch of each text, by which near-duplicates are told from templates where the text itself does not go.

Bottom-k: of the hashes of all runs of five words the smallest ones, which are a random sample of the set, and the same
one for the same text. A text with fewer runs is held whole.
Source: "On the resemblance and containment of documents" (SEQUENCES 1997).
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.ordering_shingles import runs

SIZE = 64
"""Hashes of a sketch, at most."""
CHARACTERS = 2**18
"""Characters of a text that are looked at, from its start."""

_MIXER = np.uint64(0x9E3779B97F4A7C15)
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0xA4CF), (0xF900, 0xFAFF))
"""Scripts whose words are not set apart: Thai and Lao, Burmese, Khmer, Chinese and Japanese: each letter is a word."""
_BMP = 2**16
_BLANK, _LETTER, _WORD = 0, 1, 2
_BASE = 0xD6E8FEB86659FD93
"""Odd, so it has an inverse modulo 2**64."""

Points = npt.NDArray[np.uint32]


def _kinds() -> npt.NDArray[np.int8]:
    """Of each code point of the basic plane, and of all others: no part of a word, a letter of one, or a whole word."""
    found = np.fromiter((chr(point).isalnum() for point in range(_BMP)), np.bool_, _BMP).astype(np.int8)
    for first, last in _UNSPACED:
        found[first : last + 1] *= _WORD
    return np.append(found, np.int8(_WORD))


def _powers(base: int) -> npt.NDArray[np.uint64]:
    """1, base, base**2, ... modulo 2**64, one for each character and those that lower case may add."""
    found = np.full(2 * CHARACTERS, base, np.uint64)
    found[0] = 1
    return np.cumprod(found, dtype=np.uint64)


class Sketcher:
    """Makes sketches; holds tables. A word's hash is a polynomial in a base, wherever the word stands."""

    def __init__(self) -> None:
        self.kinds = _kinds()
        self.powers = _powers(_BASE)
        self.inverses = _powers(pow(_BASE, -1, 2**64))

    def column(self, texts: list[str]) -> pa.ListArray:
        """The sketches of texts, lists of int32."""
        found = [self.sketch(text) for text in texts]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in found])]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate([*found, np.empty(0, np.int32)])))

    def sketch(self, text: str) -> npt.NDArray[np.int32]:
        """The up to `SIZE` smallest hashes of runs of five words, sorted, from 0 to 2**31 - 1; case does not matter.

        >>> sketch = Sketcher().sketch
        >>> one, other = sketch("The ferry left its pier at nine."), sketch("the ferry left its PIER; at ten")
        >>> len(one), len(np.intersect1d(one, other)), len(sketch("a ferry")), len(sketch(" "))
        (3, 2, 1, 0)
        """
        hashes = (runs(self._words(text[:CHARACTERS].lower())) >> np.uint64(33)).astype(np.int32)
        hashes.sort()
        fresh = np.ones(len(hashes), np.bool_)
        np.not_equal(hashes[1:], hashes[:-1], out=fresh[1:])
        return hashes[fresh][:SIZE]

    def _words(self, text: str) -> npt.NDArray[np.uint64]:
        """A hash for each word; of a text without letters, for each character that is no blank."""
        points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
        kinds = self.kinds.take(points, mode="clip")
        inside = kinds != _BLANK
        if not inside.any():
            return points[points > ord(" ")].astype(np.uint64)
        begins = kinds == _WORD
        begins[0] |= inside[0]
        begins[1:] |= inside[1:] & (kinds[:-1] != _LETTER)
        starts = np.flatnonzero(begins)
        mixed = (points.astype(np.uint64) + np.uint64(1)) * _MIXER
        mixed ^= mixed >> np.uint64(29)
        mixed *= inside
        mixed *= self.powers[: len(mixed)]
        sums: npt.NDArray[np.uint64] = np.add.reduceat(mixed, starts) * self.inverses[starts]
        return sums
