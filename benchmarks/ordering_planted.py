"""Near-duplicates planted among real documents, and templates that only look like them."""

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from ordering_texts import Texts

from stages.ordering_graph import Ints
from stages.ordering_shingles import containment, resemblance, shingles

EACH, DOCUMENTS = 300, 6_000
SHORTEST = 40
"""Words of a document that gets a twin."""
PLACES = [
    "Arden",
    "Birk",
    "Corvin",
    "Dalby",
    "Estmere",
    "Fenwick",
    "Galt",
    "Hollin",
    "Irmley",
    "Jarrow",
    "Kelm",
    "Oxley",
]
TRADES = [
    "wool",
    "salt",
    "slate",
    "timber",
    "glass",
    "rope",
    "paper",
    "herring",
    "barley",
    "pottery",
    "clocks",
    "bells",
]
SHORT = (
    "{0} is a town of {n} people on the river {1}. It was founded in {y} by traders of {a} from {2}, whose hall still "
    "stands beside the {b} market. A fire in {z} took {m} houses, and the road to {3} was moved."
)
LONG = SHORT + (
    " Visitors are welcome on all days of the week between nine and five. Please keep dogs on a lead, take your litter "
    "home, and close all gates behind you. Tickets are sold at the office next to the entrance and cannot be returned."
)


def planted(given: Texts, find: Callable[[Texts], Ints]) -> dict[str, Any]:
    """Print and return how many of each kind fell; `find` says what each document is a near-duplicate of."""
    chance = random.Random(0)
    order = chance.sample(range(len(given.texts)), min(DOCUMENTS, len(given.texts)))
    texts, kinds = [given.texts[row] for row in order], ["document"] * len(order)
    words = [word for text in texts[:500] for word in text.split()]
    long = [text for text in texts if len(text.split()) >= SHORTEST]
    changes = {"exact copy": str, "other blanks": _spaced, "lower case": str.lower, "upper case": str.upper}
    for kind, change in (changes | {"5% of words": lambda text: _other(text, words, chance)}).items():
        texts += [change(text) for text in chance.sample(long, EACH)]
        kinds += [kind] * EACH
    for kind, template in (("template, all facts", SHORT), ("template, half facts", LONG)):
        texts += [_filled(template, chance) for _ in range(EACH)]
        kinds += [kind] * EACH
    fell = find(Texts(texts, kinds))
    assert len(fell) == len(texts), "every text has a vector"
    down = Counter(kind for kind, one in zip(kinds, fell, strict=True) if one >= 0)
    found = {kind: down[kind] for kind in dict.fromkeys(kinds)}
    for kind, count in found.items():
        print(f"| {kind} | {kinds.count(kind):,} | {count:,} |", flush=True)
    return found | {"fell of the documents": _checked(texts, kinds, fell)}


def twins(given: Texts, share: float = 0.05) -> Texts:
    """The same, with a twin of some of the documents that has 5% of its words changed."""
    chance = random.Random(1)
    words = [word for text in given.texts[:500] for word in text.split()]
    rows = [row for row, text in enumerate(given.texts) if len(text.split()) >= SHORTEST and chance.random() < share]
    texts = [*given.texts, *(_other(given.texts[row], words, chance) for row in rows)]
    return Texts(texts, [*given.sections, *(given.sections[row] for row in rows)])


def _checked(texts: list[str], kinds: list[str], fell: Ints) -> dict[str, int]:
    """Of the documents that fell unplanted, those that whole texts confirm, by the same thresholds."""
    pairs = [(row, int(fell[row])) for row, kind in enumerate(kinds) if kind == "document" and fell[row] >= 0]
    sets = [tuple(shingles([hash(word) % 2**63 for word in re.findall(r"\w+", texts[row].lower())]) for row in pair)
            for pair in pairs]  # fmt: skip
    sure = sum(resemblance(*two) >= 0.5 or containment(*two) >= 0.8 for two in sets)
    print(f"of {len(pairs)} documents that fell unplanted, whole texts confirm {sure}")
    return {"all": len(pairs), "confirmed": sure}


def _spaced(text: str) -> str:
    """One blank between words, a new line every twelve: as another extraction may give it."""
    words = text.split()
    return "\n".join(" ".join(words[at : at + 12]) for at in range(0, len(words), 12))


def _other(text: str, words: list[str], chance: random.Random) -> str:
    given = text.split(" ")
    for place in chance.sample(range(len(given)), max(1, len(given) // 20)):
        given[place] = chance.choice(words)
    return " ".join(given)


def _filled(template: str, chance: random.Random) -> str:
    numbers = {"n": chance.randint(400, 90_000), "y": chance.randint(900, 1700), "z": chance.randint(1701, 1990),
               "m": chance.randint(12, 800)}  # fmt: skip
    a, b = chance.sample(TRADES, 2)
    return template.format(*chance.sample(PLACES, 4), a=a, b=b, **numbers)
