"""Static embedding: a document's vector is the mean of a fixed vector per token, so no network runs at all.

The default model is wordllama's (MIT, 32,000 tokens of 256 numbers, cut to fewer by Matryoshka training), read from the
installed package without importing it. Sums run over a document's own tokens in their order, so its vector does not
depend on its neighbours, on threads, or on a BLAS library.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.embed_vectors import Embedded, Floats
from stages.errors import ModelError

WORDLLAMA = {
    "embedding": "weights/l2_supercat_256.safetensors",
    "tokenizer": "tokenizers/l2_supercat_tokenizer_config.json",
}
TENSOR = "embedding.weight"
REMEMBERED = 200_000
"""Pieces whose tokens are kept at hand; about 50 MB."""
TOGETHER = 256
LONGEST = 32
"""Characters of the longest piece that is remembered."""
CHUNK = 256
"""Rows that are gathered at once, so that they stay in the cache of the processor."""

Ids = list[int]
Tokenise = Callable[[list[str]], list[Ids]]

_LETTERS = "A-Za-zÀ-ɏ"
_PIECE = re.compile(rf" *[{_LETTERS}]+| *[0-9]| *[^0-9{_LETTERS} \n]+| +|\n")
"""Blanks, and then letters, or one digit, or anything else: what no token of the default model reaches across."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_BLANK = "▁"


def wordllama_files() -> dict[str, Path]:
    """Weights and tokenizer of the installed wordllama, by role. Raises ModelError if it is missing or another one."""
    spec = importlib.util.find_spec("wordllama")
    place = Path(next(iter(spec.submodule_search_locations or [""]))) if spec else None
    if place is None:
        raise ModelError("found no package wordllama, expected it; run: pip install 'wordllama>=0.4,<0.5'")
    found = {role: place / name for role, name in WORDLLAMA.items()}
    for path in found.values():
        if not path.is_file():
            raise ModelError(f"{path}: found no file, expected that of wordllama 0.4; reinstall wordllama")
    return found


class Static:
    """An open static model; `most_tokens` bounds what is read of a document."""

    def __init__(self, name: str, table: Floats, tokenise: Tokenise, most_tokens: int, unit: bool) -> None:
        self.name = name
        self.dimensions = table.shape[1]
        self._table = table
        self._tokenise = tokenise
        self._most = most_tokens
        self._unit = unit
        self._rows = np.empty((CHUNK, table.shape[1]), np.float32)

    def embed(self, texts: list[str]) -> Embedded:
        """Means of token vectors, scaled to length 1 if the model says so; zeros for a text without tokens."""
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        tokens = np.zeros(len(texts), np.int32)
        for place, found in enumerate(self._tokenise(texts)):
            ids = np.array(found[: self._most], np.intp)
            if tokens_here := len(ids):
                tokens[place] = tokens_here
                vectors[place] = self._sum(ids) / np.float32(tokens_here)
        if self._unit:
            lengths = np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True))
            vectors /= np.where(lengths > 0, lengths, 1)
        return Embedded(vectors, tokens)

    def _sum(self, ids: npt.NDArray[np.intp]) -> Floats:
        total = np.zeros(self.dimensions, np.float32)
        for begin in range(0, len(ids), CHUNK):
            part = ids[begin : begin + CHUNK]
            rows = self._table.take(part, axis=0, out=self._rows[: len(part)], mode="clip")
            total += np.add.reduce(rows, axis=0)
        return total


def open_static(name: str, files: Mapping[str, Path], most_tokens: int, unit: bool = False) -> Static:
    """The model of a table of token vectors (safetensors) and a tokenizer. Raises ModelError if they do not fit."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    try:
        tables = load_file(files["embedding"])
        tokenizer = Tokenizer.from_file(str(files["tokenizer"]))
    except (SafetensorError, OSError, TypeError) as error:
        raise ModelError(f"{files['embedding']}: cannot be read ({error}); copy the model again") from error
    except Exception as error:  # the tokenizers library raises bare ones
        raise ModelError(f"{files['tokenizer']}: is no tokenizer ({error}); copy the model again") from error
    table = tables.get(TENSOR)
    if table is None or table.ndim != 2 or len(table) < tokenizer.get_vocab_size():
        raise ModelError(
            f"{files['embedding']}: found {', '.join(tables)}, expected '{TENSOR}' with a row for each of "
            f"{tokenizer.get_vocab_size()} tokens; use the tokenizer and the weights of one model"
        )
    return Static(name, np.ascontiguousarray(table, np.float32), tokeniser(tokenizer), most_tokens, unit)


def tokeniser(tokenizer: Any) -> Tokenise:
    """Tokens of texts, without special ones: remembered by word where that is exact, else by the library alone."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if parts_are_independent(tokenizer):
        return Words(tokenizer)
    return lambda texts: _encoded(tokenizer, texts)


