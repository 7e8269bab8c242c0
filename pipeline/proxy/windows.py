"""What the proxy sees of packed contexts: windows of tokens, some to train on, others to validate with.

A context of 2,048 tokens gives 32 windows of 64. Tokens after a context's last whole window are left out; a context
that is shorter than one gives one short window, which is padded and the padding not counted. Boundaries between
documents are ignored: attention may look across them, as in most trainers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.data.contexts import INPUT_IDS, ContextSource, Row
from stages.errors import ConfigError

Longs = npt.NDArray[np.int64]
_SHORTEST = 2
"""Tokens of a window: the first is not predicted."""
_READ = 64
"""Contexts that are looked at together."""


@dataclass(frozen=True)
class Windows:
    """Windows of a group's contexts, in order: a `ContextSource` whose rows are windows."""

    source: ContextSource
    window: int
    contexts: Longs
    """(n,) the context that each window is in."""
    begins: Longs
    """(n,) its first token there."""

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.contexts)

    def rows(self, begin: int, end: int) -> list[Row]:
        """Windows from `begin` to before `end`."""
        return [self._row(place) for place in range(begin, end)]

    def part(self, places: Longs | slice) -> "Windows":
        """Some of the windows."""
        return Windows(self.source, self.window, self.contexts[places], self.begins[places])

    def spread(self, count: int) -> "Windows":
        """At most `count` of the windows, evenly spread over all."""
        count = min(count, len(self))
        return self.part(np.arange(count, dtype=np.int64) * len(self) // max(count, 1))

    def _row(self, place: int) -> Row:
        context, begin = int(self.contexts[place]), int(self.begins[place])
        tokens = self.source.rows(context, context + 1)[0][INPUT_IDS]
        return {INPUT_IDS: tokens[begin : begin + self.window]}


@dataclass(frozen=True)
class Division:
    """The windows of one group."""

    training: Windows
    validation: Windows
    note: str = ""
    """What a reader should know of how it was divided."""


def divided(name: str, source: ContextSource, window: int, held: int, most: int) -> Division:
    """The first contexts of a group to train on (at most `most` windows), its last `held` to validate with.

    A group of fewer than four times `held` contexts gives the last quarter of its windows. Raises ConfigError, naming
    the group, if it has not two windows.
    """
    count = len(source)
    if count >= 4 * held:
        training = windows_of(source, window, 0, count - held, most)
        validation, note = windows_of(source, window, count - held, count, most), ""
    else:
        windows = windows_of(source, window, 0, count, most)
        quarter = len(windows) - max(len(windows) // 4, 1)
        training, validation = windows.part(slice(0, quarter)), windows.part(slice(quarter, None))
        note = f"group '{name}' holds {count} contexts, too few to hold {held}: a quarter of its windows validates"
    if not len(training) or not len(validation):
        raise ConfigError(
            f"group '{name}' holds too little to train and to validate on ({count} contexts): leave it out, or join it "
            "with another (pack.group)"
        )
    return Division(training, validation, note)


def windows_of(source: ContextSource, window: int, begin: int, end: int, most: int) -> Windows:
    """The first windows (at most `most`) of contexts `begin` to before `end`; no more contexts are read than needed."""
    contexts: list[int] = []
    begins: list[int] = []
    while begin < end and len(contexts) < most:
        stop = min(begin + _READ, end)
        for number, row in enumerate(source.rows(begin, stop), begin):
            firsts = _firsts(len(row[INPUT_IDS]), window)
            contexts += [number] * len(firsts)
            begins += firsts
        begin = stop
    return Windows(source, window, np.array(contexts[:most], np.int64), np.array(begins[:most], np.int64))


def _firsts(length: int, window: int) -> Sequence[int]:
    """First tokens of the windows of a context.

    >>> list(_firsts(200, 64)), list(_firsts(10, 64)), list(_firsts(1, 64))
    ([0, 64, 128], [0], [])
    """
    if length < window:
        return range(1 if length >= _SHORTEST else 0)
    return range(0, length - window + 1, window)
