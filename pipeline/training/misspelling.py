"""Mistakes in single words."""

import random

from pipeline.training.damage_words import KEYS


def ungrammatical(word: str, chance: random.Random) -> str:
    """The word without its ending, or with one that it may not have."""
    for ending in ("ing", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)]
    return word + chance.choice(("s", "ed", "ing", "es"))


def misspelled(word: str, chance: random.Random) -> str:
    """The word with one letter doubled, left out, swapped with the next, or replaced by a neighbour on the keyboard."""
    if len(word) < 3:
        return word
    at, kind = chance.randrange(1, len(word) - 1), chance.randrange(4)
    if kind == 0:
        return word[:at] + word[at] + word[at:]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + chance.choice(KEYS.get(word[at], "e")) + word[at + 1 :]
