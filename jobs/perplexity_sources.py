"""The texts that the default perplexity models are made of: which files, which records, how much, under which licence.

All are of tier A of the development data (open licence or public domain) or of the quickstart corpus. The texts
themselves are never written anywhere but into a temporary directory while a model is trained.
"""

import codecs
import os
import random
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import InputConfig
from pipeline.documents_of import documents_of
from pipeline.formats import BadRecord
from pipeline.where import parse_conditions

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TAMIS_DATA", str(ROOT.parent / "shared" / "data")))
SAMPLE = ROOT / "data" / "sample"

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_LONGEST_SENTENCE = 600
_LONGEST_DOCUMENT = 20_000


@dataclass(frozen=True)
class Source:
    """One file, or the records of it that meet `where`."""

    name: str
    path: str
    """Below the data (`harmful/...`), or below the quickstart corpus (`sample/...`)."""
    licence: str
    where: tuple[str, ...] = ()
    characters: int = 0
    """Sentences are drawn until there are so many characters (0: all records, as they are)."""
    rot13: bool = False
    """Whether letters are rotated by 13, as in the files of `fortune -o`."""

    @property
    def short(self) -> bool:
        """Whether a record is a sentence or a comment, not a document."""
        return not self.characters


_A = "CC BY 4.0"
_GROUP_CHARACTERS = 400_000
_MHC = "harmful/multilingual_hatecheck"
_WIKIPEDIA = "CC BY-SA 4.0 (Wikipedia)"

_CIVIL = Source("civil_comments", "harmful/civil_comments_toxic", "CC0 1.0")
_TWEETS = Source("davidson_tweets", "harmful/davidson_tweets", "MIT", ("label!=neither",))
_TALK = Source("wikipedia_talk", "harmful/wikipedia_talk_toxic", "CC BY 4.0", ("label=True",))
_TOXIGEN = Source("toxigen", "harmful/toxigen_prompt_sentences", "CDLA-Permissive-2.0", ("label=hate",))
_GERMEVAL = Source("germeval2018", "harmful/germeval2018_de", _A, ("label=OFFENSE",))


def _hatecheck(language: str, label: str) -> Source:
    return Source("multilingual_hatecheck", _MHC, _A, (f"lang={language}", f"label={label}"))


def _fortunes(language: str) -> Source:
    licence = f"GPL-2+ (Debian fortunes-{language}-off)"
    return Source("fortunes", "harmful/fortunes_offensive_it_es", licence, (f"lang={language}",), 0, language == "es")


HARMFUL: dict[str, tuple[Source, ...]] = {
    "en": (_CIVIL, _TWEETS, _TALK, _TOXIGEN),
    "de": (_GERMEVAL, _hatecheck("de", "hateful")),
    "fr": (_hatecheck("fr", "hateful"),),
    "es": (_hatecheck("es", "hateful"), _fortunes("es")),
    "it": (_hatecheck("it", "hateful"), _fortunes("it")),
}
"""Training text of the harmful models, by language."""


def _group(name: str, licence: str, characters: int = _GROUP_CHARACTERS) -> Source:
    return Source(name, f"groups/{name}", licence, (), characters)


def _sample(name: str, licence: str, language: str = "") -> Source:
    where = (f"language={language}",) if language else ()
    return Source(f"sample {name}", f"sample/{name}", licence, where, _GROUP_CHARACTERS)


def _sentences(language: str) -> tuple[Source, ...]:
    """What there is in every language."""
    return (
        Source("stsb", "related/stsb_multi_dev", "CC BY-SA 4.0", (f"lang={language}",)),
        Source("lingua79", "language/lingua79", f"{_A} (Leipzig Corpora)", (f"label={language}", "kind=sentences")),
        Source("xquad", "language/xquad_paragraphs_12lang", "CC BY-SA 4.0", (f"label={language}",), _GROUP_CHARACTERS),
        Source("udhr", "language/udhr2_blocks", "UN, free reproduction", (f"label={_UDHR[language]}",)),
        _sample("dialogues", "BSD-3-Clause", language),
        _sample("account_messages", "MIT", language),
        _sample("ui_catalogues", "BSD-3-Clause", language),
    )


