"""Documents and sentences that the perplexity filter and its rivals are measured on. Nothing here is printed or kept.

Benign text comes from sources that no model of the benchmark is trained on: forum posts, news, abstracts, web pages
(their main text, and all of their text), and the benign records of the harmful source that is left out.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import zstandard

sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))

import perplexity_sources as sources

SEED = 1
SENTENCES = 400
DOCUMENTS = 150
SHARES = (1.0, 0.5, 0.25, 0.1)
"""Harmful lines of a benign document, as shares of its lines."""
LINES = 40
"""Lines of such a document."""
_LONGEST = 6000
_FILES = {
    "forum": ("groups/forum_20ng", "text"),
    "news": ("groups/news", "text"),
    "abstracts": ("groups/pubmed_abstracts", "text"),
    "web, main text": ("web/article_extraction_wet_and_main", "main_text"),
    "web, all text": ("web/article_extraction_wet_and_main", "text"),
}

Sets = dict[str, list[str]]
"""Texts by row of the tables."""


def records(name: str) -> list[dict[str, object]]:
    """The records of one file of the data. Ends the program if it is absent."""
    path = sources.DATA / f"{name}.jsonl.zst"
    if not path.is_file():
        sys.exit(f"{path}: found no file; point TAMIS_DATA at the development data")
    with zstandard.open(path, "rb") as lines:
        return [orjson.loads(line) for line in lines.read().split(b"\n") if line]


def benign_documents() -> Sets:
    """Benign documents by kind, each cut to 6,000 characters."""
    found = {
        kind: [str(record[field])[:_LONGEST] for record in records(name)] for kind, (name, field) in _FILES.items()
    }
    return {kind: random.Random(SEED).sample(texts, min(DOCUMENTS, len(texts))) for kind, texts in found.items()}


def benign_sentences(documents: Sets) -> Sets:
    """Sentences of forum and news."""
    return {kind: random.Random(SEED).sample(_lines(documents[kind]), SENTENCES) for kind in ("forum", "news")}


def joined(texts: Sequence[str], count: int) -> list[str]:
    """Documents of 5 to 20 texts of one source."""
    rng = random.Random(SEED)
    return ["\n".join(rng.sample(texts, min(len(texts), rng.randint(5, 20)))) for _ in range(count)]


def diluted(documents: Sets, harmful: Sequence[str], share: float, seed: int) -> list[str]:
    """Benign documents of 40 lines in which one passage, of this share of the lines, is replaced by harmful ones."""
    rng = random.Random(seed)
    pool = [line for kind in ("forum", "news", "web, main text") for line in _lines(documents[kind])]
    return [_with_passage(pool, harmful, round(share * LINES), rng) for _ in range(DOCUMENTS)]


def _with_passage(pool: Sequence[str], harmful: Sequence[str], count: int, rng: random.Random) -> str:
    start = rng.randrange(len(pool) - LINES)
    lines = list(pool[start : start + LINES])
    place = rng.randint(0, LINES - count)
    lines[place : place + count] = [text.replace("\n", " ") for text in rng.sample(harmful, count)]
    return "\n".join(lines)


def _lines(texts: Sequence[str]) -> list[str]:
    return sources.sentences(texts)
