"""Embedding: one vector for each document, so that documents about the same things can be found beside each other.

The default model is static and comes with the installed wordllama: thousands of documents a second on one core. Any
encoder in a directory of sentence-transformers or of transformers takes its place: slower by orders of magnitude, but
better where meaning is not in the words, and, if trained for them, in languages other than English.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from stages.contract import Annotate, setting
from stages.embed_directory import LONGEST_WINDOW, Directory, read_directory
from stages.embed_encoder import Reading, open_encoder
from stages.embed_shingles import Sketcher
from stages.embed_static import open_static, wordllama_files
from stages.embed_vectors import SCHEMA, Model, as_batch
from stages.errors import ConfigError

DEFAULT, AUTO = "default", "auto"
DEFAULT_NAME = "wordllama-l2-supercat-256"
POOLINGS = (AUTO, "mean", "cls")
DEVICES = (AUTO, "cpu", "cuda")
DTYPES = (AUTO, "float32", "float16", "bfloat16")
CHARACTERS_PER_TOKEN = 8
"""How many characters are looked at for each token that is wanted: about twice what English needs."""

_VISIBLE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Embed:
    """One vector for each document; drops nothing.

    Columns: `embedding` (float32 lists whose values are of half precision; null unless the status is ok),
    `embedding_tokens` (tokens that it was made of), `embedding_model`, and `embedding_status`: `ok`; `empty`, a text
    without any visible character or token; `invalid`, a vector with values that are not finite, or zeros alone. And
    `embedding_shingles`, a sketch of the text, by which near-duplicates are confirmed: see `embed_shingles`.
    """

    name: ClassVar[str] = "embed"
    version: ClassVar[str] = "1"
    reads: ClassVar[tuple[str, ...]] = ("text",)

    model: str = setting(
        DEFAULT, "default (static, with wordllama), or a directory of sentence-transformers or transformers"
    )
    dimensions: int = setting(
        0, "numbers that are kept of each vector, for models trained for that (Matryoshka); 0: all"
    )
    normalise: bool = setting(True, "scale vectors to length 1; false: as the model gives them")
    prefix: str = setting(AUTO, "text before every window; auto: what the model's files ask for, as E5's 'passage: '")
    pooling: str = setting(AUTO, f"{', '.join(POOLINGS)}; auto: what the model's files say, else mean")
    window: int = setting(0, f"tokens of a window; 0: what the model's files say, {LONGEST_WINDOW} at most")
    windows: int = setting(
        4, "windows of a long document that are read, from its start; their mean is weighted by tokens"
    )
    device: str = setting(AUTO, f"{', '.join(DEVICES)}; auto: cuda if there is a GPU")
    dtype: str = setting(AUTO, f"{', '.join(DTYPES)}; auto: float32 on cpu, float16 on cuda")
    batch_tokens: int = setting(0, "tokens in a batch of windows; 0: 1,024 on cpu, 32,768 on cuda")

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        for name, known in (("pooling", POOLINGS), ("device", DEVICES), ("dtype", DTYPES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"embed.{name}: found '{getattr(self, name)}', expected one of {', '.join(known)}")
        for name, least in (("dimensions", 0), ("window", 0), ("windows", 1), ("batch_tokens", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"embed.{name}: found {getattr(self, name)}, expected {least} or more")

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those that compute the vectors."""
        return ("wordllama", "tokenizers") if self.model == DEFAULT else ("torch", "transformers", "tokenizers")

    @property
    def adds(self) -> pa.Schema:
        """The same columns for every model."""
        return SCHEMA

    def models(self) -> Mapping[str, Path]:
        """All files that decide what the vectors are. Raises ModelError if one is missing or not safe to load."""
        return wordllama_files() if self.model == DEFAULT else dict(read_directory(Path(self.model)).files)

    def open(self) -> Annotate:
        """The annotating function, its model loaded. Raises ModelError or ConfigError."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        model, most_tokens = self._opened()
        if self.dimensions > model.dimensions:
            raise ConfigError(
                f"embed.dimensions: found {self.dimensions}, expected at most the {model.dimensions} of {model.name}"
            )
        dimensions, sketcher = self.dimensions or model.dimensions, Sketcher()

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = [text or "" for text in batch.column("text").to_pylist()]
            found = model.embed([shown(text, most_tokens) for text in texts])
            return as_batch(found, sketcher.column(texts), model, dimensions, self.normalise)

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """Nulls: every document is kept."""
        return pa.nulls(annotations.num_rows, pa.string())

    def _opened(self) -> tuple[Model, int]:
        """The model, and the most tokens that it reads of a document."""
        if self.model == DEFAULT:
            most = (self.window or LONGEST_WINDOW) * self.windows
            return open_static(DEFAULT_NAME, wordllama_files(), most), most
        directory = read_directory(Path(self.model))
        window = self._window(directory)
        most = window * self.windows
        if directory.static:
            return open_static(directory.name, directory.files, most, directory.unit), most
        prefix = directory.prefix if self.prefix == AUTO else self.prefix
        reading = Reading(window, self.windows, prefix, directory.lower_case)
        return open_encoder(directory, reading, self.pooling, self.device, self.dtype, self.batch_tokens), most

    def _window(self, directory: Directory) -> int:
        if self.window > directory.limit and not directory.static:
            raise ConfigError(
                f"embed.window: found {self.window}, expected at most the {directory.limit} tokens that "
                f"{self.model} takes"
            )
        return self.window or directory.preferred


def shown(text: str, most_tokens: int) -> str:
    """The part of a document that is read: without white space around it, and empty if nothing in it is visible.

    >>> shown("  a ferry\\n", 100), shown("\\0 \\n", 100), len(shown("a" * 50_000_000, 512))
    ('a ferry', '', 4096)
    """
    text = text.strip()[: CHARACTERS_PER_TOKEN * most_tokens]
    return text if _VISIBLE.search(text) else ""
