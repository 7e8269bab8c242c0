"""Tokens: how many ids each document has under a named tokenizer, for budgets, contexts and the shares of a mixture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import Annotate, setting
from stages.errors import ConfigError
from stages.tokenizers import AUTO, BYTES, DEFAULT, Tokenizer, open_tokenizer, tokenizer_file, tokenizer_id

TOO_SHORT, TOO_LONG = "too_short", "too_long"
_SCHEMA = pa.schema([pa.field("tokens", pa.int32()), pa.field("tokenizer", pa.string())])


@dataclass(frozen=True)
class Tokens:
    """The tokens of each document; drops nothing unless `min_tokens` or `max_tokens` is set.

    Columns: `tokens` (with the one that ends the document; 0 for an empty text), and `tokenizer`, the id of what
    counted them: `bytes`, or a name with the start of the file's SHA-256. Later stages count tokens by it: `select`
    and `order` with `tokens_from: tokens`; `pack` fills contexts with these very ids.
    """

    name: ClassVar[str] = "tokens"
    version: ClassVar[str] = "1"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    tokenizer: str = setting(
        DEFAULT, "default (comes with Tamis), bytes, or the path of a tokenizer.json or its directory"
    )
    end: str = setting(AUTO, "token that ends a document: auto (the usual names), none, or a token of the vocabulary")
    min_tokens: int = setting(0, "documents with fewer tokens are dropped", filter=True)
    max_tokens: int = setting(0, "documents with more tokens are dropped (0: none)", filter=True)

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        if self.min_tokens < 0:
            raise ConfigError(f"tokens.min_tokens: found {self.min_tokens}, expected 0 or more")
        if self.max_tokens and self.max_tokens < max(self.min_tokens, 1):
            raise ConfigError(
                f"tokens.max_tokens: found {self.max_tokens}, expected 0 (no limit), or at least 1 and "
                f"tokens.min_tokens ({self.min_tokens})"
            )

    @property
    def libraries(self) -> tuple[str, ...]:
        """The library that makes the tokens; bytes need none."""
        return () if self.tokenizer == BYTES else ("tokenizers",)

    @property
    def adds(self) -> pa.Schema:
        """The same columns for every tokenizer."""
        return _SCHEMA

    @property
    def tokenizer_id(self) -> str:
        """What the column `tokenizer` says. Raises ModelError if the file is missing."""
        return tokenizer_id(self.tokenizer)

    def models(self) -> Mapping[str, Path]:
        """The tokenizer's file; none for bytes. Raises ModelError if it is missing."""
        path = tokenizer_file(self.tokenizer)
        return {} if path is None else {"tokenizer": path}

    def open_tokenizer(self) -> Tokenizer:
        """The tokenizer, for what writes ids of the same documents. Raises ModelError or ConfigError."""
        return open_tokenizer(self.tokenizer, self.end)

    def open(self) -> Annotate:
        """The annotating function, its tokenizer loaded. Raises ModelError or ConfigError."""
        tokenizer = self.open_tokenizer()

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = [text or "" for text in batch.column("text").to_pylist()]
            names = pa.repeat(pa.scalar(tokenizer.id, pa.string()), len(texts))
            return pa.RecordBatch.from_arrays([pa.array(tokenizer.count(texts), pa.int32()), names], schema=_SCHEMA)

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """`too_short` or `too_long`; null to keep."""
        tokens = annotations.column("tokens")
        short = pc.less(tokens, self.min_tokens)
        long = pc.greater(tokens, self.max_tokens or 2**31 - 1)
        return pc.case_when(
            pc.make_struct(short, long), pa.scalar(TOO_SHORT), pa.scalar(TOO_LONG), pa.scalar(None, pa.string())
        )
