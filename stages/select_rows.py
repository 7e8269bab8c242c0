"""What selection knows of each document: its stratum, tokens, score, and its place in the order.

The order is by key (the score, or score / temperature + Gumbel noise), ties by a hash of the id. Noise and hash come
from the id and the seed alone, and all is computed by operations that give the same bits on every machine.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from stages.errors import ConfigError, InputError
from stages.rating_protocol import CRITERIA

if TYPE_CHECKING:
    from stages.select import Select

PLACE = np.dtype("S24")
"""A place as bytes that sort as places do: 8 of the key, 16 of the hash of the id."""
FIRST, LAST = b"\0" * 24, b"\xff" * 24
"""Before and after every place."""
NO_VALUE = "(none)"
"""The stratum of documents whose column is null."""
ALL = "all"
"""The only stratum if there are none."""
REASONS = ("", *(f"min_{name}" for name in CRITERIA), "unrated")
MOST_TOKENS = 2**40
"""Of one document: sums of a few million of them are whole numbers of 64 bits still."""
_SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class Rows:
    """Some documents; arrays of one entry per row."""

    names: list[str]
    """Their strata, sorted."""
    stratum: np.ndarray
    """int64: index into `names`."""
    tokens: np.ndarray
    """int64."""
    score: np.ndarray
    """float64: the weighted score, NaN for none."""
    key: np.ndarray
    """float64: what ranks, -inf for none."""
    hashes: np.ndarray
    """uint64, (rows, 2): the hash of the id."""
    reason: np.ndarray
    """int16: why the document is no candidate, an index into REASONS; 0 for candidates."""

    @property
    def candidates(self) -> np.ndarray:
        """Boolean: which rows may be selected."""
        return np.asarray(self.reason == 0)

    @property
    def place(self) -> np.ndarray:
        """PLACE, by which larger is better."""
        place = np.empty((len(self.key), 3), ">u8")
        place[:, 0] = ordered(self.key)
        place[:, 1:] = self.hashes
        return place.view(PLACE).ravel()


def rows_of(settings: "Select", batch: pa.RecordBatch, seed: int) -> Rows:
    """What selection knows of a batch. Raises ConfigError for a token column that holds no counts, and
    InputError for values of another kind."""
    names, stratum = strata_of(batch, settings.strata)
    hashes, score = id_hashes(batch.column("id").to_pylist(), seed), _score(batch, settings)
    return Rows(
        names=names,
        stratum=stratum,
        tokens=_tokens(batch, settings),
        score=score,
        key=_key(score, hashes, settings),
        hashes=hashes,
        reason=_reasons(batch, settings, score),
    )


def id_hashes(ids: list[str], seed: int) -> np.ndarray:
    """The seeded 128-bit xxh3 hash of each id as two uint64."""
    digests = b"".join([xxhash.xxh3_128_digest(name.encode(), seed) for name in ids])
    return np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)


def ordered(values: np.ndarray) -> np.ndarray:
    """uint64 that sort as the numbers (no NaN) do.

    >>> np.argsort(ordered(np.array([1.5, -np.inf, -2.0, 0.0]))).tolist()
    [1, 2, 3, 0]
    """
    bits = (values + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    return np.asarray(np.where(bits & _SIGN, ~bits, bits | _SIGN))


def key_of(place: bytes) -> float:
    """The key in a place; the inverse of `ordered`."""
    code = np.frombuffer(place[:8], ">u8").astype(np.uint64)
    return float(np.where(code & _SIGN, code ^ _SIGN, ~code).view(np.float64)[0])


def gumbel(bits: np.ndarray) -> np.ndarray:
    """Standard Gumbel noise of random uint64, by their upper 52 bits."""
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -logarithm(-logarithm(uniform))


def logarithm(values: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive numbers, to about the last bit.

    By sums, products and quotients alone, which IEEE 754 defines to the bit; `np.log` differs between processors, and
    a document would have one place on one worker and another place on the next.
    """
    mantissa, exponent = np.frexp(values)
    low = mantissa < math.sqrt(0.5)
    mantissa = np.where(low, 2.0 * mantissa, mantissa)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square, total = ratio * ratio, np.zeros_like(ratio)
    for odd in range(25, 0, -2):
        total = total * square + 1.0 / odd
    return np.asarray((exponent - low) * math.log(2.0) + 2.0 * ratio * total)


