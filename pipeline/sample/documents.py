"""What the readers of the sample give: documents, and files that could not be read."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

PIECE_BYTES = 2_000
FRAGMENT_BYTES = 200


@dataclass(frozen=True)
class Document:
    """One text; `key` is unique within its source, `fields` hold what the file declares (title, language, ...)."""

    key: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """A file that gave no document, and the reason in one line."""

    key: str
    reason: str


class UnknownForm(ValueError):
    """A file is not of the form that its package is known to use."""


Reader = Callable[[Path, str], Iterable[Document]]


def read_all(files: Iterable[tuple[Path, str]], read: Reader) -> Iterator[Document | Unreadable]:
    """Read each (path, key) as a whole: all of its documents with any text in them, or one `Unreadable`.

    A damaged file thus never gives half of its documents. Blank documents, such as an empty `__init__.py`, are no text
    and are left out.
    """
    for path, key in files:
        try:
            documents = [document for document in read(path, key) if document.text.strip()]
        except (OSError, ValueError, SyntaxError, sqlite3.DatabaseError, yaml.YAMLError) as problem:
            yield Unreadable(key, f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}")
        else:
            yield from documents


def grouped(pieces: Iterable[str], separator: str, target: int = PIECE_BYTES) -> list[str]:
    r"""Join consecutive pieces to texts of about `target` UTF-8 bytes; a short rest, under 200 bytes, joins the last.

    >>> grouped(["a" * 9, "b" * 9, "c" * 300], "\n", target=15) == ["a" * 9 + "\n" + "b" * 9, "c" * 300]
    True
    """
    groups: list[list[str]] = []
    size = target
    for piece in pieces:
        if size >= target:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += len(piece.encode())
    if len(groups) > 1 and size < FRAGMENT_BYTES:
        groups[-2].extend(groups.pop())
    return [separator.join(group) for group in groups]
