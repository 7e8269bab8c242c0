"""The recipe of the student rater that comes with Tamis: stages/models/rating/student.safetensors and its card.

    tamis sample
    python jobs/train_default_rater.py

No teacher rates anything: clean texts are damaged by known amounts, and made-up web pages have the worth of what they
were made of. Half of the texts make the tables of counts, the other half the examples. The data is read from
`$TAMIS_DATA`; the same data gives the same weights and the same card.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import rater_sources as sources
from perplexity_sources import read
from rater_figures import BY_WORDS, held_out_figures

from pipeline.training.domain_words import nearest_domains, word_texts
from pipeline.training.rater import measure, train_heads, write_student
from pipeline.training.rater_examples import Clean, Example, chatty_examples, damage_examples, passage
from pipeline.training.rater_fit import Fitting
from pipeline.training.rater_tables import tables_of
from stages.rating_card import DEFAULT
from stages.rating_protocol import CRITERIA
from stages.rating_tokens import Embedder, Tables, open_embedder

SEED = 20250219
COMMAND = "python jobs/train_default_rater.py"
NAME = "tamis-student-1"
PASSAGES = 1000
"""Damaged passages of each source."""
CHATS = 600
"""Made-up documents of chat."""
OF_DOMAIN = 300
"""Texts of each domain."""
MARGIN = 0.06
"""Of cosine: how much nearer an article is to the words of its domain than to others."""

Texts = dict[str, list[Clean]]


def main() -> None:
    """Make the examples, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DEFAULT, help="directory for the student")
    arguments = parser.parse_args()
    texts, embedder = sources.clean_texts(SEED), open_embedder()
    tables = tables_from(texts, embedder)
    examples = examples_of(texts, embedder, tables)
    data = measure(examples, embedder, tables)
    heads = train_heads(data, Fitting())
    prose = {name: texts[name] for name in _prose()}
    card = write_student(
        arguments.output,
        heads,
        tables,
        embedder,
        data=data,
        name=NAME,
        sources=(example.source for example in examples),
        licence="; ".join(f"{name}: {licence}" for name, licence in sources.LICENCES.items()),
        command=COMMAND,
        teacher="graded damage",
        languages=("en",),
        figures=held_out_figures(examples, data, prose, embedder, tables, SEED),
    )
    trained = sum(kind == "trained" for kind in card.criteria.values())
    print(f"{card.bytes:,} bytes, {len(examples):,} examples, {trained} criteria trained")


def tables_from(texts: Texts, embedder: Embedder) -> Tables:
    """Tables of counts of the first halves."""
    first = {name: [clean.text for clean in sources.halves(found)[0]] for name, found in texts.items()}
    prose = [text for name in _prose() for text in first[name]]
    casual = [text for source in sources.CASUAL for text in read(source)]
    improper = [text for source in sources.IMPROPER for text in read(source)]
    civil = [*casual, *first["encyclopedia"][:2000]]
    formal = [text for name in sources.FORMAL for text in first[name]]
    return tables_of(embedder, prose, improper, civil, formal, [*casual, *first["stackexchange"]])


def examples_of(texts: Texts, embedder: Embedder, tables: Tables) -> list[Example]:
    """Damaged passages, made-up pages, and texts of known domain, of the second halves."""
    second = {name: sources.halves(found)[1] for name, found in texts.items()}
    prose = {name: second[name] for name in _prose()}
    stock = sources.stock_of([clean for found in prose.values() for clean in found], SEED)
    names = names_of(second["encyclopedia"])
    found: list[Example] = []
    for cleans in prose.values():
        found += damage_examples(_cycled(cleans, PASSAGES), stock, names, SEED, 1)
    return found + list(chatty_examples(stock.casual, CHATS, SEED)) + domain_examples(second, embedder, tables)


def domain_examples(texts: Texts, embedder: Embedder, tables: Tables) -> list[Example]:
    """Texts of sources of one domain, articles that are near to a domain's words, and bags of these words."""
    nothing = np.full(len(CRITERIA), np.nan)
    articles = texts["encyclopedia"] + texts["wiki"]
    near = nearest_domains([clean.text for clean in articles], embedder, tables, MARGIN)
    taken: dict[tuple[int, bool], int] = {}
    found = []
    known = [clean for cleans in texts.values() for clean in cleans if clean.domain >= 0]
    random.Random(SEED).shuffle(known)
    for clean, domain in [*((c, c.domain) for c in known), *zip(articles, near, strict=True)]:
        by_words = clean.domain < 0
        if domain >= 0 and taken.get((domain, by_words), 0) < OF_DOMAIN:
            taken[domain, by_words] = taken.get((domain, by_words), 0) + 1
            text = clean.text if by_words else passage(clean.text, random.Random(clean.group))
            source = clean.source + (BY_WORDS if by_words else "")
            found.append(Example(text, nothing, domain=domain, source=source, group=clean.group))
    bags = word_texts(random.Random(SEED), OF_DOMAIN // 2)
    return found + [Example(text, nothing, domain=domain, source="words of domains") for text, domain in bags]


def names_of(texts: list[Clean]) -> list[str]:
    """Words that may stand for things in made-up pages."""
    words = (word.lower() for clean in texts[:2000] for word in clean.text.split() if word.isalpha())
    return sorted({word for word in words if 4 < len(word) < 12})


def _cycled(texts: list[Clean], count: int) -> list[Clean]:
    return [texts[place % len(texts)] for place in range(count)]


def _prose() -> list[str]:
    return [part.source.name for part in sources.PARTS if part.prose]


if __name__ == "__main__":
    main()
