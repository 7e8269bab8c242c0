"""Readers of program code: each file is a document."""

import tokenize
from collections.abc import Iterator
from pathlib import Path

from pipeline.sample.documents import Document

_FORMATS = {
    ".py": "Python",
    ".py-tpl": "Python template",
    ".html": "HTML",
    ".js": "JavaScript",
    ".css": "CSS",
    ".txt": "text",
}


def read_code(path: Path, key: str) -> Iterator[Document]:
    """One file of code. Python files are decoded as their coding line says, all others as UTF-8."""
    if path.suffix == ".py":
        with tokenize.open(path) as file:
            text = file.read()
    else:
        text = path.read_text("utf-8")
    yield Document(key, text, {"title": path.name, "format": _FORMATS[path.suffix]})
