"""What happens to a text before a language model is asked: one clean, lower-case line, and a count of its letters."""

import re

HEAD = 128
"""Letters are counted in this many characters; the rest of the text is looked at only where these hold few."""

_FEW = 32
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_ASCII_NOT_LETTERS = bytes(c for c in range(128) if not chr(c).isalpha())


def prepare(text: str, prefix: int = 0) -> str:
    r"""The first `prefix` characters (0: all) as one lower-case line without control characters or double spaces.

    >>> prepare(" Two\x00 LINES,\r\n\tone text. ")
    'two lines, one text.'

    fastText raises at a newline and knows few words in capitals; CLD2 refuses control characters. The cut comes
    first, so that the cost is bounded.
    """
    if prefix:
        text = text.lstrip()[: 2 * prefix]
    text = text.replace("\n\n", " ").replace("\n", " ")
    if not text.isprintable() or "  " in text:
        text = _one_line(text)
    text = text.lower()
    return text[:prefix] if prefix else text


def without_control(text: str) -> str:
    """The text with each run of control characters (and of lone surrogates) replaced by a space."""
    return text if text.isprintable() else _CONTROL.sub(" ", text)


def count_letters(text: str) -> int:
    """Letters among the first 128 characters, or among all where these hold fewer than 32.

    >>> count_letters("It is 5 o'clock.")
    10
    """
    found = _letters(text[:HEAD])
    return found if found >= _FEW or len(text) <= HEAD else _letters(text)


def has_language(text: str, letters: int) -> bool:
    """Whether there is enough to ask about: a letter, and one letter in eight among the characters counted.

    Empty text, numbers and emoji come back from fastText as English, so it is not asked.
    """
    counted = min(len(text), HEAD) if letters >= _FEW else len(text)
    return letters > 0 and letters * 8 >= counted


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join(_CONTROL.sub(" ", line).split())


def _letters(text: str) -> int:
    if text.isascii():
        return len(text.encode().translate(None, _ASCII_NOT_LETTERS))
    return sum(map(str.isalpha, text))
