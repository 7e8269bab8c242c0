"""Readers of gettext catalogues: the messages of a program in one language, as documents."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline.sample.documents import FRAGMENT_BYTES, Document, UnknownForm, grouped

MESSAGE_BYTES = 20

_LINE = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)[ \t]+)?"(.*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def read_catalogue(path: Path, key: str) -> Iterator[Document]:
    """The messages of a catalogue of at least 20 bytes, in the order of the program, about 2,000 bytes a document.

    Shorter messages are labels ("Save") rather than running text. A catalogue with less than 200 bytes of longer ones
    gives no document. The path of a catalogue is `.../APP/locale/LANGUAGE/LC_MESSAGES/DOMAIN.po`.
    """
    parts = PurePosixPath(key).parts
    app, language = parts[-5], parts[-3].replace("_", "-")
    found = [message for message in messages(path.read_text("utf-8")) if len(message.encode()) >= MESSAGE_BYTES]
    texts = grouped(found, "\n")
    if len(texts) == 1 and len(texts[0].encode()) < FRAGMENT_BYTES:
        return
    for number, text in enumerate(texts, 1):
        fields = {"title": f"{app} {path.stem}", "language": language}
        yield Document(f"{language}/{app}/{path.stem}/{number:03}", text, fields)


def messages(catalogue: str) -> Iterator[str]:
    r"""The translations of a catalogue in its order; of plural forms the last. Not the fuzzy, obsolete and empty ones.

    Raises:
        UnknownForm: a line is neither a comment nor a message.

    >>> list(messages('#: a.py\nmsgid "Yes"\nmsgstr "Oui"\n\n#, fuzzy\nmsgid "No"\nmsgstr "Nom"'))
    ['Oui']
    """
    for block in catalogue.split("\n\n"):
        entry = _entry(block)
        translation = list(entry.values())[-1] if entry else ""
        if translation and entry.get("msgid"):
            yield translation


def _entry(block: str) -> dict[str, str]:
    """Give the keywords of one entry and their texts; nothing for a fuzzy or obsolete one."""
    entry: dict[str, str] = {}
    keyword = ""
    for line in filter(None, map(str.strip, block.splitlines())):
        if line.startswith("#~") or (line.startswith("#,") and "fuzzy" in line):
            return {}
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or not (match[1] or keyword):
            raise UnknownForm(f"not a line of a gettext catalogue, {len(line)} characters long")
        keyword = match[1] or keyword
        entry[keyword] = entry.get(keyword, "") + _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), match[2])
    return entry
