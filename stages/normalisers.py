"""Normalisers: from text to the lines of tokens that an n-gram model is trained on and scores.

Each is a pure function with a name and a version. Training and scoring take it from here by its name, and the model's
card records both, so the two cannot drift apart. A line is a string of tokens with one blank between them; KenLM puts
begin and end of sentence around it. Lines without a token are left out. Whatever the text holds, no token is empty,
holds white space, a control character or half a surrogate pair, or is one of KenLM's special symbols.

A line ends where Unicode says so, and after `MAX_WORDS` words or `MAX_CHARACTERS` characters: KenLM adds up a line's
log probabilities in 32 bits, and one line of 50 MB would lose them.

This module does not split text into sentences, stem, or segment Chinese or Thai into words.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from stages.errors import ConfigError
from stages.ngram_pieces import Pieces, pieces

SPACE = "\u2581"
"""Stands for white space in the character normalisers (as in SentencePiece)."""
MAX_WORDS = 128
"""Words in a line of a word normaliser, at most."""
MAX_CHARACTERS = 512
"""Characters in a line of a character normaliser, at most."""

_LINE_ENDS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_SPECIAL = {name: f"\u2039{name[1:-1]}\u203a" for name in ("<s>", "</s>", "<unk>", "<UNK>")}
_SPECIAL_WORD = re.compile(r"(?<![^ \n])<(?:/?s|unk|UNK)>(?![^ \n])")
_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u102a\u103f\u1780-\u17b3"  # Myanmar, Khmer
    "\u3005-\u3007\u3031-\u3035\u3041-\u3096\u309d-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_MARKS = (
    "\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    "\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
)
_TOKENS_AND_LINE_ENDS = re.compile(f"[{_UNSPACED}][{_MARKS}]*|[^{_UNSPACED}\n ]+|\n")
_HAS_UNSPACED = re.compile("[\u0e01-\u17d3\u3005-\U0003ffff]")


@dataclass(frozen=True)
class Normaliser:
    """A named function from text to lines of tokens; the version changes whenever its answers would."""

    name: str
    version: str
    spelled: Callable[[str], str]
    """From text to its tokens with blanks between them, and line ends."""
    limit: int
    """Tokens in a line, at most."""

    def __call__(self, text: str) -> list[str]:
        """The lines of a text."""
        return list(_lines(self.spelled(text), self.limit))

    def pieces(self, text: str, size: int | None = None) -> Pieces:
        """The lines of a text, cut after every `size` tokens, as they are scored."""
        return pieces(self.spelled(text), self.limit, size or self.limit)


class _Translation(dict[int, str]):
    """Character by character, like `str.translate`, but fast where most characters are ASCII or need no change.

    ASCII is mapped in one pass over bytes; of the rest only what matches `changing` goes through `rule`, which is asked
    about each character once. `rule` gives one ASCII character for each ASCII character.
    """

    def __init__(self, rule: Callable[[str], str], changing: str) -> None:
        super().__init__()
        self._rule = rule
        self._ascii = bytes(ord(rule(chr(code))) for code in range(128)) + bytes(range(128, 256))
        self._changing = re.compile(changing)

    def __missing__(self, code: int) -> str:
        value = self[code] = self._rule(chr(code))
        return value

    def __call__(self, text: str) -> str:
        """The text with every character replaced by what the rule says."""
        mapped = text.encode("utf-8", "surrogatepass").translate(self._ascii).decode("utf-8", "surrogatepass")
        return mapped if mapped.isascii() else self._changing.sub(self._replace, mapped)

    def _replace(self, match: re.Match[str]) -> str:
        return match[0].translate(self)


def as_is(text: str) -> list[str]:
    """Words as they come, separated by any Unicode white space.

    >>> as_is("An  <s> is\\u00a0here.\\n\\nYes")
    ['An ‹s› is here.', 'Yes']
    """
    return NORMALISERS["as_is"](text)


def alphabetic(text: str) -> list[str]:
    """Words of letters only, lower-cased, compatible forms unified; Han, Kana, Thai and kin character by character.

    >>> alphabetic("It’s 5 o'clock in ＢＥＲＬＩＮ,\\n東京 (Tōkyō)")
    ['it s o clock in berlin', '東 京 tōkyō']
    """
    return NORMALISERS["alphabetic"](text)


def characters(text: str) -> list[str]:
    """Characters, lower-cased, compatible forms unified; a run of white space is one `SPACE`.

    >>> characters("A 1!")
    ['a ▁ 1 !']
    """
    return NORMALISERS["characters"](text)


def letters(text: str) -> list[str]:
    """The words of `alphabetic`, as characters: whatever is no letter is a `SPACE`.

    >>> letters("A 1! b")
    ['a ▁ b']
    """
    return NORMALISERS["letters"](text)


def normaliser(name: str) -> Normaliser:
    """The normaliser of a name. Raises ConfigError, with the nearest name, if there is none."""
    if name not in NORMALISERS:
        near = difflib.get_close_matches(name, NORMALISERS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise ConfigError(f"there is no normaliser '{name}'{hint} The normalisers are: {', '.join(NORMALISERS)}")
    return NORMALISERS[name]


def _letters(text: str) -> str:
    """Lower-cased letters with their marks, blanks for the rest, line ends kept."""
    found = _LETTERS(text)
    if found.isascii():
        return found
    found = unicodedata.normalize("NFC", found)
    return " ".join(_TOKENS_AND_LINE_ENDS.findall(found)) if _HAS_UNSPACED.search(found) else found


def _words(text: str) -> str:
    """Words as they come, but KenLM's special symbols."""
    return _SPECIAL_WORD.sub(lambda match: _SPECIAL[match[0]], _VISIBLE(text))


