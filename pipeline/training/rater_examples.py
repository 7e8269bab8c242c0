"""Examples with known ratings, made of clean texts by graded damage and as made-up web pages."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.training.damage import LEVELS, REACHED, Stock, cut, damaged
from pipeline.training.pages import page
from stages.rating_protocol import CRITERIA

Floats = npt.NDArray[np.float64]

UNHARMED: dict[str, tuple[str, ...]] = {
    "accuracy": ("language_consistency", "semantic_density", "topic_focus", "structural_standardization",
                 "originality", "sensitivity"),
    "coherence": ("language_consistency", "semantic_density", "professionalism", "structural_standardization",
                  "originality", "sensitivity"),
    "language_consistency": ("accuracy", "originality", "sensitivity"),
    "semantic_density": ("accuracy", "language_consistency", "structural_standardization", "sensitivity"),
    "topic_focus": ("accuracy", "language_consistency", "semantic_density", "professionalism",
                    "grammatical_diversity", "structural_standardization", "originality", "sensitivity"),
    "professionalism": ("language_consistency", "topic_focus", "originality"),
    "style_consistency": ("language_consistency", "originality"),
    "grammatical_diversity": ("language_consistency", "topic_focus", "sensitivity"),
    "originality": ("accuracy", "language_consistency", "professionalism", "topic_focus",
                    "structural_standardization", "sensitivity"),
    "sensitivity": ("language_consistency", "originality", "accuracy"),
    "structural_standardization": ("language_consistency", "semantic_density", "topic_focus", "originality",
                                   "sensitivity"),
}  # fmt: skip
"""Criteria that a kind of damage leaves as they were. Those not listed may suffer too, and get no label."""
_ALSO = 0.4
"""Weight of the label of a criterion that damage left as it was."""
_SHORTEST, _LONGEST = 60, 9_000
_LADDER = 8
"""Sentences that a text needs for every level to differ."""


@dataclass(frozen=True)
class Clean:
    """A text that counts as faultless."""

    text: str
    source: str
    group: str
    """Documents of a group never stand on both sides of a split."""
    domain: int = -1
    """Place in DOMAINS; -1: not known."""


@dataclass(frozen=True)
class Example:
    """A text with what is known of its ratings."""

    text: str
    labels: Floats
    """(criteria,): 1 to 5, NaN where nothing is known."""
    weights: Floats = field(default_factory=lambda: np.ones(len(CRITERIA)))
    domain: int = -1
    source: str = ""
    group: str = ""


def passage(text: str, chance: random.Random) -> str:
    """A run of whole sentences, from one sentence to a whole document, short and long ones alike."""
    sentences, gaps = cut(text)
    wanted = math.exp(chance.uniform(math.log(_SHORTEST), math.log(_LONGEST)))
    start = chance.randrange(max(1, len(sentences) * 2 // 3)) if chance.random() < 0.7 else 0
    taken, size = [], 0
    for sentence, gap in zip(sentences[start:], gaps[start:], strict=True):
        taken += [sentence, gap]
        size += len(sentence)
        if size >= wanted:
            break
    return "".join(taken).strip()


def damage_examples(
    texts: Sequence[Clean],
    stock: Stock,
    names: Sequence[str],
    seed: int,
    rounds: int,
    reached: Sequence[str] = REACHED,
) -> Iterator[Example]:
    """In each round every text gives a passage with up to three kinds of damage, and every other one a made-up page."""
    for number in range(rounds):
        for place, clean in enumerate(texts):
            chance = random.Random(f"{seed} {number} {place}")
            yield _damaged(clean, stock, chance, reached)
            if place % 2 == number % 2:
                made, rating = page(clean.text, chance, stock, names)
                labels = np.full(len(CRITERIA), np.nan)
                labels[CRITERIA.index("overall_score")] = rating
                yield Example(made, labels, source=clean.source, group=clean.group)


def _damaged(clean: Clean, stock: Stock, chance: random.Random, reached: Sequence[str]) -> Example:
    text = passage(clean.text, chance)
    kinds = chance.sample(reached, chance.choice((0, 1, 1, 1, 2, 3)))
    if len(cut(text)[0]) < 3:
        kinds = [kind for kind in kinds if kind in ("accuracy", "structural_standardization", "sensitivity")]
    levels = {kind: chance.randrange(1, LEVELS) for kind in kinds}
    for kind, level in levels.items():
        text = damaged(text, kind, level, chance, stock)
    labels, weights = labels_of(levels, reached)
    worst = clean.domain if max(levels.values(), default=0) < 3 else -1
    return Example(text, labels, weights, worst, clean.source, clean.group)


def chatty_examples(casual: Sequence[str], count: int, seed: int) -> Iterator[Example]:
    """Documents of nothing but chat: no experts' talk, and not worth keeping."""
    for number in range(count):
        chance = random.Random(f"{seed} chat {number}")
        lines = chance.sample(casual, min(len(casual), chance.randint(2, 25)))
        labels = np.full(len(CRITERIA), np.nan)
        labels[CRITERIA.index("professionalism")] = labels[CRITERIA.index("overall_score")] = 1
        yield Example(chance.choice((" ", "\n")).join(lines), labels, source="casual")


def ladder(texts: Sequence[str], criterion: str, count: int, seed: int, stock: Stock) -> list[list[str]]:
    """Passages of so many of the texts, of 8 sentences or more, each in its five levels of damage, best first."""
    chance = random.Random(f"{seed} {criterion}")
    found: list[list[str]] = []
    for text in chance.sample(texts, len(texts)):
        part = passage(text, chance)
        part = part if len(cut(part)[0]) >= _LADDER else text[:3000]
        if len(cut(part)[0]) >= _LADDER and len(found) < count:
            found.append([damaged(part, criterion, level, chance, stock) for level in range(LEVELS)])
    return found


def labels_of(levels: dict[str, int], reached: Sequence[str] = REACHED) -> tuple[Floats, Floats]:
    """Ratings and their weights for a text damaged so; `overall_score`, novelty and creativity are left open."""
    labels, weights = np.full(len(CRITERIA), np.nan), np.zeros(len(CRITERIA))
    for place, name in enumerate(CRITERIA):
        if name in levels:
            labels[place], weights[place] = LEVELS - levels[name], 1.0
        elif name in reached and all(name in UNHARMED[kind] for kind in levels):
            labels[place], weights[place] = LEVELS, _ALSO if levels else 1.0
    return labels, weights
