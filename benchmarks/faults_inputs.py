"""Bad inputs for faults_peers.py: each case is a directory with one bad file and one good one, of made-up text."""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = 400
"""Good documents of the bad file, half of them before the fault and half behind it; the good file holds as many."""
POISON = "xpoisonx"
"""A stage of the benchmark's own raises at texts that hold this."""
LONG = 100_000_000
_SENTENCE = (
    "the lighthouse keeper counted boats again before storm closed narrow harbour for night and wind from west was "
    "cold while children on pier watched waves with their mother who had brought bread cheese apples"
)
_WORDS = _SENTENCE.split()


@dataclass(frozen=True)
class Case:
    """One kind of fault."""

    name: str
    write: Callable[[Path, list[bytes]], list[bytes]]
    """Writes the bad file into a directory, from the lines of its good documents; those of them that can be read."""


def lines(prefix: str, count: int, seed: int = 0) -> list[bytes]:
    """JSON Lines of made-up documents with the ids `<prefix>-<number>`."""
    chance = random.Random(f"{prefix} {seed}")
    return [_line(f"{prefix}-{number}", _text(chance)) for number in range(count)]


def make_case(case: Case, directory: Path) -> set[str]:
    """Write a case; the ids of its good documents that a careful reader can read."""
    directory.mkdir(parents=True)
    good = lines("good", DOCUMENTS)
    (directory / "b-good.jsonl").write_bytes(b"".join(good))
    readable = case.write(directory, lines("bad", DOCUMENTS))
    return {json.loads(line)["id"] for line in (*readable, *good)}


def _text(chance: random.Random) -> str:
    return ". ".join(" ".join(chance.choices(_WORDS, k=12)).capitalize() for _ in range(chance.randint(3, 30)))


def _line(id_: str, text: object) -> bytes:
    return json.dumps({"id": id_, "text": text, "source": "made-up"}).encode() + b"\n"


def _amid(fault: bytes) -> Callable[[Path, list[bytes]], list[bytes]]:
    """The faulty line in the middle of the good ones."""

    def write(directory: Path, good: list[bytes]) -> list[bytes]:
        middle = len(good) // 2
        (directory / "a-bad.jsonl").write_bytes(b"".join([*good[:middle], fault, *good[middle:]]))
        return good

    return write


def _long_line(directory: Path, good: list[bytes]) -> list[bytes]:
    return _amid(_line("odd-0", ("a long line " * (LONG // 12 + 1))[:LONG]))(directory, good)


def _truncated(directory: Path, good: list[bytes]) -> list[bytes]:
    data = gzip.compress(b"".join(good), mtime=0)
    kept = data[: len(data) // 2]
    (directory / "a-bad.jsonl.gz").write_bytes(kept)
    whole = zlib.decompressobj(wbits=31).decompress(kept).count(b"\n")
    return good[:whole]


def _empty(directory: Path, good: list[bytes]) -> list[bytes]:
    (directory / "a-bad.jsonl").write_bytes(b"")
    return []


CASES = (
    Case("broken JSON line", _amid(b'{"id": "odd-0", "text": "half a li\n')),
    Case("line that is a list", _amid(b'["odd-0", "text"]\n')),
    Case("no text field", _amid(b'{"id": "odd-0", "source": "made-up"}\n')),
    Case("text is null", _amid(_line("odd-0", None))),
    Case("text is a number", _amid(_line("odd-0", 5))),
    Case("invalid UTF-8", _amid(b'{"id": "odd-0", "text": "caf\xe9\xff at night"}\n')),
    Case("truncated gzip", _truncated),
    Case("empty file", _empty),
    Case("line of 100 MB", _long_line),
    Case("two documents with one id", _amid(_line("bad-7", "another text under an id that is taken already"))),
    Case("a stage raises at one document", _amid(_line("odd-0", f"before the storm {POISON} closed the harbour"))),
)
