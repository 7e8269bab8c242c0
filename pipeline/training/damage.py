"""Graded damage: worse versions of a text, by a known criterion and amount, so that their right order is known.

Level 0 is the text as it is, rated 5; level 4 is rated 1. Each kind does one thing that people call a fault of that
criterion, to a share of the text that grows with the level. The same chance gives the same text.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.training.damage_words import ASIDES, CASUAL, FILLER, SHOUTS, SWAPS
from pipeline.training.misspelling import misspelled, ungrammatical

LEVELS = 5
_SHARES = (0.0, 0.1, 0.25, 0.5, 0.85)
"""Share of the text that each level touches."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?")


@dataclass(frozen=True)
class Stock:
    """Sentences to damage texts with; none of them is part of the text that is damaged."""

    foreign: Sequence[str]
    """In other languages."""
    others: Sequence[str]
    """Of other documents of the same language: whole passages."""
    improper: Sequence[str]
    """Abusive."""
    casual: Sequence[str] = ()
    """Chatty."""


Damage = Callable[[list[str], float, random.Random, Stock], list[str]]


def damaged(text: str, criterion: str, level: int, chance: random.Random, stock: Stock) -> str:
    """The text, damaged along `criterion` by `level` of 0 to 4. Paragraphs stay, except where structure is the target.

    >>> damaged("One. Two.", "accuracy", 0, random.Random(0), Stock((), (), ()))
    'One. Two.'
    """
    assert 0 <= level < LEVELS
    if level == 0:
        return text
    if criterion == "structural_standardization":
        return _flattened(text, _SHARES[level], chance)
    sentences, gaps = cut(text)
    touched = DAMAGES[criterion](sentences, _SHARES[level], chance, stock)
    return _joined(touched, gaps)


def cut(text: str) -> tuple[list[str], list[str]]:
    """Sentences, and the white space after each.

    >>> cut("One. Two!\\nThree")
    (['One.', 'Two!', 'Three'], [' ', '\\n', ''])
    """
    sentences, gaps, at = [], [], 0
    for found in _SENTENCE.finditer(text):
        sentences.append(text[at : found.start()])
        gaps.append(found.group())
        at = found.end()
    return [*sentences, text[at:]], [*gaps, ""]


