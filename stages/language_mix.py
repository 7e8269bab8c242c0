"""The share of each language in a document of several lines, from a bounded number of places spread over it.

Every place stands for the same number of characters. Around each, a piece of a line is taken, short lines pooled with
those that follow, and an identifier votes on it. So the cost does not grow with the document, and documents of few and
of many lines are treated alike. Places are spread by the golden ratio within their stretch of the document (a
low-discrepancy sequence): at equal distances, they would meet every second line of a text that alternates between two
languages.
"""

from collections.abc import Callable, Iterable, Iterator

PLACES = 24
WIDTH = 128
"""Characters of a piece, at most; a shorter document has one place for each such stretch."""
SHORTEST = 50
"""Characters below which a line is pooled with the next."""

_GOLDEN = (5**0.5 - 1) / 2

Voter = Callable[[str], list[tuple[str, float]]]
"""One piece of text -> codes with their shares of it; nothing where the identifier is not sure."""


def has_lines(text: str) -> bool:
    """Whether the text has at least two lines that are not blank."""
    return "\n" in text and "\n" in text.strip()


def pieces(text: str) -> Iterator[str]:
    r"""One piece from each of up to 24 stretches of the text, each within one line or several short ones.

    >>> list(pieces("Short.\nLines.\n"))
    ['Short.\nLines.\n']
    """
    size = len(text)
    count = max(1, min(PLACES, size // WIDTH))
    for i in range(count):
        yield _piece(text, int((i + (i + 0.5) * _GOLDEN % 1) * size / count))


def shares(text: str, voter: Voter) -> dict[str, float]:
    """The share of bytes of each code, of those pieces that the identifier was sure of; empty if there were none."""
    sums: dict[str, float] = {}
    for piece in pieces(text):
        bytes_per_character = 1.0 if piece.isascii() else len(piece.encode("utf-8", "replace")) / len(piece)
        for code, share in voter(piece):
            sums[code] = sums.get(code, 0.0) + share * bytes_per_character
    return normalised(sums.items())


def normalised(parts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Shares that sum to 1, the largest first, equal ones by code: [('a', 1), ('b', 3)] -> {'b': .75, 'a': .25}."""
    sums: dict[str, float] = {}
    for code, part in parts:
        sums[code] = sums.get(code, 0.0) + part
    total = sum(sums.values())
    return {code: sums[code] / total for code in sorted(sums, key=lambda c: (-sums[c], c)) if total}


def _piece(text: str, place: int) -> str:
    start = max(text.rfind("\n", 0, place) + 1, place - WIDTH // 2)
    limit = start + WIDTH
    end = text.find("\n", start + SHORTEST, limit)
    return text[start : limit if end < 0 else end]
