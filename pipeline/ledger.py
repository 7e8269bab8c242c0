"""The ledger: read = kept + dropped (by stage and reason) + quarantined (by reason). It must close."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.aggregates import merge
from pipeline.facts import Facts
from pipeline.reading import SplitRecord
from pipeline.verdicts import StageCounts
from pipeline.writing import PartRecord
from stages.errors import EngineError, NothingKept, NothingRead, TooManyBadRecords

REPEATED = "repeated_id"


@dataclass(frozen=True)
class Ledger:
    """Documents of a run."""

    read: int = 0
    kept: int = 0
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    """Stage -> drop reason -> documents."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Reason -> records."""

    @property
    def dropped_total(self) -> int:
        """Documents that stages dropped."""
        return sum(sum(reasons.values()) for reasons in self.dropped.values())

    @property
    def quarantined_total(self) -> int:
        """Records that could not be read or processed."""
        return sum(self.quarantined.values())

    @property
    def closes(self) -> bool:
        """Whether every record read is accounted for."""
        return self.read == self.kept + self.dropped_total + self.quarantined_total

    def __str__(self) -> str:
        return (
            f"read {self.read:,} = kept {self.kept:,} + dropped {self.dropped_total:,} "
            f"+ quarantined {self.quarantined_total:,}"
        )


def ledger_of(splits: Iterable[SplitRecord], facts: Facts) -> Ledger:
    """The ledger of finished work. Raises EngineError if it does not close, which would be a fault of Tamis."""
    splits, funnel = list(splits), funnel_of(facts)
    quarantined = [*(split.quarantined for split in splits), *(counts.quarantined for counts in funnel)]
    ledger = Ledger(
        read=sum(split.read for split in splits),
        kept=facts.kept,
        dropped=_by_stage(funnel),
        quarantined=merge([*quarantined, {REPEATED: facts.repeated} if facts.repeated else {}]),
    )
    for counts in funnel:
        _check(counts.entered == counts.kept + sum(counts.dropped.values()) + sum(counts.quarantined.values()), counts)
    _check(ledger.closes, ledger)
    return ledger


def funnel_of(facts: Facts) -> list[StageCounts]:
    """The counts of each stage over all shards, in order of the stages, reasons in order of their names."""
    return [
        replace(counts, dropped=merge([counts.dropped]), quarantined=merge([counts.quarantined]))
        for counts in facts.stages
    ]


def check_budget(bad: Mapping[str, int], read: int, max_fraction: float) -> None:
    """Raise TooManyBadRecords if more than `max_fraction` of the records read are bad."""
    total = sum(bad.values())
    if total > max_fraction * read:
        raise TooManyBadRecords(
            f"{total:,} of {read:,} records ({total / read:.1%}) are in quarantine, more than "
            f"input.max_bad_fraction = {max_fraction:g} allows: {_by_count(bad)}. `tamis inspect` on the run's "
            "quarantine/ shows the places. Mend the input or raise input.max_bad_fraction; work that is done is kept"
        )


def check_read(bad: Mapping[str, int], read: int) -> None:
    """Raise NothingRead if there is no document at all."""
    if sum(bad.values()) == read:
        why = f"all {read:,} records are bad: {_by_count(bad)}" if read else "the files are empty"
        raise NothingRead(f"no document was read: {why}. Check input.paths, input.format and input.text")


def check_kept(ledger: Ledger) -> None:
    """Raise NothingKept if the stages dropped every document."""
    if ledger.kept == 0:
        reasons = merge({f"{stage}: {r}": n for r, n in found.items()} for stage, found in ledger.dropped.items())
        raise NothingKept(
            f"no document was kept of {ledger.read:,} read. Dropped: {_by_count(reasons) or 'none'}; quarantined: "
            f"{ledger.quarantined_total:,}. The run's report and dropped/ show them, and `tamis what-if` what other "
            "thresholds would keep: loosen the thresholds or check the input"
        )


def _by_stage(funnel: Iterable[StageCounts]) -> dict[str, dict[str, int]]:
    """Drops by stage; a stage that is chained twice, with other columns, is one entry."""
    dropped: dict[str, dict[str, int]] = {}
    for counts in funnel:
        dropped[counts.stage] = merge([dropped.get(counts.stage, {}), counts.dropped])
    return dropped


def check_written(ledger: Ledger, parts: Iterable[PartRecord]) -> None:
    """Raise EngineError if the files do not hold what the ledger says, which would be a fault of Tamis."""
    parts = list(parts)
    written = sum(part.data.rows for part in parts), sum(part.dropped.rows for part in parts)
    _check(written == (ledger.kept, ledger.dropped_total), f"{ledger}, but written: kept and dropped {written}")


def _check(closes: bool, what: object) -> None:
    if not closes:
        raise EngineError(f"the ledger does not close, which is a fault of Tamis: {what}")


def _by_count(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered[:8])
