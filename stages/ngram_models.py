"""N-gram language models: `NAME.klm`, a file of KenLM, and `NAME.json`, the card that says what it is.

The card names the normaliser that the model was trained with, and `open_model` refuses a model whose normaliser is
not the one it would score with. The file is mapped, not read: processes of one machine share its pages.
KenLM: "KenLM: Faster and Smaller Language Model Queries" (2011).
"""

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from stages.errors import ConfigError, ModelError
from stages.model_files import sha256_of
from stages.normalisers import Normaliser, normaliser

Kind = Literal["harmful", "background", "clean", "weights"]
Binary = Literal["trie", "probing", "arpa"]
KINDS: tuple[Kind, ...] = ("harmful", "background", "clean")
"""What `tamis train perplexity` makes; `weights` of single words are no estimate of a text."""

REMEDY = "train it with `tamis train perplexity`, or copy the .klm and its .json together"
_HEADER = re.compile(rb"mmap lm \S+ (?:format version (\d+)|incomplete)\n")
_HEADER_BYTES = 64
_EXPECTED = "a KenLM binary of format version 5"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The threshold that a labelled set gave for one score, and how well it judged that set (shares of 1)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    score: str
    threshold: float
    target: str
    """What the threshold was chosen for, such as `precision 0.9`."""
    precision: float | None
    """None if the threshold drops nothing of that set."""
    recall: float
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Whatever else the calibration found, as JSON values: sources, counts, intervals, percentiles."""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a model is and how it was made."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    kind: Kind
    language: str
    """Language code of the text it was trained on, as the stage `language` gives it."""
    normaliser: str
    normaliser_version: str
    order: int
    documents: dict[str, int]
    """Number of training documents by source."""
    sentences: int
    """Lines that the normaliser made of them."""
    tokens: int
    """Tokens in those lines, ends of sentence not counted."""
    pruning: tuple[int, ...]
    """N-grams seen this often or less are left out, by order; the last entry stands for all higher orders."""
    binary: Binary
    """KenLM's data structure; `arpa` is text, which every process parses and holds for itself."""
    quantisation_bits: int
    """Bits of a stored probability and of a stored backoff (0: not quantised)."""
    sha256: str
    bytes: int
    """Size of the .klm."""
    licence: str
    """Of the training text, as the person who trained it says."""
    command: str
    """The command that made it."""
    tool: str
    unknown_log10: float | None = None
    """Log10 probability that was given to words never seen in training (None: as estimated)."""
    calibration: Calibration | None = None
    percentiles: dict[str, float] | None = None
    """Of a clean model: the perplexities up to which a document of its language is `head`, and `middle`."""


@dataclasses.dataclass(frozen=True)
class OpenModel:
    """A verified model, mapped into memory. Pickles as its path: another process opens (and verifies) it anew."""

    path: Path
    card: ModelCard
    normaliser: Normaliser
    score: Callable[[str | bytes], float]
    """KenLM's log10 probability of one line with its end of sentence."""

    def __reduce__(self) -> tuple[Callable[[Path], "OpenModel"], tuple[Path]]:
        return open_model, (self.path,)


def line_scores(model: OpenModel, lines: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Log10 probability and number of tokens of each line, the end of sentence included in both.

    `lines` must come from the model's own normaliser: tokens with one blank between them.
    """
    encoded = list(map(str.encode, lines))
    return scores_of(model, encoded), np.fromiter(map(bytes.count, encoded, repeat(b" ")), np.int64, len(lines)) + 2


def scores_of(model: OpenModel, lines: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """Log10 probability of each line of `Pieces`, the end of sentence included."""
    return np.fromiter(map(model.score, lines), np.float64, len(lines))


def perplexity(log10_probability: float, tokens: int) -> float:
    """Perplexity of `tokens` tokens (ends of sentence counted), of which log10 of the probability is given.

    >>> perplexity(-6.0, 3)
    100.0
    """
    return float(10.0 ** (-log10_probability / tokens))


def open_model(path: Path) -> OpenModel:
    """Verify and open a model. Raises ModelError if the file, its card, or its normaliser is not what it should be."""
    card = read_card(path)
    _check_file(path, card)
    function = _normaliser_of(path, card)
    return OpenModel(path, card, function, _kenlm(path).score)


def card_path(path: Path) -> Path:
    """Where the card of the model `path` is.

    >>> card_path(Path("models/en.harmful.klm")).name
    'en.harmful.json'
    """
    return path.with_suffix(".json")


def card_json(card: ModelCard) -> bytes:
    """The card as it is written to its file. Raises ValueError if a number in it is NaN or infinite: no JSON."""
    return (json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_card(path: Path) -> ModelCard:
    """The card of the model `path`. Raises ModelError if model or card is missing, or the card is none."""
    import pydantic
    import pydantic_core

    if not path.is_file():
        raise ModelError(f"{path}: found no file, expected an n-gram model; mend the path, or {REMEDY}")
    place = card_path(path)
    if not place.is_file():
        raise ModelError(f"{place}: found no file, expected the card of the model {path.name}; {REMEDY}")
    try:
        value = pydantic_core.from_json(place.read_bytes(), allow_inf_nan=False)
    except ValueError as error:
        raise ModelError(f"{place}: the file: Invalid JSON ({error}), expected the card of a model; {REMEDY}") from None
    try:
        return pydantic.TypeAdapter(ModelCard).validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelError(f"{place}: {key}: {first['msg']}, expected the card of a model; {REMEDY}") from None


def _check_file(path: Path, card: ModelCard) -> None:
    """Magic, size and checksum, the cheapest first."""
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    found = _what(start)
    expected = "an ARPA text file" if card.binary == "arpa" else _EXPECTED
    if found != expected:
        raise ModelError(f"{path}: found {found}, expected {expected}; {REMEDY}")
    stat = path.stat()
    if stat.st_size != card.bytes:
        raise ModelError(
            f"{path}: found {stat.st_size:,} bytes, expected {card.bytes:,} as its card says (truncated?); {REMEDY}"
        )
    digest = _checksum(path, stat.st_mtime_ns, stat.st_size)
    if digest != card.sha256:
        raise ModelError(f"{path}: found SHA-256 {digest}, expected {card.sha256} as its card says; {REMEDY}")


@lru_cache(maxsize=256)
def _checksum(path: Path, changed: int, size: int) -> str:
    """SHA-256, once per process for a file that did not change."""
    return sha256_of(path)


def _what(start: bytes) -> str:
    if start.startswith(b"\\data\\"):
        return "an ARPA text file"
    if header := _HEADER.match(start):
        return (
            f"a KenLM binary of format version {header[1].decode()}" if header[1] else "a KenLM binary left incomplete"
        )
    return f"a file that starts with bytes {start[:8].hex() or '(none)'}"


def _normaliser_of(path: Path, card: ModelCard) -> Normaliser:
    try:
        function = normaliser(card.normaliser)
    except ConfigError as error:
        raise ModelError(f"{card_path(path)}: {error}; train the model again with one of these") from None
    if function.version != card.normaliser_version:
        raise ModelError(
            f"{card_path(path)}: found normaliser '{card.normaliser}' of version {card.normaliser_version}, expected "
            f"version {function.version}, which this Tamis has: train the model again, or use the Tamis that made it"
        )
    return function


def _kenlm(path: Path) -> Any:
    """KenLM's own object, whose pages are read when they are needed."""
    import kenlm

    config = kenlm.Config()
    config.load_method = kenlm.LoadMethod.LAZY
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        return kenlm.Model(str(path), config)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path}: KenLM cannot open it ({error}); {REMEDY}") from error
