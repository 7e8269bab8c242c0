"""Facts of documents: what a record says of one shard, and what a run says of all of them, by the same counts.

All are whole numbers (times are milliseconds), so a sum is exact, and the same in any order and grouping.
"""

from dataclasses import dataclass, field
from operator import add

from pipeline.aggregates import Aggregate, Counts, Rows, add_rows, apart, bounded
from pipeline.perplexity_facts import Scores, add_scores
from pipeline.rating_facts import RatingFacts
from pipeline.verdicts import StageCounts

SOURCE_COUNTS = ("read", "kept", "kept_bytes")
"""What is counted of each source: documents read, documents kept, bytes of text kept."""


@dataclass
class Facts:
    """What the stages did with some documents."""

    repeated: int = 0
    """Rows whose id was seen before: quarantined."""
    kept: int = 0
    kept_bytes: int = 0
    """UTF-8 bytes of text of the kept documents."""
    stages: list[StageCounts] = field(default_factory=list)
    by_source: Rows = field(default_factory=dict)
    """Source -> SOURCE_COUNTS."""
    columns: dict[str, Rows] = field(default_factory=dict)
    """Column that a stage added -> value -> documents before and after the drops."""
    scores: Scores = field(default_factory=dict)
    """Of the stages `perplexity`."""
    rating: RatingFacts | None = None
    """None if no stage rated the documents."""
    tokens: list[int] | None = None
    """Of all documents that were counted, and of those kept; None if no stage counted them."""
    milliseconds: dict[str, int] = field(default_factory=dict)
    """Stage -> what it took to annotate the rows, opening models included."""

    def add(self, part: "Facts") -> None:
        """Add the facts of other documents that went through the same stages."""
        self.repeated += part.repeated
        self.kept += part.kept
        self.kept_bytes += part.kept_bytes
        self.stages = _added(self.stages, part.stages)
        add_rows(self.by_source, part.by_source)
        for name, rows in part.columns.items():
            add_rows(self.columns.setdefault(name, {}), rows)
        add_scores(self.scores, part.scores)
        if part.rating is not None:
            self.rating = self.rating or RatingFacts()
            self.rating.add(part.rating)
        if part.tokens is not None:
            self.tokens = list(map(add, self.tokens or [0, 0], part.tokens))
        _add_counts(self.milliseconds, part.milliseconds)

    def bound(self, most: int) -> None:
        """Cut off the rarest of very many sources and values: unlike sums, this depends on when it is done."""
        self.by_source = bounded(self.by_source, most)
        self.columns = {name: bounded(rows, most) for name, rows in self.columns.items()}
        if self.rating is not None:
            self.rating.bound(most)

    def column(self, name: str) -> Aggregate:
        """The documents by value of one column; none if no stage added it."""
        return apart(self.columns.get(name, {}))

    def sources(self) -> dict[str, dict[str, int]]:
        """The counts of each source by name."""
        return {source: dict(zip(SOURCE_COUNTS, row, strict=True)) for source, row in sorted(self.by_source.items())}


def _added(total: list[StageCounts], part: list[StageCounts]) -> list[StageCounts]:
    """The counts of each stage in both; a total of nothing has no stage yet."""
    return [_sum(one, other) for one, other in zip(total, part, strict=True)] if total else list(part)


def _sum(one: StageCounts, other: StageCounts) -> StageCounts:
    dropped, quarantined = dict(one.dropped), dict(one.quarantined)
    _add_counts(dropped, other.dropped)
    _add_counts(quarantined, other.quarantined)
    return StageCounts(one.stage, one.entered + other.entered, one.kept + other.kept, dropped, quarantined)


def _add_counts(total: Counts, part: Counts) -> None:
    for key, count in part.items():
        total[key] = total.get(key, 0) + count
