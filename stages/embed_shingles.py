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
_POWERS = 256

Points = npt.NDArray[np.uint32]


def _kinds() -> npt.NDArray[np.int8]:
    """Of each code point of the basic plane, and of all others: no part of a word, a letter of one, or a whole word."""
    found = np.fromiter((chr(point).isalnum() for point in range(_BMP)), np.bool_, _BMP).astype(np.int8)
    for first, last in _UNSPACED:
        found[first : last + 1] *= _WORD
    return np.append(found, np.int8(_WORD))


class Sketcher:
    """Makes sketches; holds a table of the kinds of characters."""

    def __init__(self) -> None:
        self.kinds = _kinds()
        self.powers = np.cumprod(np.full(_POWERS, _MIXER, np.uint64), dtype=np.uint64)

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
        kinds = self.kinds[np.minimum(points, _BMP)]
        inside = kinds != _BLANK
        if not inside.any():
            return points[points > ord(" ")].astype(np.uint64)
        begins = inside & (kinds == _WORD)
        begins[0] |= inside[0]
        begins[1:] |= inside[1:] & (kinds[:-1] != _LETTER)
        letters, starts = points[inside].astype(np.uint64), np.flatnonzero(begins[inside])
        places = np.arange(len(letters)) - np.repeat(starts, np.diff(starts, append=len(letters)))
        mixed = (letters + np.uint64(1)) * _MIXER
        mixed ^= mixed >> np.uint64(29)
        return np.add.reduceat(mixed * self.powers[places % _POWERS], starts)
