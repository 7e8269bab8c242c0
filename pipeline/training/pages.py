"""Made-up web pages whose worth is known: prose of some length among menus, adverts, goods, chatter and footers.

They teach `overall_score`, which people give for being substantial, whole and readable. A page's rating follows from
what it was made of, see `worth`; the prose is clean text, all else is put together from phrases written for Tamis.
"""

import math
import random
import re
from collections.abc import Sequence

from pipeline.training.damage import Stock, cut, damaged
from pipeline.training.damage_words import ADVERTS, CHATTER, FOOTER, GOODS, MENU, MONTHS

ENOUGH, TOO_FEW = 800, 20
"""Words of prose from which a page is as good as it gets, and up to which it is no document at all."""
KINDS = ("menu", "goods", "adverts", "chatter", "footers", "snippets", "improper", "numbers", "keywords")
_PHRASES = {"goods": GOODS, "footers": FOOTER, "adverts": ADVERTS, "chatter": CHATTER}
_SLOT = re.compile(r"\{(\w+)\}")
_SPOILING = ("accuracy", "coherence", "semantic_density", "professionalism", "originality", "style_consistency")


def page(text: str, chance: random.Random, stock: Stock, names: Sequence[str]) -> tuple[str, int]:
    """A page and its rating, 1 to 5. `names` are words that may stand for things.

    About a third are clean text of some length, a third text among other matter, a third such matter alone.
    """
    sentences, gaps = cut(text)
    wanted = math.exp(chance.uniform(math.log(15), math.log(1500)))
    start = chance.randrange(max(1, len(sentences) // 2)) if chance.random() < 0.5 else 0
    body, words = [], 0
    for sentence, gap in zip(sentences[start:], gaps[start:], strict=True):
        body += [sentence, gap]
        words += len(sentence.split())
        if words >= wanted:
            break
    prose, sort = "".join(body).strip(), chance.random()
    if sort < 0.3:
        return prose, worth(words, words, 0)
    if sort < 0.4:
        level = chance.randint(1, 4)
        return damaged(prose, chance.choice(_SPOILING), level, chance, stock), worth(words, words, level)
    if sort < 0.7:
        before = matter(chance, stock, names, prose)
        after = matter(chance, stock, names, prose) if chance.random() < 0.7 else ""
        total = words + len(before.split()) + len(after.split())
        return f"{before}\n{prose}\n{after}".strip(), worth(words, total, 0)
    parts = [matter(chance, stock, names, prose) for _ in range(chance.randint(1, 6))]
    return "\n".join(parts), 1 if sort < 0.9 or len(parts) < 3 else 2


def worth(prose: int, total: int, level: int) -> int:
    """Rating of a page with `prose` good words of `total`, damaged by `level`.

    >>> worth(1000, 1000, 0), worth(150, 150, 0), worth(150, 450, 0), worth(1000, 1000, 4), worth(20, 20, 0)
    (5, 4, 2, 2, 2)
    """
    long = min(1.0, max(0.0, math.log(max(1, prose) / TOO_FEW) / math.log(ENOUGH / TOO_FEW)))
    share = prose / max(1, total)
    return 1 + round(4 * (0.25 + 0.75 * long) * share * (1 - 0.18 * level))


def matter(chance: random.Random, stock: Stock, names: Sequence[str], prose: str) -> str:
    """Some lines or sentences of one kind of what is no prose."""
    kind = chance.choice(KINDS)
    count = round(math.exp(chance.uniform(math.log(3), math.log(40))))
    if kind == "menu":
        wide = [*MENU, *(chance.choice(names).title() for _ in range(20))]
        return chance.choice(("\n", " | ", "\n", " ")).join(chance.choice(wide) for _ in range(count))
    if kind in _PHRASES:
        phrases = (*CHATTER, *stock.casual[:200]) if kind == "chatter" else _PHRASES[kind]
        between = "\n" if kind in ("goods", "footers") else chance.choice((" ", "\n"))
        return between.join(_slotted(chance.choice(phrases), chance, names) for _ in range(count))
    if kind == "improper":
        return " ".join(chance.choice(stock.improper or CHATTER) for _ in range(max(1, count // 3)))
    if kind == "keywords":
        repeated = chance.sample(names, min(len(names), 6)) + prose.split()[:4]
        return chance.choice((", ", " ")).join(" ".join(chance.choices(repeated, k=3)) for _ in range(count))
    lines = (
        _numbers(chance) if kind == "numbers" else _snippet(chance.choice(stock.others), chance) for _ in range(count)
    )
    return "\n".join(lines)


def _numbers(chance: random.Random) -> str:
    return " ".join(str(chance.randrange(10_000)) for _ in range(chance.randint(1, 8)))


def _slotted(phrase: str, chance: random.Random, names: Sequence[str]) -> str:
    """The phrase with its slots filled.

    >>> _slotted("{name}, {name}!", random.Random(0), ["tea"])
    'tea, tea!'
    """
    return _SLOT.sub(lambda found: _value(found.group(1), chance, names), phrase)


def _value(slot: str, chance: random.Random, names: Sequence[str]) -> str:
    numbers = {"day": (1, 28), "number": (2, 900), "year": (1999, 2024)}
    if slot in numbers:
        return str(chance.randint(*numbers[slot]))
    if slot == "month":
        return chance.choice(MONTHS)
    return chance.choice(names).title() if slot == "Name" else chance.choice(names)


def _snippet(text: str, chance: random.Random) -> str:
    words = text.split()
    start = chance.randrange(max(1, len(words) - 10))
    title = " ".join(words[start : start + 4]).title()
    return f"{title}\n{' '.join(words[start : start + chance.randint(8, 25)])}..."
