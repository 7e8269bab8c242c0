"""Tokenizers by name: the small one that comes with Tamis, plain bytes, or any `tokenizer.json` on this machine.

A tokenizer turns the text of a document into ids, with the token that ends a document behind them. Nothing else is
added: no other special tokens, no padding, no truncation, and no dropout, whatever the file says. Text is never read
as a special token: a document that holds the words `<|end|>` gets ids of these characters, so no text can end a
document early. Nothing is downloaded, and a file is data: the tokenizers library runs no code of it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stages.errors import ConfigError, ModelError
from stages.model_files import sha256_of
from stages.tokenizer_pieces import Pieces, Whole, may_cut

DEFAULT, BYTES = "default", "bytes"
AUTO, NONE = "auto", "none"
END = "<|end|>"
"""The token that ends a document, in the tokenizers `default` and `bytes`."""
ENDS = (END, "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<|eot_id|>", "[EOS]", "[SEP]")
"""Names that `auto` looks for, the first of them that the vocabulary has."""
DEFAULT_FILE = Path(__file__).parent / "models" / "tokenizer" / "tokenizer.json"
FILE = "tokenizer.json"
_CHOICES = f"'{DEFAULT}', '{BYTES}', or the path of a {FILE} or of a directory that holds one"

Ids = npt.NDArray[np.int32]


class Coder(Protocol):
    """Text to ids and back, without the end of documents."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text."""
        ...

    def count(self, texts: Sequence[str]) -> Ids:
        """How many ids each text has."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of ids; what is no valid UTF-8 becomes U+FFFD."""
        ...


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary, and the token that ends every document. Made by `open_tokenizer`.

    >>> tokenizer = open_tokenizer("bytes")
    >>> [ids.tolist() for ids in tokenizer.encode(["café", ""])]
    [[99, 97, 102, 195, 169, 256], []]
    >>> tokenizer.count(["café", ""]).tolist(), tokenizer.decode([99, 97, 102])
    ([6, 0], 'caf')
    """

    id: str
    """`bytes`, or the name of the file (or directory) and 12 digits of its SHA-256: `default-1f2e3d4c5b6a`."""
    size: int
    """Ids are less than this: the rows that a model's table of embeddings needs."""
    end: int | None
    """The id that ends a document, or None."""
    coder: Coder = field(repr=False)

    @property
    def pad(self) -> int:
        """The id to fill up contexts with in training: the end, or 0."""
        return 0 if self.end is None else self.end

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each document (int32), the end behind them. A text without any token has no end either."""
        found = self.coder.encode(texts)
        if self.end is None:
            return found
        end = np.array([self.end], np.int32)
        return [np.concatenate([ids, end]) if ids.size else ids for ids in found]

    def count(self, texts: Sequence[str]) -> Ids:
        """The lengths of what `encode` gives, (len(texts),) int32, without making it."""
        found = self.coder.count(texts)
        return found if self.end is None else found + (found > 0)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of ids, without ends; part of a character becomes U+FFFD."""
        row = np.asarray(ids, np.int64)
        return self.coder.decode(row[row != self.end].tolist() if self.end is not None else row.tolist())


def open_tokenizer(name: str, end: str = AUTO) -> Tokenizer:
    """The tokenizer of a name: `default`, `bytes`, or the path of a tokenizer.json or of a directory that holds one.

    `end` is the token that ends a document: `auto` (the first of ENDS that the vocabulary has, if any), `none`, or a
    token of the vocabulary. Raises ModelError for a file that is missing or no tokenizer, ConfigError for an end that
    the vocabulary lacks.
    """
    path = tokenizer_file(name)
    if path is None:
        found = _end_of(BYTES, {END: 256}, end)
        return Tokenizer(tokenizer_id(name), 256 if found is None else 257, found, _Bytes())
    # Workers are processes: threads within them would only get into each other's way.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    library = _loaded(path)
    vocabulary = library.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise ModelError(f"{path}: found a tokenizer without any token, expected a vocabulary; choose {_CHOICES}")
    size = max(vocabulary.values()) + 1
    coder = Pieces(library) if may_cut(library) else Whole(library)
    return Tokenizer(tokenizer_id(name), size, _end_of(str(path), vocabulary, end), coder)


def tokenizer_file(name: str) -> Path | None:
    """The file of a tokenizer, None for `bytes`, which needs none. Raises ModelError if it is missing."""
    if name == BYTES:
        return None
    path = DEFAULT_FILE if name == DEFAULT else Path(name)
    path = path / FILE if path.is_dir() else path
    if not name or not path.is_file():
        raise ModelError(f"{path if name else 'tokenizer'}: found no file, expected {_CHOICES} (nothing is downloaded)")
    return path


def tokenizer_id(name: str) -> str:
    """The id of a tokenizer, without loading it. Raises ModelError if its file is missing."""
    path = tokenizer_file(name)
    if path is None:
        return BYTES
    label = path.resolve().parent.name if path.name == FILE else path.stem
    return f"{DEFAULT if name == DEFAULT else label or 'tokenizer'}-{sha256_of(path)[:12]}"


class _Bytes:
    """UTF-8 bytes as ids."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        return [np.frombuffer(text.encode(), np.uint8).astype(np.int32) for text in texts]

    def count(self, texts: Sequence[str]) -> Ids:
        return np.array([len(text.encode()) for text in texts], np.int32)

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


def _loaded(path: Path) -> Any:
    """The library's tokenizer of a file, as plain as can be."""
    from tokenizers import Tokenizer as Library

    try:
        library = Library.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises Exception itself
        raise ModelError(
            f"{path}: cannot be read as a tokenizer ({type(error).__name__}), expected a {FILE} of the tokenizers "
            f"library; copy it again, or choose {_CHOICES}"
        ) from error
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True
    if getattr(library.model, "dropout", None):
        library.model.dropout = None
    return library


def _end_of(where: str, vocabulary: dict[str, int], end: str) -> int | None:
    """The id of the token that ends a document. Raises ConfigError if the vocabulary lacks it."""
    if end == AUTO:
        return next((vocabulary[name] for name in ENDS if name in vocabulary), None)
    if end == NONE:
        return None
    if end not in vocabulary:
        known = [name for name in ENDS if name in vocabulary]
        raise ConfigError(
            f"tokens.end: found '{end}', which the vocabulary of {where} lacks; expected {AUTO}, {NONE}, or a token "
            f"of it{', such as ' + ', '.join(known) if known else ''}"
        )
    return vocabulary[end]