def _characters(text: str) -> str:
    """The characters of a text without those that cannot be seen, blanks between them."""
    return _apart(unicodedata.normalize("NFC", _FOLDED(text)))


def _spelled(text: str) -> str:
    """The characters of `_letters`, blanks between them."""
    return _apart(_letters(text))


def _apart(text: str) -> str:
    return " ".join("\n".join(SPACE.join(line.split()) for line in text.split("\n")))


def _lines(spelled: str, limit: int) -> Iterator[str]:
    """Tokens with one blank between them, at most `limit`."""
    for line in spelled.split("\n"):
        words = line.split()
        if len(words) > limit:
            yield from (" ".join(words[i : i + limit]) for i in range(0, len(words), limit))
        elif words:
            yield " ".join(words)


def _visible(char: str, *, kept: Callable[[str], str]) -> str:
    """A character as it enters a token (`kept`), a blank, or a line end."""
    if char in _LINE_ENDS:
        return "\n"
    if char.isspace() or unicodedata.category(char) == "Cc":
        return " "
    return kept(char)


def _same(char: str) -> str:
    return "\ufffd" if unicodedata.category(char) == "Cs" else char


def _folded(char: str) -> str:
    """Lower case in the compatible form; nothing for what cannot be seen (soft hyphens, joiners, variants)."""
    if char == SPACE:
        return "_"
    if unicodedata.category(char) == "Cs" or _is_hidden(char):
        return ""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char.lower()).lower())
    return char if folded.startswith(" ") else folded  # a spacing accent is no accent of the letter before it


def _letter(char: str) -> str:
    """The letters and marks of `_folded`, a blank if there is none."""
    folded = _folded(char)
    kept = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in folded)
    return kept or ("" if _is_hidden(char) else " ")


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


_CASED = "[^\x00-\x7f\xdf-\xf6\xf8-\xff\u0430-\u045f\u0621-\u064a\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3]+"
"""Matches all but letters in which most text that is not ASCII is written, and which `_folded` leaves alone."""
_VISIBLE = _Translation(
    partial(_visible, kept=_same), "[\x80-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]+"
)
_FOLDED = _Translation(partial(_visible, kept=_folded), _CASED)
_LETTERS = _Translation(partial(_visible, kept=_letter), _CASED)

NORMALISERS: Mapping[str, Normaliser] = MappingProxyType(
    {
        found.name: found
        for found in (
            Normaliser("as_is", "1", _words, MAX_WORDS),
            Normaliser("alphabetic", "1", _letters, MAX_WORDS),
            Normaliser("characters", "1", _characters, MAX_CHARACTERS),
            Normaliser("letters", "1", _spelled, MAX_CHARACTERS),
        )
    }
)
"""All normalisers by name."""