def parts_are_independent(tokenizer: Any) -> bool:
    """Whether every token lies within one piece (`_PIECE`), in a tokenizer made like Llama's.

    Merges of byte pairs then never cross such an end, so that a text's tokens are those of its pieces in a row, and the
    end of a line is a token of its own.
    """
    import json

    state = json.loads(tokenizer.to_str())
    blanks = [
        {"type": "Prepend", "prepend": _BLANK},
        {"type": "Replace", "pattern": {"String": " "}, "content": _BLANK},
    ]
    apart = {added["content"] for added in state["added_tokens"]}
    model, normalizer = state["model"], state["normalizer"] or {}
    return (
        model["type"] == "BPE"
        and bool(model["byte_fallback"])
        and not model["dropout"]
        and state["pre_tokenizer"] is None
        and normalizer.get("normalizers") == blanks
        and all(added["special"] and not added["normalized"] for added in state["added_tokens"])
        and all(
            token in apart or _BYTE.fullmatch(token) or _PIECE.fullmatch(token.replace(_BLANK, " "))
            for token in model["vocab"]
        )
    )


class Words:
    """The tokens of texts by way of their words, most of which were seen before: several times faster, and the same."""

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import Tokenizer, normalizers

        self._whole = tokenizer
        self._part = Tokenizer.from_str(tokenizer.to_str())
        self._part.normalizer = normalizers.Replace(" ", _BLANK)
        self._special = [added.content for added in tokenizer.get_added_tokens_decoder().values()]
        (self._end,) = _encoded(self._part, ["\n"])[0]
        self._known: dict[str, Ids] = {"\n": [self._end]}

    def __call__(self, texts: list[str]) -> list[Ids]:
        """The tokens of each text."""
        cut = [self._pieces(text) for text in texts]
        long = self._learn(set(chain.from_iterable(pieces for pieces in cut if pieces is not None)))
        found = [
            list(chain.from_iterable(map(self._known.__getitem__, pieces)))
            if pieces is not None
            else _encoded(self._whole, [text])[0]
            for text, pieces in zip(texts, cut, strict=True)
        ]
        for piece in long:
            del self._known[piece]
        return found

    def _pieces(self, text: str) -> list[str] | None:
        """The pieces of a text; None for one in which a special token is written."""
        if any(token in text for token in self._special):
            return None
        return _PIECE.findall(" " + text.replace(_BLANK, " ")) if text else []

    def _learn(self, pieces: set[str]) -> list[str]:
        """Know these pieces; gives those that are too long to be remembered after this call."""
        new = [piece for piece in pieces if piece not in self._known]
        if len(self._known) + len(new) > REMEMBERED:
            self._known, new = {"\n": [self._end]}, [piece for piece in pieces if piece != "\n"]
        for begin in range(0, len(new), TOGETHER):
            self._known.update(self._tokens(new[begin : begin + TOGETHER]))
        return [piece for piece in new if len(piece) > LONGEST]

    def _tokens(self, pieces: list[str]) -> Iterator[tuple[str, Ids]]:
        """Pieces with their tokens, found in one call as lines of one text, which costs a third of a call for each."""
        ids = _encoded(self._part, ["\n".join(pieces)])[0]
        begin = 0
        for piece in pieces:
            end = ids.index(self._end, begin) if piece is not pieces[-1] else len(ids)
            yield piece, ids[begin:end]
            begin = end + 1


def _encoded(tokenizer: Any, texts: list[str]) -> list[Ids]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
