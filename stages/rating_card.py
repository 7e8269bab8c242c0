"""A student rater on disk: `student.safetensors` with its numbers, `student.json` with what it is.

DIR/student.safetensors     heads and tables
DIR/student.json            the card: criteria, sources, licence, command, figures, the checksum of the numbers
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from stages.errors import ModelError
from stages.model_files import sha256_of
from stages.rating_heads import Heads
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.rating_tokens import VOCABULARY, WIDTH, Tables

DEFAULT = Path(__file__).parent / "models" / "rating"
"""The student that comes with Tamis."""
WEIGHTS, CARD = "student.safetensors", "student.json"
REMEDY = "train it with `tamis train rater`, or copy student.safetensors and student.json together"
Kind = Literal["trained", "proxy", "null"]


@dataclasses.dataclass(frozen=True)
class StudentCard:
    """What a student is and how it was made."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}

    name: str
    """Of the rater, as the column `rater` gives it."""
    features: str
    """Version of the statistics it was fitted on."""
    statistics: tuple[str, ...]
    """Their names, in the order of the weights."""
    criteria: dict[str, Kind]
    """`trained`: fitted on labels; `proxy`: the mean of others, see `proxies`; `null`: not rated."""
    proxies: dict[str, tuple[str, ...]]
    domains: tuple[str, ...]
    """Domains it can answer; if there are none, it gives no domain."""
    languages: tuple[str, ...]
    """Languages of the text it was fitted on."""
    documents: dict[str, int]
    """Number of training documents by source."""
    sha256: str
    """Of student.safetensors."""
    bytes: int
    embedding_sha256: str
    """Of the token vectors that its weights belong to."""
    licence: str
    """Of the training text."""
    command: str
    teacher: str
    """Who rated the training text; `graded damage` if its order was made."""
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)


def student_directory(setting: str) -> Path:
    """The directory that the setting `model` names. Raises ModelError if it holds no student."""
    path = DEFAULT if setting == "default" else Path(setting)
    for name in (WEIGHTS, CARD):
        if not (path / name).is_file():
            raise ModelError(f"rating.model: {path}: found no {name}, expected a directory with both files; {REMEDY}")
    return path


def read_card(directory: Path) -> StudentCard:
    """The card of a student. Raises ModelError if it is no card or names criteria that there are not."""
    from pydantic import TypeAdapter, ValidationError

    path = directory / CARD
    try:
        card = TypeAdapter(StudentCard).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(f"{path}: found {where}: {first['msg']}; expected a student's card; {REMEDY}") from None
    if tuple(card.criteria) != CRITERIA:
        raise ModelError(f"{path}: found criteria {', '.join(card.criteria)}, expected {', '.join(CRITERIA)}; {REMEDY}")
    proxies = {name for name, kind in card.criteria.items() if kind == "proxy"}
    trained = {name for name, kind in card.criteria.items() if kind == "trained"}
    if proxies != set(card.proxies) or not all(of and set(of) <= trained for of in card.proxies.values()):
        raise ModelError(f"{path}: found proxies of {card.proxies}, expected trained criteria for each proxy; {REMEDY}")
    return card


def card_json(card: StudentCard) -> bytes:
    """The card as it is written to its file."""
    return (json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_student(directory: Path, card: StudentCard) -> tuple[Heads, Tables]:
    """The numbers of a student. Raises ModelError if they are not those of the card, or not of the right shapes."""
    path = directory / WEIGHTS
    found = sha256_of(path)
    if found != card.sha256:
        raise ModelError(f"{path}: found SHA-256 {found}, expected {card.sha256} as {CARD} says; {REMEDY}")
    arrays = _arrays(path)
    _check_shapes(path, arrays, len(card.statistics))
    parts = [
        kind(**{field.name: arrays[f"{prefix}.{field.name}"] for field in dataclasses.fields(kind)})
        for prefix, kind in _PARTS.items()
    ]
    heads, tables = parts
    assert isinstance(heads, Heads)
    assert isinstance(tables, Tables)
    return heads, tables


def student_bytes(heads: Heads, tables: Tables) -> bytes:
    """The file of numbers; heads are stored with 16 bits."""
    from safetensors.numpy import save

    arrays = {}
    for prefix, part in (("heads", heads), ("tables", tables)):
        for field in dataclasses.fields(part):
            values = np.ascontiguousarray(getattr(part, field.name))
            arrays[f"{prefix}.{field.name}"] = values.astype(np.float16) if _halved(prefix, field.name) else values
    return bytes(save(arrays))


_PARTS: dict[str, type[Heads] | type[Tables]] = {"heads": Heads, "tables": Tables}


def _halved(prefix: str, name: str) -> bool:
    return prefix == "heads" and name not in ("mean", "scale")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: found no safetensors file ({error}), expected a student's weights; {REMEDY}"
        ) from error
    return {name: v.astype(np.float32) if v.dtype == np.float16 else v for name, v in arrays.items()}


def _check_shapes(path: Path, arrays: dict[str, np.ndarray], statistics: int) -> None:
    names = {f"{prefix}.{field.name}" for prefix, kind in _PARTS.items() for field in dataclasses.fields(kind)}
    if names != set(arrays):
        raise ModelError(
            f"{path}: found arrays {', '.join(sorted(arrays))}, expected {', '.join(sorted(names))}; {REMEDY}"
        )
    hidden, pairs, inputs = arrays["heads.hidden_bias"].size, arrays["tables.pairs"].size, statistics + WIDTH
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "heads.mean": ((statistics,), np.float32),
        "heads.scale": ((statistics,), np.float32),
        "heads.hidden": ((inputs, hidden), np.float32),
        "heads.hidden_bias": ((hidden,), np.float32),
        "heads.criteria": ((hidden + statistics, len(CRITERIA)), np.float32),
        "heads.thresholds": ((len(CRITERIA), 4), np.float32),
        "heads.domains": ((WIDTH, len(DOMAINS)), np.float32),
        "heads.domain_bias": ((len(DOMAINS),), np.float32),
        "tables.single": ((VOCABULARY,), np.int8),
        "tables.pairs": ((pairs,), np.uint32),
        "tables.strength": ((pairs,), np.int8),
        "tables.improper": ((VOCABULARY,), np.int8),
        "tables.formal": ((VOCABULARY,), np.int8),
    }
    for name, (shape, kind) in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype != kind or not pairs:
            raise ModelError(
                f"{path}: found {name} of shape {found.shape} and type {found.dtype}, expected {shape} and "
                f"{np.dtype(kind)}; {REMEDY}"
            )
        if found.dtype == np.float32 and not np.isfinite(found).all():
            raise ModelError(f"{path}: found {name} with numbers that are not finite, expected finite ones; {REMEDY}")
