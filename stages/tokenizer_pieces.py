"""Encoding by pieces: a text is cut at single places where no token can cross, and pieces seen before are remembered.

Byte-level BPE works within the words that a regular expression cuts out of a text. None of the well-known expressions
has a match that goes on from visible characters into a space: a space behind a visible character always opens a new
match. So a text may be cut there, and its ids are those of the parts, one after the other. Words repeat, so most of
them need no library: one look into a table. And a long text needs memory for its unknown pieces alone.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

PATTERNS = (
    r"'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]++|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]++[\r\n]*+|[^\S\r\n]*+[\r\n]++|\s+(?!\S)|\s++",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
"""Expressions known to be so: that of `default`, of Llama 3, of Qwen 2; that of GPT-2 is part of the library."""
PORTION = 1 << 20
"""Characters that are encoded at once: the library holds about 130 bytes for each until they are counted."""
REMEMBERED = 300_000
"""Pieces in the table; a full one is emptied."""
LONGEST = 48
"""Characters of a piece that is remembered."""

_INVISIBLE = r"\s\x00-\x20\x7f-\xa0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff"
_CUT = re.compile(rf" (?<=[^{_INVISIBLE}] )")
"""A space behind a visible character. What is white space differs by version of Unicode, so doubtful signs count."""

Ids = npt.NDArray[np.int32]


def encodings(library: Any, texts: Sequence[str]) -> Iterator[Any]:
    """What the library makes of each text, about PORTION characters at a time; all of its special tokens left out.

    Raises ValueError where the library panics: its own exception is none that a program would catch.
    """
    # The fast variant keeps no offsets of the tokens; older releases of the library lack it.
    encode = getattr(library, "encode_batch_fast", library.encode_batch)
    for few in _portions(texts):
        try:
            yield from encode(few, add_special_tokens=False)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise ValueError("the tokenizers library gave up on a text, such as one with millions of spaces") from None


class Whole:
    """Encodes every text at once."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text."""
        return [np.array(found.ids, np.int32) for found in encodings(self._library, texts)]

    def count(self, texts: Sequence[str]) -> Ids:
        """How many ids each text has."""
        return np.fromiter(map(len, encodings(self._library, texts)), np.int32, len(texts))

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        return str(self._library.decode(ids, skip_special_tokens=False))


class Pieces(Whole):
    """Encodes texts piece by piece, for a library tokenizer that `may_cut`; the ids are the same.

    >>> _CUT.split("The ferry, at nine:  a\\n list")
    ['The', 'ferry,', 'at', 'nine:', ' a\\n list']
    """

    def __init__(self, library: Any) -> None:
        super().__init__(library)
        self._known: dict[str, bytes] = {}

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text."""
        return [np.frombuffer(bytearray().join(parts), np.int32) for parts in self._parts(texts)]

    def count(self, texts: Sequence[str]) -> Ids:
        """How many ids each text has."""
        width = np.dtype(np.int32).itemsize
        return np.array([sum(map(len, parts)) // width for parts in self._parts(texts)], np.int32)

    def _parts(self, texts: Sequence[str]) -> Iterator[list[bytes]]:
        """The ids of the sections of each text, as bytes."""
        sections = [list(_sections(text)) for text in texts]
        portions = _portions(list(chain.from_iterable(sections)))
        found = chain.from_iterable(map(self._portion, portions))
        for parts in sections:
            yield list(islice(found, len(parts)))

    def _portion(self, sections: list[str]) -> list[bytes]:
        """The ids of a few sections, as bytes."""
        cut = [_CUT.split(section) for section in sections]
        firsts = self._encoded([pieces[0] for pieces in cut])
        unknown = {piece for pieces in cut for piece in pieces[1:] if piece not in self._known}
        self._learn(sorted(unknown))
        rows = (map(self._known.__getitem__, pieces[1:]) for pieces in cut)
        found = [first + b"".join(row) for first, row in zip(firsts, rows, strict=True)]
        self._forget(unknown)
        return found

    def _learn(self, pieces: list[str]) -> None:
        """Remember what stands behind a space."""
        self._known.update(zip(pieces, self._encoded([f" {piece}" for piece in pieces]), strict=True))

    def _forget(self, pieces: Collection[str]) -> None:
        if len(self._known) > REMEMBERED:
            self._known.clear()
        for piece in pieces:
            if len(piece) > LONGEST:
                self._known.pop(piece, None)

    def _encoded(self, pieces: list[str]) -> list[bytes]:
        return [np.array(found.ids, np.int32).tobytes() for found in encodings(self._library, pieces)]


def may_cut(library: Any) -> bool:
    """Whether no token of this tokenizer can reach from a visible character into a space behind it."""
    known = json.loads(library.to_str())
    plain = known["normalizer"] is None and known["model"]["type"] == "BPE"
    return plain and all(token["special"] for token in known["added_tokens"]) and _cuts(known["pre_tokenizer"])


def _cuts(steps: dict[str, Any] | None) -> bool:
    """Whether a pre-tokenizer is byte-level with an expression of PATTERNS or the library's own."""
    if not steps:
        return False
    *splits, last = steps["pretokenizers"] if steps["type"] == "Sequence" else [steps]
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return False
    own = bool(last.get("use_regex", True))
    return all(_known_split(split) for split in splits) and (own or any(split["type"] == "Split" for split in splits))


def _known_split(split: dict[str, Any]) -> bool:
    if split["type"] == "Digits":
        return True
    if split["type"] != "Split" or split["behavior"] != "Isolated" or split["invert"]:
        return False
    return split["pattern"].get("Regex") in PATTERNS


def _sections(text: str) -> Iterator[str]:
    """A text in parts of about PORTION characters, where it may be cut."""
    begin = 0
    while len(text) - begin > PORTION and (found := _CUT.search(text, begin + PORTION)):
        yield text[begin : found.start()]
        begin = found.start()
    yield text[begin:]


def _portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in lists of about PORTION characters."""
    few: list[str] = []
    held = 0
    for text in texts:
        few.append(text)
        held += len(text)
        if held >= PORTION:
            yield few
            few, held = [], 0
    if few:
        yield few
