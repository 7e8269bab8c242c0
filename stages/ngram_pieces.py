"""Text as an n-gram model scores it: pieces of lines as bytes, with the number of tokens in each.

KenLM takes a run of blanks for one, so a piece is a slice of the text; no token becomes a Python object.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Pieces(NamedTuple):
    """What a document is scored by."""

    lines: list[bytes]
    """UTF-8, tokens with one or more blanks between them."""
    tokens: Ints
    """Tokens of each line, the end of sentence counted."""


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
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    first = np.searchsorted(starts, np.flatnonzero(codes == ord("\n")))  # the token that each line begins with
    place = np.arange(len(starts)) - np.repeat(first[:-1], np.diff(first))
    if limit % size:
        place %= limit
    begin = np.flatnonzero(place % size == 0)
    end = np.append(begin[1:], len(starts))
    places = zip(starts[begin].tolist(), ends[end - 1].tolist(), strict=True) if len(begin) else ()
    return Pieces([data[one:two] for one, two in places], end[: len(begin)] - begin + 1)
