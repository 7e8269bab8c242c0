"""The labelled texts that language identification is measured on and fitted to: read from `$TAMIS_DATA`, never kept.

Half of the texts, by a hash, are for fitting and the other half for measuring, so that no number comes from a text
that a weight was fitted to.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import xxhash
import zstandard

from stages.language_codes import base, standard_code

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"
LINGUA, UDHR, XQUAD, MIXED = "lingua79", "udhr2_blocks", "xquad_paragraphs_12lang", "mixed_language_docs_xquad"


@dataclass(frozen=True)
class Labelled:
    """One text with the base code of its language."""

    text: str
    lang: str
    kind: str
    held_out: bool


def data_folder() -> Path:
    """The folder of the language data; ends the program with a message where it is absent."""
    folder = Path(os.environ.get("TAMIS_DATA", str(DEFAULT_DATA))) / "language"
    if not (folder / f"{LINGUA}.jsonl.zst").is_file():
        sys.exit(f"{folder}: found no {LINGUA}.jsonl.zst; point TAMIS_DATA at the folder that holds language/")
    return folder


def records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The records of one file of the data."""
    with zstandard.open(folder / f"{name}.jsonl.zst", "rb") as lines:
        for line in lines.read().splitlines():
            yield orjson.loads(line)


def labelled(folder: Path) -> list[Labelled]:
    """All single-language texts: lingua's three classes, the blocks of the UDHR and the paragraphs of XQuAD."""
    return [
        _labelled(record["text"], record["label"], record.get("kind", name))
        for name in (LINGUA, UDHR, XQUAD)
        for record in records(folder, name)
    ]


def is_held_out(text: str) -> bool:
    """Whether the text is in the half that nothing is fitted to."""
    return xxhash.xxh3_64_intdigest(text.encode()) % 2 == 0


def _labelled(text: str, label: str, kind: str) -> Labelled:
    """UDHR labels are ISO 639-3 with a variant (`por_BR`), or a number where there is no code."""
    code = label.partition("_")[0] if kind == UDHR else label
    lang = base(standard_code(f"{code}_Zzzz" if kind == UDHR else code)) if code.isalpha() else label
    return Labelled(text, lang, kind, is_held_out(text))
