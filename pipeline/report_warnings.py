"""What a reader of a report should look at first: found in the facts alone."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import stages
from stages.contract import settings_of
from stages.errors import ConfigError

NEARLY = 0.9
"""Share of what entered a stage that counts as nearly all."""
SKEWED = 10
"""Times the mean size of its group's buckets from which on a bucket counts as skewed."""
UNJUDGED = 0.5
QUARANTINED = 0.001
SAME = 0.99
"""Share of documents with one and the same score above which a criterion tells nothing."""
_JUDGED = frozenset({"ok", "scored", "selected", "placed", "not_selected", "packed", "duplicate"})
_SHOWN = 5


class Warned(NamedTuple):
    """One thing to look at."""

    title: str
    detail: str
    link: str
    """Anchor of the section that has more."""


def warnings_of(facts: dict[str, Any]) -> list[Warned]:
    """Everything worth a look in a report's facts, the most serious first."""
    finders = (_shortfalls, _mixture, _drops, _sources, _statuses, _criteria, _buckets, _quarantine)
    return [found for finder in finders for found in finder(facts)]


def _drops(facts: dict[str, Any]) -> Iterator[Warned]:
    chain = facts.get("config", {}).get("stages", [])
    for place, counts in enumerate(facts.get("funnel", [])):
        dropped, entered, name = sum(counts["dropped"].values()), counts["entered"], counts["stage"]
        if entered and dropped >= NEARLY * entered:
            largest = max(counts["dropped"].items(), key=lambda item: item[1])
            yield Warned(
                f"{name} dropped nearly everything",
                f"{dropped:,} of {entered:,} documents, most of them as {largest[0]}: check its thresholds.",
                "funnel",
            )
        elif entered and not dropped and _may_drop(name, chain[place : place + 1]):
            yield Warned(f"{name} dropped nothing", f"All {entered:,} documents passed its thresholds.", "funnel")


def _may_drop(name: str, entry: list[dict[str, Any]]) -> bool:
    """Whether a stage has a threshold that is set; `entry` is what the configuration says at its place, if anything."""
    given: dict[str, Any] = next((settings[name] for settings in entry if name in settings), {})
    try:
        known = settings_of(stages.stage_class(name))
        return any(given.get(setting.name, setting.default) for setting in known if setting.filter)
    except ConfigError:  # a stage that this version does not know
        return False


def _sources(facts: dict[str, Any]) -> Iterator[Warned]:
    lost = [name for name, row in facts.get("sources", {}).items() if row["read"] and not row["kept"]]
    if lost:
        shown = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN:,} more" if len(lost) > _SHOWN else "")
        yield Warned(f"Nothing is left of {len(lost):,} sources", f"Every document was dropped: {shown}.", "sources")


def _shortfalls(facts: dict[str, Any]) -> Iterator[Warned]:
    for name, summary in facts.get("surveys", {}).items():
        for note in summary["notes"]:
            if note.startswith("SHORTFALL"):
                yield Warned(f"{name} ran out", note.partition(":")[2].strip(), f"survey-{name}")


def _mixture(facts: dict[str, Any]) -> Iterator[Warned]:
    groups = (facts.get("mixture") or {}).get("groups", [])
    out = [group for group in groups if group.get("runs_out") is not None]
    if not out:
        return
    shown = ", ".join(f"{group['name']} after {group['runs_out']:,}" for group in out[:_SHOWN])
    more = f" and {len(out) - _SHOWN:,} more" if len(out) > _SHOWN else ""
    yield Warned(
        f"{len(out):,} groups run out" if len(out) > 1 else f"The group {out[0]['name']} runs out",
        f"All contexts have come as often as max_epochs allows: {shown}{more} samples of the mixture; the other groups "
        "take the share.",
        "mixture",
    )


def _statuses(facts: dict[str, Any]) -> Iterator[Warned]:
    for column, found in facts.get("statuses", {}).items():
        total = sum(found.values())
        left = {status: count for status, count in found.items() if status not in _JUDGED}
        if total and sum(left.values()) > UNJUDGED * total:
            shown = ", ".join(f"{status} {count:,}" for status, count in left.items())
            yield Warned(f"{column}: most documents passed unjudged", f"{shown}, of {total:,}.", f"column-{column}")


def _criteria(facts: dict[str, Any]) -> Iterator[Warned]:
    rating = facts.get("rating")
    if not rating:
        return
    if rating["one_axis"]:
        share = rating["first_component"]
        yield Warned(
            "The criteria collapse onto one axis",
            f"{share:.0%} of their variance lies on one component, so thresholds on several of them cut the same "
            "documents.",
            "ratings",
        )
    same = [name for name, rows in rating["rows"].items() if rows and max(rows[0]["percent"]) >= 100 * SAME]
    if same:
        yield Warned(
            f"{len(same)} criteria hardly vary",
            f"At least {SAME:.0%} of the documents have the same score in {', '.join(same)}: a threshold there cuts "
            "nothing or everything.",
            "ratings",
        )


def _buckets(facts: dict[str, Any]) -> Iterator[Warned]:
    summary = facts.get("surveys", {}).get("order")
    if not summary or not {"documents", "buckets", "largest", "cut by hash"} <= set(summary["columns"]):
        return
    rows = [dict(zip(summary["columns"], row, strict=True)) for row in summary["rows"]]
    for row in rows:
        if row["buckets"] > 1 and row["largest"] * row["buckets"] > SKEWED * row["documents"]:
            detail = f"Its largest bucket holds {row['largest']:,} of {row['documents']:,} documents."
            yield Warned(f"A bucket of {row['group']} is skewed", detail, "survey-order")
    if cut := [row["group"] for row in rows if row["cut by hash"]]:
        detail = (
            f"Neighbours were separated in {', '.join(cut[:_SHOWN])}: raise order.largest, or give more dimensions."
        )
        yield Warned("Buckets were cut by a hash", detail, "survey-order")


def _quarantine(facts: dict[str, Any]) -> Iterator[Warned]:
    ledger = facts["ledger"]
    bad = sum(ledger["quarantined"].values())
    if ledger["read"] and bad > QUARANTINED * ledger["read"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in ledger["quarantined"].items())
        yield Warned(f"{bad:,} records are in quarantine", f"{reasons}.", "quarantine")
