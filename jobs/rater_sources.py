"""The texts that the default student rater is made of: files, records, licences; all of them free to use.

They are of tier A of the development data (open licence or public domain) or of the quickstart corpus, and are never
written anywhere.
"""

import hashlib
import random
from dataclasses import dataclass

from perplexity_sources import Source, read

from pipeline.training.damage import Stock, cut
from pipeline.training.rater_examples import Clean
from stages.rating_protocol import DOMAINS

_CC, _WIKI = "CC BY 4.0", "CC BY-SA 4.0 (Wikipedia)"
_LONGEST = 20_000


@dataclass(frozen=True)
class Part:
    """A source, what domain it is, and how many of its documents are used."""

    source: Source
    domain: str = ""
    most: int = 1200
    prose: bool = True
    """Whether it is English prose: others teach the domain alone."""


def _part(name: str, path: str, licence: str, domain: str = "", *where: str, **more: int | bool) -> Part:
    return Part(Source(name, path, licence, where), domain, **more)  # type: ignore[arg-type]


PARTS = (
    _part("books", "groups/books", "public domain", most=500),
    _part("medical_web", "groups/medical_web", _CC, "medicine"),
    _part("finance_gov", "groups/finance_gov", "public domain", "finance"),
    _part("law_en", "groups/law_en", "MIT", "law"),
    _part("wiki", "groups/wiki", "CC BY-SA 3.0"),
    _part("stackexchange", "groups/stackexchange", "CC BY-SA 3.0"),
    _part("onestopenglish", "quality/onestopenglish_levels", "CC BY-SA 4.0"),
    _part("xquad", "language/xquad_paragraphs_12lang", "CC BY-SA 4.0", "", "label=en"),
    _part("encyclopedia", "sample/encyclopedia", _WIKI, "", "language=en", most=8000),
    _part("speeches", "sample/speeches", "public domain", "government"),
    _part("scripture", "sample/scripture", "public domain", "culture", most=150),
    _part("math_latex", "groups/math_latex", "GFDL 1.2", "mathematics", prose=False),
    _part("code_python", "groups/code_python", "MIT", "coding", prose=False),
    _part("code_java", "groups/code_java", "MIT", "coding", prose=False),
    _part("law_de", "groups/law_de", "public domain", "law", prose=False),
    _part("licence_texts", "sample/licence_texts", "open source licences", "law", prose=False),
)
_TALK = "harmful/wikipedia_talk_toxic"
_TWEETS = "harmful/davidson_tweets"
IMPROPER = (
    Source("davidson_tweets", _TWEETS, "MIT", ("label!=neither",)),
    Source("civil_comments", "harmful/civil_comments_toxic", "CC0 1.0"),
    Source("wikipedia_talk", _TALK, _CC, ("label=True",)),
    Source("toxigen", "harmful/toxigen_prompt_sentences", "CDLA-Permissive-2.0", ("label=hate",)),
)
CASUAL = (
    Source("davidson_tweets", _TWEETS, "MIT", ("label=neither",)),
    Source("wikipedia_talk", _TALK, _CC, ("label=False",)),
    Source("dialogues", "sample/dialogues", "BSD-3-Clause", ("language=en",)),
)
FOREIGN = (
    Source("xquad", "language/xquad_paragraphs_12lang", "CC BY-SA 4.0", ("label!=en",)),
    Source("lingua79", "language/lingua79", f"{_CC} (Leipzig Corpora)", ("label!=en", "kind=sentences")),
    Source("law_de", "groups/law_de", "public domain"),
)
FORMAL = ("medical_web", "finance_gov", "law_en", "wiki", "encyclopedia")
LICENCES = {s.name: s.licence for s in (*(p.source for p in PARTS), *IMPROPER, *CASUAL, *FOREIGN)}


def clean_texts(seed: int) -> dict[str, list[Clean]]:
    """Documents by source, without repetitions, in an order that the seed gives."""
    found: dict[str, list[Clean]] = {}
    for part in PARTS:
        texts = sorted({text[:_LONGEST] for text in read(part.source)})
        random.Random(f"{seed} {part.source.name}").shuffle(texts)
        domain = DOMAINS.index(part.domain) if part.domain else -1
        name = part.source.name
        found[name] = [Clean(text, name, _group(text), domain) for text in texts[: part.most]]
    return found


def halves(texts: list[Clean]) -> tuple[list[Clean], list[Clean]]:
    """Those that the tables of counts are made of, and those that the heads are fitted on."""
    return texts[::2], texts[1::2]


def stock_of(others: list[Clean], seed: int) -> Stock:
    """What texts are damaged with."""
    chance = random.Random(f"{seed} stock")
    foreign = [part for source in FOREIGN for part in _drawn(read(source), 1500, chance)]
    return Stock(
        foreign=foreign,
        others=[clean.text for clean in chance.sample(others, min(len(others), 1500))],
        improper=[text for source in IMPROPER for text in _short(read(source), 1500, chance)],
        casual=[text for source in CASUAL for text in _short(read(source), 1500, chance)],
    )


def _drawn(texts: list[str], count: int, chance: random.Random) -> list[str]:
    sentences = sorted({part for text in texts for part in cut(text)[0] if 30 <= len(part) <= 400})
    return chance.sample(sentences, min(len(sentences), count))


def _short(texts: list[str], count: int, chance: random.Random) -> list[str]:
    fitting = sorted({" ".join(text.split()) for text in texts if 15 <= len(text) <= 400})
    return chance.sample(fitting, min(len(fitting), count))


def _group(text: str) -> str:
    return hashlib.sha256(text[:200].encode()).hexdigest()[:16]
