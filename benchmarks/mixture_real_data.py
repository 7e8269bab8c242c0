"""Groups of real text, as windows of bytes: natural ones, one of noise, one that is a copy of another."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zstandard

from benchmarks.mixture_real_model import CONTEXT, Windows

NOISE, COPY = "noise", "copy"
"""Names of the made groups."""


@dataclass(frozen=True)
class GroupSet:
    """Groups by the names of files of the data for benchmarks, and what is minimised."""

    name: str
    files: tuple[str, ...]
    added: str = ""
    """NOISE: a group of random bytes; COPY: the second file once more. The objective leaves both out."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted((*self.files, self.added) if self.added else self.files))

    @property
    def objective(self) -> dict[str, float]:
        """Weights that are not 1."""
        return {self.added: 0.0} if self.added else {}

    @property
    def counted(self) -> tuple[str, ...]:
        """Groups whose loss is minimised."""
        return tuple(name for name in self.groups if name != self.added)

    @property
    def oracle(self) -> dict[str, float]:
        """The mixture that is known to be good: no noise; a copy and its original together as much as any other."""
        share = {name: 1 / len(self.files) for name in self.files}
        if self.added == COPY:
            share[self.files[1]] = share[COPY] = share[self.files[1]] / 2
        return {name: share.get(name, 0.0) for name in self.groups} if self.added else {}


SETS = (
    GroupSet("natural, 4 groups", ("code_python", "books", "law_de", "medical_web")),
    GroupSet("natural, 5 groups", ("forum_20ng", "finance_gov", "math_latex", "pubmed_abstracts", "code_java")),
    GroupSet("noise", ("code_python", "books", "law_de"), NOISE),
    GroupSet("copy", ("code_python", "books", "law_de"), COPY),
)


@dataclass(frozen=True)
class Texts:
    """Windows (n, CONTEXT + 1) of each group; sizes of `train` are in the proportions of the files."""

    train: Mapping[str, Windows]
    check: Mapping[str, Windows]
    """For validation losses, which estimators see."""
    test: Mapping[str, Windows]
    """For the figures."""

    def contexts(self) -> dict[str, int]:
        """Number of training windows of each group."""
        return {name: len(windows) for name, windows in self.train.items()}


@dataclass
class Library:
    """Files as windows; each is read once."""

    folder: Path
    _parts: dict[str, dict[str, Windows]] = field(default_factory=dict)

    def texts(self, groups: GroupSet, total: int, seed: int, checks: int = 4, tests: int = 96) -> Texts:
        """`total` training windows in the proportions of the groups, drawn and ordered by `seed`; tests are always the
        same. Documents of the three parts differ."""
        sizes = {name: len(self._of(self._file(groups, name))["train"]) for name in groups.groups}
        if NOISE in sizes:
            sizes[NOISE] = sum(sizes.values()) // len(sizes)
        counts = {name: max(size * total // sum(sizes.values()), 1) for name, size in sizes.items()}
        parts: dict[str, dict[str, Windows]] = {"train": {}, "check": {}, "test": {}}
        for name in groups.groups:
            for part, count, drawn in (("train", counts[name], seed), ("check", checks, seed), ("test", tests, 0)):
                parts[part][name] = self._draw(groups, name, part, count, drawn)
        return Texts(**parts)

    def _file(self, groups: GroupSet, name: str) -> str:
        return groups.files[1] if name in (COPY, NOISE) else name

    def _draw(self, groups: GroupSet, name: str, part: str, count: int, seed: int) -> Windows:
        random = np.random.default_rng([seed, *name.encode()] if name == NOISE else [seed, len(part)])
        if name == NOISE:
            return random.integers(0, 256, (count, CONTEXT + 1))
        windows = self._of(self._file(groups, name))[part]
        return windows[random.permutation(len(windows))[:count]]

    def _of(self, file: str) -> dict[str, Windows]:
        if file not in self._parts:
            texts: dict[str, list[bytes]] = {"train": [], "check": [], "test": []}
            for text in _documents(self.folder / f"{file}.jsonl.zst"):
                place = hashlib.sha256(text).digest()[-1] % 10
                texts["test" if place == 0 else "check" if place == 1 else "train"].append(text)
            self._parts[file] = {part: _windows(b"\n\n".join(found)) for part, found in texts.items()}
        return self._parts[file]


def _documents(path: Path) -> Iterator[bytes]:
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        for line in stream.read().splitlines():
            yield json.loads(line)["text"].encode()


def _windows(text: bytes) -> Windows:
    """Windows that overlap in one byte, the last of one and the first to be guessed from of the next."""
    values = np.frombuffer(text, np.uint8)
    count = (len(values) - 1) // CONTEXT
    starts = np.arange(count)[:, None] * CONTEXT
    return values[starts + np.arange(CONTEXT + 1)].astype(np.int64)