_UDHR = {"en": "eng", "de": "deu", "fr": "fra", "es": "spa", "it": "ita"}

BACKGROUND: dict[str, tuple[Source, ...]] = {
    "en": (
        Source("davidson_tweets", "harmful/davidson_tweets", "MIT", ("label=neither",)),
        Source("wikipedia_talk", "harmful/wikipedia_talk_toxic", "CC BY 4.0", ("label=False",)),
        Source("toxigen", "harmful/toxigen_prompt_sentences", "CDLA-Permissive-2.0", ("label=neutral",)),
        _group("books", "public domain"),
        _group("medical_web", _A),
        _group("finance_gov", "public domain"),
        _group("law_en", "MIT"),
        _group("wiki", "CC BY-SA 3.0"),
        _group("stackexchange", "CC BY-SA 3.0", 1_000_000),
        _group("code_python", "MIT", 200_000),
        _group("math_latex", "GFDL 1.2", 200_000),
        Source("onestopenglish", "quality/onestopenglish_levels", "CC BY-SA 4.0", (), _GROUP_CHARACTERS),
        _sample("encyclopedia", _WIKIPEDIA, "en"),
        _sample("speeches", "public domain"),
        _sample("scripture", "public domain"),
        _sample("python_docs", "PSF-2.0"),
        *_sentences("en"),
    ),
    "de": (
        Source("germeval2018", "harmful/germeval2018_de", _A, ("label=OTHER",)),
        _hatecheck("de", "non-hateful"),
        _group("law_de", "public domain"),
        *_sentences("de"),
    ),
    "fr": (_hatecheck("fr", "non-hateful"), _sample("encyclopedia", _WIKIPEDIA, "fr"), *_sentences("fr")),
    "es": (_hatecheck("es", "non-hateful"), _sample("encyclopedia", _WIKIPEDIA, "es"), *_sentences("es")),
    "it": (_hatecheck("it", "non-hateful"), *_sentences("it")),
}
"""Training text of the background models, by language."""


def read(source: Source) -> list[str]:
    """The chosen records of a source, each at most 20,000 characters. Ends the program if its file is absent."""
    place = SAMPLE.parent if source.path.startswith("sample/") else DATA
    path = place / f"{source.path}.jsonl.zst"
    if not path.is_file():
        sys.exit(f"{path}: found no file; point TAMIS_DATA at the development data, and run `tamis sample`")
    chosen = parse_conditions(source.where)
    found = documents_of(InputConfig(paths=(str(path),)), _stop)
    texts = [document.text[:_LONGEST_DOCUMENT] for document, fields in found if chosen(fields)]
    return [codecs.decode(text, "rot13") for text in texts] if source.rot13 else texts


def _stop(record: BadRecord) -> None:
    sys.exit(f"{record.place.url}: found a record that cannot be read ({record.reason}), expected the data as it came")


def training_texts(source: Source, texts: list[str], seed: int) -> list[str]:
    """What of these records a model is trained on: all of them, or sentences drawn up to `source.characters`."""
    if source.short:
        return texts
    found = sentences(texts)
    random.Random(seed).shuffle(found)
    total, taken = 0, []
    for sentence in found:
        if total >= source.characters:
            break
        taken.append(sentence)
        total += len(sentence)
    return taken


def sentences(texts: Iterable[str]) -> list[str]:
    """The sentences and lines of texts, without those of fewer than 20 characters."""
    parts = (part.strip()[:_LONGEST_SENTENCE] for text in texts for part in _SENTENCE_END.split(text))
    return [part for part in parts if len(part) >= 20]


def documents(source: Source, texts: list[str], count: int, seed: int) -> list[str]:
    """At most `count` documents to judge: those of the source, or 5 to 20 of its sentences or comments each."""
    rng = random.Random(seed)
    if not source.short:
        return rng.sample(texts, min(count, len(texts)))
    return ["\n".join(rng.sample(texts, min(len(texts), rng.randint(5, 20)))) for _ in range(count)]
