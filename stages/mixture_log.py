"""`mixture.jsonl`: every decision on a mixture, one line each, and with it the order of all training data.

A line is only ever appended, in one write that is synced. It holds the decision, the samples up to where the next one
lands (`segments`), and the facts of the run, the same in each line. A run that was resumed from before its last
decisions appends these anew: a line of version v puts all earlier lines of version v and later out of force. A last
line that was torn by a crash is left out by readers, and cut by the next writer with a message.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from stages.errors import ConfigError, InputError
from stages.mixture_base import decision_of, plain
from stages.mixture_estimator import Decision, Segment
from stages.mixture_schedule import Schedule, Span

FORMAT = 1
_LOG = logging.getLogger("tamis.mixture")


@dataclass(frozen=True)
class Facts:
    """What holds for a whole run and, with the segments, gives its data order."""

    contexts: Mapping[str, int]
    """Group -> contexts."""
    batch: int
    """Contexts in a step, over all ranks."""
    seed: int = 0
    block: int = 0
    """Contexts in a block, in which shares are exact; 0: a batch."""
    allowances: Mapping[str, int | None] = field(default_factory=dict)
    """Group -> how many contexts may be served, repetitions counted; None: no limit."""
    samples: int = 0
    """Contexts of the whole run, 0 if unknown: at that many the log is complete."""
    config: str = ""
    """Checksum of the configuration, or what was set in a few words."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Group -> checksum of its shards."""
    tokenizer: str = ""
    """Id of the tokenizer whose tokens are counted."""

    def schedule(self) -> Schedule:
        """The run's schedule, without any segment."""
        return Schedule(self.contexts, self.block or self.batch, self.seed, self.allowances)


@dataclass(frozen=True)
class Entry:
    """A decision in force, and the samples that it covers."""

    decision: Decision
    sample: int
    """First sample on the decision's mixture."""
    segments: tuple[Span, ...]


@dataclass(frozen=True)
class MixtureLog:
    """A log as read."""

    facts: Facts
    entries: tuple[Entry, ...]
    torn: int = 0
    """Bytes at the end that are no whole line."""

    def schedule(self) -> Schedule:
        """The data order of all samples up to where the next decision lands."""
        schedule = self.facts.schedule()
        for entry in self.entries:
            for span in entry.segments:
                schedule.extend(span)
        return schedule

    @property
    def complete(self) -> bool:
        """Whether the segments reach the end of the run."""
        end = max((span.end for span in spans_of(self)), default=0)
        return bool(self.facts.samples) and end >= self.facts.samples


def read_log(path: Path) -> MixtureLog:
    """Read and check a log. Raises InputError, with the line's number, if it cannot be one."""
    lines, torn = _lines(path)
    if not lines:
        raise InputError(f"{path} holds no decision")
    facts = Facts(**lines[0]["run"])
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        _check(line["format"] == FORMAT, path, number, f"is of format {line['format']}, this reads {FORMAT}")
        _check(line["run"] == lines[0]["run"], path, number, "is of another run than the first line: facts differ")
        entry = _entry(line)
        entries = [old for old in entries if old.decision.version < entry.decision.version]
        _check_entry(entry, entries, facts, (path, number))
        entries.append(entry)
    return MixtureLog(facts, tuple(entries), torn)


class LogWriter:
    """Appends decisions to a log, which it starts or continues."""

    def __init__(self, path: Path, facts: Facts) -> None:
        """Cut a torn last line. Raises ConfigError, naming what differs, if the log is of another run."""
        self._path, self._facts = path, facts
        self._last: dict[int, bytes] = {}
        if not path.exists():
            return
        self._cut(_lines(path)[1])
        if path.stat().st_size:
            self._continue(read_log(path))

    def append(self, decision: Decision, segments: Sequence[Segment]) -> None:
        """Append a decision with the segments (in steps) up to where the next one lands; on disk when this returns.

        One that is there already, the same in everything, is not written again.
        """
        line = orjson.dumps(plain(self._line(decision, segments)))
        if self._last.get(decision.version) == line:
            return
        self._last = {version: old for version, old in self._last.items() if version < decision.version}
        self._last[decision.version] = line
        new = not self._path.exists()
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _write(handle, line + b"\n")
        finally:
            os.close(handle)
        if new:
            _sync_folder(self._path.parent)

    def _line(self, decision: Decision, segments: Sequence[Segment]) -> dict[str, Any]:
        batch = self._facts.batch
        spans = [Span(s.begin * batch, s.end * batch, s.mixture, s.kind) for s in segments if s.trial is None]
        found = {"format": FORMAT, **asdict(decision), "sample": decision.lands * batch}
        return {**found, "segments": [asdict(span) for span in spans], "run": asdict(self._facts)}

    def _continue(self, log: MixtureLog) -> None:
        ours, theirs = plain(asdict(self._facts)), plain(asdict(log.facts))
        differing = [name for name in ours if ours[name] != theirs[name]]
        if differing:
            name = differing[0]
            raise ConfigError(
                f"{self._path} was written with {name} = {theirs[name]}, this run has {ours[name]}: "
                "use the same data and settings, or start a new log elsewhere"
            )
        for raw in self._path.read_bytes().splitlines():
            version = orjson.loads(raw)["version"]
            self._last = {old: line for old, line in self._last.items() if old < version} | {version: raw}

    def _cut(self, torn: int) -> None:
        if torn:
            size = self._path.stat().st_size - torn
            _LOG.warning("%s: its last line was torn; %d bytes after byte %d are cut", self._path, torn, size)
            with self._path.open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a log, and the number of bytes after them."""
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    found: list[dict[str, Any]] = []
    read = 0
    for number, line in enumerate(whole.splitlines(keepends=True), start=1):
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            if read + len(line) < len(raw):
                raise InputError(f"{path}, line {number} is damaged ({error}): restore the log from a copy") from error
            return found, len(line)
        read += len(line)
    return found, len(raw) - len(whole)


def _entry(line: Mapping[str, Any]) -> Entry:
    names = Decision.__dataclass_fields__
    decision = decision_of({name: line[name] for name in names})
    return Entry(decision, line["sample"], tuple(Span(**span) for span in line["segments"]))


def _check_entry(entry: Entry, before: Sequence[Entry], facts: Facts, where: tuple[Path, int]) -> None:
    """Versions follow each other, samples too, and every mixture is one of the run's groups."""
    version = entry.decision.version
    _check(version == len(before), *where, f"has version {version}, expected {len(before)}")
    at = next((spans[-1].end for old in reversed(before) if (spans := old.segments)), 0)
    for span in entry.segments:
        _check(span.begin == at < span.end, *where, f"has samples {span.begin} to {span.end}, expected from {at}")
        at = span.end
    for mixture in (entry.decision.mixture, *(span.mixture for span in entry.segments)):
        right = set(mixture) == set(facts.contexts) and all(share >= 0 for share in mixture.values())
        _check(right and abs(sum(mixture.values()) - 1) < 1e-6, *where, f"has a mixture that is none: {mixture}")


def _check(right: bool, path: Path, number: int, what: str) -> None:
    if not right:
        raise InputError(f"{path}, line {number} {what}")


def _write(handle: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def spans_of(log: MixtureLog) -> Iterator[Span]:
    """All segments of a log, in order."""
    return (span for entry in log.entries for span in entry.segments)