def _joined(sentences: list[str], gaps: list[str]) -> str:
    """Sentences with gaps in their order; where there are more sentences than gaps, the gaps are spread."""
    count = len(sentences)
    if count > len(gaps):
        gaps = [gaps[place * len(gaps) // count] or " " for place in range(count)]
    return "".join(sentence + gap for sentence, gap in zip(sentences, gaps, strict=False)).strip()


def _some(count: int, share: float, chance: random.Random) -> list[int]:
    """Places to touch: the share of them, at least one."""
    return sorted(chance.sample(range(count), min(count, max(1, round(count * share)))))


def _misspelled(sentences: list[str], share: float, chance: random.Random, _: Stock) -> list[str]:
    rate = share * 0.35

    def change(found: re.Match[str]) -> str:
        word = found.group()
        if chance.random() >= rate:
            return word
        if word.lower() in SWAPS and chance.random() < 0.7:
            return chance.choice(SWAPS[word.lower()])
        if chance.random() < 0.35 and len(word) > 3:
            return ungrammatical(word, chance)
        return misspelled(word, chance)

    return [_WORD.sub(change, sentence) for sentence in sentences]


def _shuffled(sentences: list[str], share: float, chance: random.Random, _: Stock) -> list[str]:
    """Sentences change places; in the two worst levels words of some sentences do, too."""
    places = _some(len(sentences), share, chance)
    moved = places.copy()
    chance.shuffle(moved)
    found = sentences.copy()
    for place, other in zip(places, moved, strict=True):
        found[place] = sentences[other]
    for place in chance.sample(places, round(len(places) * max(0.0, share - 0.05))):
        words = found[place].split()
        middle = len(words) // 3
        found[place] = " ".join([*words[middle:], *words[:middle]]) if share < 0.5 else _stirred(words, chance)
    return found


def _stirred(words: list[str], chance: random.Random) -> str:
    return " ".join(chance.sample(words, len(words)))


def _spliced(sentences: list[str], share: float, chance: random.Random, stock: Stock) -> list[str]:
    return _replaced(sentences, share * 0.7, chance, stock.foreign)


def _replaced(sentences: list[str], share: float, chance: random.Random, by: Sequence[str]) -> list[str]:
    found = sentences.copy()
    for place in _some(len(sentences), share, chance):
        found[place] = chance.choice(by)
    return found


def _filled(sentences: list[str], share: float, chance: random.Random, _: Stock) -> list[str]:
    return _replaced(sentences, share, chance, FILLER)


def _repeated(sentences: list[str], share: float, chance: random.Random, _: Stock) -> list[str]:
    """Sentences give way to copies of others, some with a word changed."""
    places = _some(len(sentences), share, chance)
    kept = [sentence for place, sentence in enumerate(sentences) if place not in set(places)] or sentences[:1]
    pool = chance.sample(kept, max(1, min(len(kept), round(len(kept) * (1 - share)))))
    found = sentences.copy()
    for place in places:
        words = chance.choice(pool).split(" ")
        if chance.random() < 0.3 and len(words) > 3:
            del words[chance.randrange(len(words))]
        found[place] = " ".join(words)
    return found if len(sentences) > 1 else sentences * (1 + round(share * 5))


def _off_topic(sentences: list[str], share: float, chance: random.Random, stock: Stock) -> list[str]:
    """Runs of two to four sentences give way to sentences of one other document each."""
    found, left = sentences.copy(), max(1, round(len(sentences) * share * 0.8))
    while left > 0:
        passage = cut(chance.choice(stock.others))[0]
        size = min(left, chance.randint(2, 4), len(passage))
        at, start = chance.randrange(max(1, len(found) - size + 1)), chance.randrange(len(passage) - size + 1)
        found[at : at + size] = passage[start : start + size]
        left -= size
    return found


def _mixed_style(sentences: list[str], share: float, chance: random.Random, stock: Stock) -> list[str]:
    """Some sentences are shouted, chatted, or set in another case."""
    found = sentences.copy()
    for place in _some(len(sentences), share * 0.6, chance):
        kind = chance.randrange(4)
        if kind == 0:
            found[place] = found[place].upper()
        elif kind == 1:
            found[place] = f"{chance.choice(SHOUTS)} {_casual(found[place], 1.0, chance)}"
        elif kind == 2 or not stock.casual:
            found[place] = re.sub(r"[.,;]", "", found[place].lower()) + chance.choice(("!!!", " ...", " :-)"))
        else:
            found[place] = chance.choice(stock.casual)
    return found


def _monotonous(sentences: list[str], share: float, chance: random.Random, _: Stock) -> list[str]:
    """Long sentences are cut into short ones that all begin alike; subordination and commas go."""
    found = sentences.copy()
    opening = chance.choice(("It is", "This is", "There is", "They are", "It has"))
    for place in _some(len(sentences), share, chance):
        plain = re.sub(r"\b(?:although|because|which|while|whereas|however|therefore|who|that)\b", "", found[place])
        words = re.sub(r"[,;:()]", "", plain).split()
        parts = [words[at : at + 6] for at in range(0, len(words), 6)]
        found[place] = " ".join(f"{opening} {' '.join(part).rstrip('.')}." for part in parts if part)
    return found


def _informal(sentences: list[str], share: float, chance: random.Random, stock: Stock) -> list[str]:
    """Sentences become slangy; at the worst levels some are chat."""
    found = sentences.copy()
    for place in _some(len(sentences), share, chance):
        found[place] = _casual(found[place], share, chance)
        if stock.casual and chance.random() < share * 0.4:
            found[place] = chance.choice(stock.casual)
    return found


def _casual(sentence: str, share: float, chance: random.Random) -> str:
    for formal, casual in CASUAL.items():
        sentence = re.sub(rf"\b{formal}\b", casual, sentence, flags=re.IGNORECASE)
    if chance.random() < 0.4 + share / 2:
        sentence = f"{sentence.rstrip('.')}, {chance.choice(ASIDES)}{chance.choice(('.', '!', '!!', '...'))}"
    return sentence.lower() if chance.random() < share / 2 else sentence


def _improper(sentences: list[str], share: float, chance: random.Random, stock: Stock) -> list[str]:
    return _replaced(sentences, share * 0.6, chance, stock.improper)


def _flattened(text: str, share: float, chance: random.Random) -> str:
    """Line breaks, punctuation and capitals go, and lines break where no one would break them."""
    words, found = re.split(r"(\s+)", text), []
    for word in words:
        if word.isspace():
            broken = chance.random() < share * 0.08
            found.append("\n" if broken else (" " if chance.random() < share else word))
        else:
            found.append(re.sub(r"[^\w\s'-]", "", word.lower()) if chance.random() < share * 0.7 else word)
    return "".join(found)


DAMAGES: dict[str, Damage] = {
    "accuracy": _misspelled,
    "coherence": _shuffled,
    "language_consistency": _spliced,
    "semantic_density": _filled,
    "topic_focus": _off_topic,
    "professionalism": _informal,
    "style_consistency": _mixed_style,
    "grammatical_diversity": _monotonous,
    "originality": _repeated,
    "sensitivity": _improper,
}
REACHED = (*DAMAGES, "structural_standardization")
"""Criteria that damage can reach."""
