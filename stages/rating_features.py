"""Statistics of a document's characters, words, sentences, lines and repetitions: pure functions, plain numbers.

They say how a text is made, not what it means; the heads of the student rater read them beside an embedding. Much of
the list is that of "Scaling Language Models: Methods, Analysis & Insights from Training Gopher" (2021) and of "The
RefinedWeb Dataset for Falcon LLM" (2023); shares are of 1 unless said otherwise, and nothing is ever NaN.
"""

import re
import zlib
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.rating_lists import LANGUAGES, LISTS, character_classes, lists_by_word
from stages.rating_numbers import Numbers, lengths_of, spread

MOST_CHARACTERS = 8_000
"""A longer document is judged by its first and its last half of this, a newline between."""
VERSION = "1"
"""Changed whenever the same text would give other statistics."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE = re.compile(r"(?<=[.!?。！？…])[\"')\]”’]*\s+|\n\s*\n|\n\s*(?=[\W\d_A-ZÀ-Þ])")
_TERMINAL = tuple('.!?。！？…"”)')
_BULLET = re.compile(r"\s*(?:[-*•·–>|]|\d{1,3}[.)])\s")
_MARKUP = {
    "tags": re.compile(r"</?[a-zA-Z][^<>\n]{0,80}>"),
    "links": re.compile(r"https?:|www\.|\b[\w.]{1,64}@\.*\w[\w.]*\b"),
    "commands": re.compile(r"\\[a-zA-Z]+|\w\(\w*\)|[=!<>+]=|[;{]\s*$", re.MULTILINE),
    "headings": re.compile(r"^(?:#{1,6} |[A-Z][^.!?\n]{2,60}:?$)", re.MULTILINE),
}
_CLASSES = ("upper", "lower", "letter", "mark", "digit", "space", "punctuation", "symbol", "control", "other")
_ASCII = {"comma": ",", "stop": ".", "colon": ":;", "excited": "!", "asking": "?", "quote": "\"'", "round": "()",
          "code": "{}[]<>=\\_#$^", "dash": "-", "bar": "|/*~+%"}  # fmt: skip


class Parts(NamedTuple):
    """A text, cut up once."""

    text: str
    words: list[str]
    lowered: list[str]
    sentences: list[str]
    lines: list[str]
    """Lines that hold more than white space, stripped."""


def shown(text: str) -> str:
    """The part of a document that is judged, with lone surrogates as question marks.

    >>> len(shown("a" * 50_000))
    8001
    """
    half = MOST_CHARACTERS // 2
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:half]}\n{text[-half:]}"
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def parts_of(text: str) -> Parts:
    """Words, sentences and lines. A newline ends a sentence unless a lower-case letter follows it.

    >>> parts_of("One two.  Three\\nfour!\\n- five").sentences
    ['One two.', 'Three\\nfour!', '- five']
    """
    words = _WORD.findall(text)
    sentences = [found for part in _SENTENCE.split(text) if (found := part.strip())]
    lines = [found for part in text.split("\n") if (found := part.strip())]
    return Parts(text, words, " ".join(words).lower().split(" ") if words else [], sentences, lines)


def statistics(parts: Parts) -> Numbers:
    """All statistics by name, in a fixed order."""
    return {
        **_characters(parts.text),
        **_words(parts),
        **_lists(parts.lowered),
        **_sentences(parts),
        **_lines(parts),
        **_repetition(parts),
    }


def _characters(text: str) -> Numbers:
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    count = max(1, codes.size)
    classes, scripts = character_classes()
    known = np.minimum(codes, classes.size - 1)
    kinds = np.bincount(classes[known], minlength=len(_CLASSES)) / count
    by_script = np.bincount(scripts[known], minlength=2)[1:]
    shares = by_script / max(1, by_script.sum())
    ascii_ = np.bincount(codes[codes < 128], minlength=128)
    return {
        "log_characters": float(np.log1p(codes.size)),
        **{f"share_{name}": float(value) for name, value in zip(_CLASSES, kinds, strict=True)},
        **{f"rate_{name}": float(ascii_[[ord(c) for c in found]].sum() / count) for name, found in _ASCII.items()},
        "share_not_ascii": np.count_nonzero(codes > 127) / count,
        "main_script": float(shares.max()),
        "latin": float(shares[0]),
        **{name: len(pattern.findall(text)) * 1000 / (count + 200) for name, pattern in _MARKUP.items()},
    }


def _words(parts: Parts) -> Numbers:
    words, lowered = parts.words, parts.lowered
    count = max(1, len(words))
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    mean, deviation = spread(lengths)
    counts = Counter(lowered)
    shares = np.fromiter(counts.values(), np.float64, len(counts)) / count
    windows = [len(set(lowered[at : at + 100])) / 100 for at in range(0, len(lowered) - 99, 50)]
    return {
        "log_words": float(np.log1p(len(words))),
        "word_length": min(mean, 30.0),
        "word_length_deviation": min(deviation, 30.0),
        "short_words": np.count_nonzero(lengths <= 3) / count,
        "long_words": np.count_nonzero(lengths >= 8) / count,
        "very_long_words": np.count_nonzero(lengths >= 12) / count,
        "capitalised": sum(map(str.istitle, words)) / count,
        "all_capitals": sum(map(str.isupper, words)) / count,
        "types_per_root": len(counts) / count**0.5,
        "types_of_100": spread(windows)[0] if windows else len(counts) / count,
        "once": sum(value == 1 for value in counts.values()) / count,
        "entropy": float(-(shares * np.log(shares)).sum() / np.log(count + 1)) if len(counts) else 0.0,
        "top_word": float(shares.max()) if len(counts) else 0.0,
    }


def _lists(lowered: list[str]) -> Numbers:
    count = max(1, len(lowered))
    found = dict.fromkeys(LISTS, 0.0)
    known = lists_by_word()
    counts = Counter(lowered)
    for word in counts.keys() & known.keys():
        for name in known[word]:
            found[name] += counts[word] / count
    spoken = sorted((found[name] for name in LANGUAGES), reverse=True)
    is_english = np.fromiter(map(LISTS["en"].__contains__, lowered), np.float64, len(lowered))
    starts = np.arange(0, len(lowered), 25)
    english = np.add.reduceat(is_english, starts) / lengths_of(starts, len(lowered)) if lowered else np.zeros(1)
    return {
        **found,
        "second_language": spoken[1] / (sum(spoken) + 0.01),
        "english_lowest": float(english.min()),
        "english_deviation": spread(english)[1],
    }


def _sentences(parts: Parts) -> Numbers:
    sentences = parts.sentences
    count = max(1, len(sentences))
    lengths = np.fromiter((sentence.count(" ") + 1 for sentence in sentences), np.float64, len(sentences))
    commas = [sentence.count(",") for sentence in sentences]
    mean, deviation = spread(np.minimum(lengths, 100))
    starts = [sentence[:20].split(" ", 1)[0].lower() for sentence in sentences]
    prose = (lengths >= 6) & np.fromiter((s.endswith(_TERMINAL) for s in sentences), bool, len(sentences))
    return {
        "log_sentences": float(np.log1p(len(sentences))),
        "sentence_words": mean,
        "sentence_deviation": deviation,
        "sentence_variation": deviation / (mean + 1),
        "sentence_change": spread([abs(b - a) for a, b in pairwise(np.minimum(lengths, 100))])[0],
        "short_sentences": float((lengths < 5).sum() / count),
        "long_sentences": float((lengths > 40).sum() / count),
        "prose_words": float(lengths[prose].sum() / max(1.0, lengths.sum())),
        "log_prose_words": float(np.log1p(lengths[prose].sum())),
        "open_capital": sum(sentence[0].isupper() for sentence in sentences) / count,
        "closed": sum(sentence.endswith(_TERMINAL) for sentence in sentences) / count,
        "ellipsis": sum(sentence.endswith(("...", "…")) for sentence in sentences) / count,
        "starts": len(set(starts)) / count**0.7,
        "commas": spread(commas)[0],
        "comma_deviation": spread(commas)[1],
        "opens_linked": float(bool(parts.lowered) and parts.lowered[0] in LISTS["linking"]),
    }


def _lines(parts: Parts) -> Numbers:
    lines, text = parts.lines, parts.text
    count = max(1, len(lines))
    lengths = np.fromiter(map(len, lines), np.float64, len(lines))
    total = max(1.0, lengths.sum())
    closed = np.fromiter((line.endswith(_TERMINAL) for line in lines), bool, len(lines))
    mean, deviation = spread(np.log1p(lengths))
    heading = (lengths < 60) & ~closed
    followed = int((heading[:-1] & (lengths[1:] > 100)).sum()) if len(lines) > 1 else 0
    paragraphs = [len(part) for part in text.split("\n\n") if part.strip()]
    return {
        "log_lines": float(np.log1p(len(lines))),
        "line_length": mean,
        "line_deviation": deviation,
        "short_lines": float((lengths < 30).sum() / count),
        "short_line_characters": float(lengths[lengths < 60].sum() / total),
        "closed_lines": float(closed.sum() / count),
        "open_line_characters": float(lengths[~closed].sum() / total),
        "longest_line": float(lengths.max() / total) if len(lines) else 0.0,
        "headed": followed / count,
        "bullets": sum(_BULLET.match(line) is not None for line in lines) / count,
        "blank": text.count("\n\n") / (text.count("\n") + 1),
        "log_paragraphs": float(np.log1p(len(paragraphs))),
        "paragraph_deviation": spread(np.log1p(paragraphs))[1],
        "indented": sum(line[:1] in (" ", "\t") for line in text.split("\n")) / (text.count("\n") + 1),
        "lower_lines": sum(line[0].islower() for line in lines) / count,
        "newlines": text.count("\n") * 100 / (len(text) + 100),
    }


def _repetition(parts: Parts) -> Numbers:
    raw = parts.text.encode()
    ids = {word: number for number, word in enumerate(dict.fromkeys(parts.lowered))}
    row = np.fromiter(map(ids.__getitem__, parts.lowered), np.uint64, len(parts.lowered))
    return {
        **{f"repeated_{size}_grams": _repeated(row, size) for size in (2, 3, 5, 10)},
        "repeated_sentences": 1 - len(set(parts.sentences)) / max(1, len(parts.sentences)),
        "repeated_lines": 1 - len(set(parts.lines)) / max(1, len(parts.lines)),
        "compression": len(zlib.compress(raw, 1)) / (len(raw) + 20),
    }


def _repeated(row: npt.NDArray[np.uint64], size: int) -> float:
    """Share of n-grams that were there before."""
    count = row.size - size + 1
    if count < 1:
        return 0.0
    keys = np.zeros(count, np.uint64)
    for place in range(size):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + row[place : place + count] + np.uint64(1)
    keys.sort()
    return np.count_nonzero(keys[1:] == keys[:-1]) / count
