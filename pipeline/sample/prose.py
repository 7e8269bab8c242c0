"""Readers of prose: speeches, encyclopedia articles, scripture, dialogues, licence texts, reference pages.

Each takes a file and its path within the package, and raises UnknownForm (or what its parser raises) if the file is not
what the package is known to hold; `documents.read_all` turns that into a report.
"""

import ast
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import yaml

from pipeline.sample.documents import Document, UnknownForm, grouped

_YAML_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_DIALOGUE_LANGUAGES = {
    "bengali": "bn",
    "chinese": "zh-Hans",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "hebrew": "he",
    "hindi": "hi",
    "hinglish": "hi-Latn",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "marathi": "mr",
    "oriya": "or",
    "persian": "fa",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "tamil": "ta",
    "telugu": "te",
    "thai": "th",
    "traditionalchinese": "zh-Hant",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "yoruba": "yo",
}

_CHAPTERS = """
    SELECT books.slug, books.common_name, verses.chapter_number, verses.text
    FROM verses JOIN books ON books.id = verses.book_id
    ORDER BY books.sort_order, verses.chapter_number, verses.verse_number
"""


def read_speech(path: Path, key: str) -> Iterator[Document]:
    """One speech of the United States' presidents to Congress, whole: 5 to 220 kB. The name starts with its year."""
    year = path.stem.split("-")[0]
    yield Document(path.stem, path.read_text("utf-8"), {"title": path.stem, "language": "en", "year": year})


def read_articles(path: Path, key: str) -> Iterator[Document]:
    """The introductions of encyclopedia articles; the file of a language is `summaries_en-us.json` and so on."""
    language = path.stem.removeprefix("summaries_").split("-")[0]
    articles = orjson.loads(path.read_bytes())
    if not isinstance(articles, dict):
        raise UnknownForm(f"expected an object of articles by title, found {type(articles).__name__}")
    for title, article in articles.items():
        if not isinstance(article, dict) or not isinstance(article.get("extract"), str):
            raise UnknownForm("expected an object with a text `extract` for every article")
        fields = {"title": title, "language": language, "topic": str(article.get("topic") or "")}
        yield Document(f"{language}/{title.replace(' ', '_')}", article["extract"], fields)


def read_chapters(path: Path, key: str) -> Iterator[Document]:
    """The chapters of one translation of the Bible, one verse a line."""
    edition = path.stem.removeprefix("bible_")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        rows = database.execute(_CHAPTERS).fetchall()
    chapters: dict[tuple[str, str, int], list[str]] = {}
    for slug, book, number, verse in rows:
        chapters.setdefault((slug, book, number), []).append(str(verse))
    for (slug, book, number), verses in chapters.items():
        fields = {"title": f"{book} {number} ({edition.upper()})", "language": "en"}
        yield Document(f"{edition}/{slug}/{number:03}", "\n".join(verses), fields)


def read_dialogues(path: Path, key: str) -> Iterator[Document]:
    """Short dialogues on one topic, one turn a line and a blank line after each dialogue; about 2,000 bytes each."""
    folder = path.parent.name
    if folder not in _DIALOGUE_LANGUAGES:
        raise UnknownForm(f"unknown language folder {folder!r}")
    content = yaml.load(path.read_text("utf-8"), Loader=_YAML_LOADER)
    dialogues = content.get("conversations") if isinstance(content, dict) else None
    if not isinstance(dialogues, list):
        raise UnknownForm("expected a list of `conversations`")
    fields = {"title": path.stem, "language": _DIALOGUE_LANGUAGES[folder]}
    for number, text in enumerate(grouped([_turns(dialogue) for dialogue in dialogues], "\n\n"), 1):
        yield Document(f"{folder}/{path.stem}/{number:03}", text, fields)


def _turns(dialogue: object) -> str:
    """Join the turns of a dialogue; its items are texts, or mappings of one turn's text and hints about it."""
    turns = dialogue if isinstance(dialogue, list) else [dialogue]
    texts = [turn.get("text", "") if isinstance(turn, dict) else turn for turn in turns]
    return "\n".join(str(text).strip() for text in texts)


def read_licences(path: Path, key: str) -> Iterator[Document]:
    """The licence texts of the module's table `LICENSES`: pairs of SPDX identifier and text."""
    for name, text in _literal(path, "LICENSES"):
        yield Document(name, text, {"title": name, "language": "en"})


def read_topics(path: Path, key: str) -> Iterator[Document]:
    """The pages of the language reference that `help()` shows: the module's table `topics`, text by name."""
    for name, text in _literal(path, "topics").items():
        yield Document(name, text, {"title": name, "language": "en"})


def _literal(path: Path, name: str) -> Any:
    """Give the literal that a Python module binds to a name, without importing the module.

    Raises:
        UnknownForm: the module binds no literal to the name.
        SyntaxError: the file is not Python.
    """
    for statement in ast.parse(path.read_bytes()).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return ast.literal_eval(statement.value)
    raise UnknownForm(f"expected a literal named {name}")
