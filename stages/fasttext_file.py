"""Whether a fastText model file is whole, from its own account of its parts.

fastText does not check for the end of the file: it reads on in a truncated one, allocates what it takes for sizes, and
may be busy for minutes before it fails. So the sizes are added up before it is given the file. The layout is that of
version 12 (fastText's `saveModel`): arguments, dictionary, input matrix, output matrix; all numbers little-endian.
"""

import mmap
import struct
from pathlib import Path

from stages.errors import ModelError

MAGIC = 793712314

_HEADER = struct.Struct("<ii12id")
"""Magic number, version, twelve arguments, sampling threshold."""
_DICTIONARY = struct.Struct("<iiiqq")
"""Entries, words, labels, tokens, pruned entries (-1: not pruned)."""
_AFTER_WORD = struct.calcsize("<qb")
"""A count and a type follow each zero-ended word."""
_PRUNED = struct.calcsize("<ii")
_MATRIX = struct.Struct("<qq")
_CODES = struct.Struct("<?qqi")
_QUANTISER = struct.Struct("<4i")
_CENTROIDS = 256
_FLOAT = 4


def check_whole(path: Path) -> None:
    """Raise ModelError if the file does not start like a fastText model or ends before its last part does."""
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
        if start[:4] != struct.pack("<i", MAGIC):
            raise ModelError(
                f"{path}: found a file that starts with bytes {start[:4].hex() or '(none)'}, expected a fastText model "
                f"({struct.pack('<i', MAGIC).hex()}); mend language.model or set it to default"
            )
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found, expected = len(data), _expected_size(data)
    if expected is None or found < expected:
        raise ModelError(
            f"{path}: found {found} bytes, expected {expected or 'more'}: it is damaged or cut short; copy it again"
        )


def _expected_size(data: mmap.mmap) -> int | None:
    """The size that the file's own numbers add up to; None if it ends before they are all read."""
    try:
        place = _after_dictionary(data, _HEADER.size)
        quantised = data[place] != 0
        place = _after_matrix(data, place + 1, quantised)
        return _after_matrix(data, place + 1, quantised and data[place] != 0)
    except (struct.error, IndexError):
        return None


def _after_dictionary(data: mmap.mmap, place: int) -> int:
    entries, _, _, _, pruned = _DICTIONARY.unpack_from(data, place)
    place += _DICTIONARY.size
    for _ in range(entries):
        end = data.find(b"\0", place)
        if end < 0:
            raise IndexError
        place = end + 1 + _AFTER_WORD
    return int(place + _PRUNED * max(pruned, 0))


def _after_matrix(data: mmap.mmap, place: int, quantised: bool) -> int:
    if not quantised:
        rows, columns = _MATRIX.unpack_from(data, place)
        return int(place + _MATRIX.size + _FLOAT * rows * columns)
    has_norms, rows, _, codes = _CODES.unpack_from(data, place)
    place = _after_quantiser(data, place + _CODES.size + codes)
    return _after_quantiser(data, place + rows) if has_norms else place


def _after_quantiser(data: mmap.mmap, place: int) -> int:
    dimensions = _QUANTISER.unpack_from(data, place)[0]
    return int(place + _QUANTISER.size + _FLOAT * dimensions * _CENTROIDS)
