"""Text as an n-gram model scores it: pieces of lines as bytes, with the number of tokens in each.

KenLM takes a run of blanks for one, so a piece is a slice of the text; no token becomes a Python object.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
GROUP_CHARACTERS = 8_000_000
"""Texts that are held in pieces at once."""


class Pieces(NamedTuple):
    """What a document is scored by."""

    lines: list[bytes]
    """UTF-8, tokens with one or more blanks between them."""
    tokens: Ints
    """Tokens of each line, the end of sentence counted."""


def together(texts: Iterable[str], most: int = GROUP_CHARACTERS) -> Iterator[list[str]]:
    """Consecutive texts in groups of at most `most` characters; a longer text is a group of its own.

    >>> list(together(["ab", "c", "defg", "h"], 3))
    [['ab', 'c'], ['defg'], ['h']]
    """
    group: list[str] = []
    held = 0
    for text in texts:
        if group and held + len(text) > most:
            yield group
            group, held = [], 0
        group.append(text)
        held += len(text)
    if group:
        yield group


def pieces(text: str, limit: int, size: int) -> Pieces:
    r"""Lines of tokens, cut after every `limit` tokens, and within that after every `size`.

    `text` has no character up to the blank in it but blanks between tokens and `\n` at the ends of lines.

    >>> found = pieces("a  b c\n\n d", limit=128, size=2)
    >>> found.lines, found.tokens.tolist()
    ([b'a  b', b'c', b'd'], [3, 2, 2])
    """
    data = f"\n{text}\n".encode()
    codes = np.frombuffer(data, np.uint8)
    inside = codes > ord(" ")
    edges = (inside[1:] != inside[:-1]).nonzero()[0] + 1
    starts, ends = edges[::2], edges[1::2]
    line = starts.searchsorted((codes == ord("\n")).nonzero()[0])  # the token that each line begins with
    filled = line[:-1] < line[1:]
    begin, end = line[:-1][filled], line[1:][filled]
    if limit % size:
        begin, end = _cut(begin, end, limit)
    begin, end = _cut(begin, end, size)
    places = zip(starts[begin].tolist(), ends[end - 1].tolist(), strict=True)
    return Pieces([data[one:two] for one, two in places], end - begin + 1)


def _cut(begin: Ints, end: Ints, size: int) -> tuple[Ints, Ints]:
    """Each range in ranges of `size`, the last of them with what is left.

    >>> _cut(np.array([0, 5]), np.array([5, 6]), 3)
    (array([0, 3, 5]), array([3, 5, 6]))
    """
    parts = -((begin - end) // size)
    place = np.arange(parts.sum()) - (parts.cumsum() - parts).repeat(parts)
    one = begin.repeat(parts) + size * place
    return one, np.minimum(one + size, end.repeat(parts))