def strata_of(batch: pa.RecordBatch, columns: tuple[str, ...]) -> tuple[list[str], np.ndarray]:
    """The values of the columns that occur, sorted, as one name each, and which of them each row has, int64."""
    if not columns:
        return [ALL] if batch.num_rows else [], np.zeros(batch.num_rows, np.int64)
    values = [pc.fill_null(_names(batch, name), NO_VALUE) for name in columns]
    if len(values) > 1:  # "a | b" stands for one pair only
        values = [pc.replace_substring(pc.replace_substring(v, "\\", "\\\\"), "|", "\\|") for v in values]
        values = [pc.binary_join_element_wise(*values, " | ")]
    encoded = values[0].dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return [found[index] for index in order], rank[encoded.indices.to_numpy()]


def _names(batch: pa.RecordBatch, name: str) -> pa.Array:
    """The values of a column as names of strata."""
    column = batch.column(name)
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        raise InputError(
            f"select.strata: the column '{name}' ({_kind(column)}) holds values that are no names, expected text or "
            "numbers: choose another column"
        ) from None


def _kind(column: pa.Array) -> str:
    """A type in few words: that of a struct would name its fields."""
    return str(column.type)[:40]


def _tokens(batch: pa.RecordBatch, settings: "Select") -> np.ndarray:
    if settings.tokens_from == "bytes":
        return np.asarray(np.ceil(batch.column("text_bytes").to_numpy() / settings.bytes_per_token), np.int64)
    column = batch.column(settings.tokens_from)
    counts = _counts(column)
    if counts is None:
        raise ConfigError(
            f"select.tokens_from: the column '{settings.tokens_from}' ({_kind(column)}) must hold an integer of 0 "
            f"to {MOST_TOKENS:,} for each document, found others or nulls: use bytes, or another column"
        )
    return counts


def _counts(column: pa.Array) -> np.ndarray | None:
    if column.null_count or not pa.types.is_integer(column.type):
        return None
    counts = column.to_numpy()
    return counts.astype(np.int64) if ((counts >= 0) & (counts <= MOST_TOKENS)).all() else None


def _score(batch: pa.RecordBatch, settings: "Select") -> np.ndarray:
    """The weighted mean; one criterion after the other, so that rounding is the same everywhere."""
    score = np.zeros(batch.num_rows)
    for name in sorted(settings.weights):
        means, whole = _floats(batch, f"rating_{name}_mean"), _floats(batch, f"rating_{name}")
        score = score + settings.weights[name] * np.where(np.isnan(means), whole, means)
    return np.asarray(score / sum(abs(settings.weights[name]) for name in sorted(settings.weights)))


def _key(score: np.ndarray, hashes: np.ndarray, settings: "Select") -> np.ndarray:
    """Without a score a document ranks behind all that have one."""
    key = score / settings.temperature + gumbel(hashes[:, 0]) if settings.method == "sample" else score
    return np.where(np.isnan(key), -np.inf, key)


def _reasons(batch: pa.RecordBatch, settings: "Select", score: np.ndarray) -> np.ndarray:
    reason, unrated = np.zeros(batch.num_rows, np.int16), np.isnan(score)
    for name, least in settings.minimums.items():
        rating = _floats(batch, f"rating_{name}")
        reason[(rating < least) & (reason == 0)] = REASONS.index(f"min_{name}")
        unrated |= np.isnan(rating)
    if settings.unrated == "drop":
        reason[unrated & (reason == 0)] = REASONS.index("unrated")
    return reason


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    column = batch.column(name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise InputError(
            f"select: the column '{name}' ({_kind(column)}) must hold ratings as numbers: rate the documents again "
            "with the stage rating, or mend the column"
        )
    return np.asarray(pc.fill_null(column.cast(pa.float64(), safe=False), math.nan).to_numpy(zero_copy_only=False))
