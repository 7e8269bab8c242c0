"""What came out of all shards, summed up as the outcomes of shards arrive: of each shard stay a few numbers.

Neighbouring shards are summed up in blocks. The sums of a block that is complete go to a file, and out of memory; the
totals are the sum of these files, in their order. So memory does not grow with the shards, a run that is resumed
reads one file for each BLOCK shards, and the totals are the same whichever outcome arrived first: sums of whole
numbers never depend on their order, and the rarest of very many values are cut off at ends of blocks alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.aggregates import MOST_VALUES
from pipeline.facts import Facts
from pipeline.outcomes import FORMAT, Format, Outcome
from pipeline.records import read_record, write_record
from pipeline.storage import Store
from stages.errors import EngineError

BLOCK = 64
"""Shards of a block."""
LOOSE = 20
"""Times MOST_VALUES values are kept between blocks, so that what is frequent in all is not lost in one."""


@dataclass(frozen=True, slots=True)
class ShardRow:
    """What is remembered of one shard."""

    kept_bytes: int
    tokens: int | None
    """Of the kept documents; None if no stage counted them."""


@dataclass(frozen=True)
class Totals:
    """What the stages did with all documents."""

    facts: Facts
    rows: list[ShardRow]
    """One for each shard, in order."""


@dataclass
class _Block:
    """The sums of some neighbouring shards: in memory until all have come, and then a record."""

    shards: list[str]
    rows: list[ShardRow | None]
    """One for each shard; None for those that have not come."""
    facts: Facts = field(default_factory=Facts)
    quarantines: list[str] = field(default_factory=list)
    format: Format = FORMAT


class Folding:
    """Takes the outcomes of shards, in any order; those of complete blocks that `directory` holds are taken already."""

    def __init__(self, store: Store, directory: str, shards: Sequence[str]) -> None:
        self.quarantines: list[str] = []
        """Files with rows on which a stage failed."""
        self.dropped = 0
        """Documents."""
        self._store = store
        self._directory = directory
        self._shards = shards
        self._open: dict[int, _Block] = {}
        self._complete: set[int] = set()
        for number in range(-(-len(shards) // BLOCK)):
            if (block := self._read(number)) is not None:
                self._complete.add(number)
                self._count(block.facts, block.quarantines)

    @property
    def left(self) -> list[int]:
        """Places of the shards whose blocks are not complete."""
        return [place for place in range(len(self._shards)) if place // BLOCK not in self._complete]

    def take(self, place: int, outcome: Outcome) -> None:
        """Take the outcome of the shard at a place, once."""
        number, facts = place // BLOCK, outcome.facts
        block = self._open.setdefault(number, self._empty(number))
        assert number not in self._complete
        assert outcome.shard == self._shards[place]
        assert block.rows[place % BLOCK] is None
        block.rows[place % BLOCK] = ShardRow(facts.kept_bytes, None if facts.tokens is None else facts.tokens[1])
        block.facts.add(facts)
        block.quarantines += outcome.quarantines
        self._count(facts, outcome.quarantines)
        if None not in block.rows:
            self._finish(number)

    def totals(self) -> Totals:
        """The sums of all. Raises EngineError if an outcome is missing, which would be a fault of Tamis."""
        facts = Facts()
        rows: list[ShardRow] = []
        for number in range(-(-len(self._shards) // BLOCK)):
            block = self._read(number)
            if block is None:
                raise EngineError(f"{self._store.path(self._name(number))}: not there, which is a fault of Tamis")
            facts.add(block.facts)
            facts.bound(LOOSE * MOST_VALUES)
            rows += [row for row in block.rows if row is not None]
        facts.bound(MOST_VALUES)
        return Totals(facts, rows)

    def _finish(self, number: int) -> None:
        block = self._open.pop(number)
        block.facts.bound(LOOSE * MOST_VALUES)
        write_record(self._store, self._name(number), block)
        self._complete.add(number)

    def _read(self, number: int) -> _Block | None:
        """A complete block of these very shards, if it is there."""
        block = read_record(self._store, self._name(number), _Block)
        return block if block and block.shards == self._empty(number).shards and None not in block.rows else None

    def _empty(self, number: int) -> _Block:
        shards = list(self._shards[BLOCK * number : BLOCK * (number + 1)])
        return _Block(shards, [None] * len(shards))

    def _name(self, number: int) -> str:
        return f"{self._directory}/sums/block-{number:05d}.json"

    def _count(self, facts: Facts, quarantines: Iterable[str]) -> None:
        self.quarantines += quarantines
        self.dropped += sum(sum(counts.dropped.values()) for counts in facts.stages)
