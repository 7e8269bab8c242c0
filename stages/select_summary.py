"""What a selection found, for people: what was asked and what was taken, stratum by stratum, and what is missing."""

import math
from collections.abc import Iterator

from stages.contract import Summary
from stages.select_rows import LAST, key_of
from stages.select_search import Strata, Stratum

COLUMNS = (
    "stratum",
    "documents",
    "tokens",
    "share",
    "asked",
    "documents selected",
    "tokens selected",
    "short",
    "times",
    "key at the border",
)
_SHOWN = 5
_NAME = 60
_SLACK = 0.01
"""Share of the budget that may be left at the borders of strata without a word."""


def summary_of(strata: Strata, tokens: int) -> Summary:
    """Notes and a table of finished strata; `tokens` is the budget, 0 for none. Counts are of candidates."""
    largest = sorted(strata.items(), key=lambda item: (-item[1].asked, -item[1].tokens, item[0]))
    return Summary(tuple(_notes(dict(largest), tokens)), COLUMNS, tuple(_row(*item) for item in largest))


def taken(stratum: Stratum) -> tuple[int, int]:
    """Documents selected, and their tokens with repetitions."""
    documents, tokens = stratum.above
    whole = stratum.documents if stratum.copies else documents
    return whole, stratum.copies * stratum.tokens + tokens


def _row(name: str, stratum: Stratum) -> tuple[str | int | float | None, ...]:
    documents, tokens = taken(stratum)
    border = bytes.fromhex(stratum.threshold)
    key = key_of(border) if border != LAST else math.nan
    times = stratum.copies + bool(stratum.above[0])
    return (
        _cut(name),
        stratum.documents,
        stratum.tokens,
        round(stratum.share, 6),
        stratum.asked,
        documents,
        tokens,
        max(0, stratum.asked - stratum.budget),
        times,
        round(key, 6) if math.isfinite(key) else None,
    )


def _notes(strata: Strata, tokens: int) -> Iterator[str]:
    found = [taken(stratum) for stratum in strata.values()]
    documents, got = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0)
    candidates, supply = (sum(getattr(one, what) for one in strata.values()) for what in ("documents", "tokens"))
    asked = f"of {tokens:,} asked" if tokens else "(no budget: all candidates)"
    yield f"{got:,} tokens {asked}, {documents:,} of {candidates:,} candidates that hold {supply:,} tokens"
    if tokens > supply:
        yield f"SHORTFALL: the budget is larger than the supply by {tokens - supply:,} tokens"
    short = {name: one.asked - one.budget for name, one in strata.items() if one.asked > one.budget}
    if short:
        worst = sorted(short.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        shown = ", ".join(f"{_cut(name)} {lack:,} of {strata[name].asked:,}" for name, lack in worst)
        more = f" and {len(short) - _SHOWN:,} more" if len(short) > _SHOWN else ""
        yield f"SHORTFALL: {sum(short.values()):,} tokens that {len(short):,} strata lack: {shown}{more}"
    budget = sum(one.budget for one in strata.values())
    if tokens and budget - got > _SLACK * budget:
        without = sum(one.budget > 0 and taken(one)[0] == 0 for one in strata.values())
        yield (
            f"{budget - got:,} tokens are left since the next document of a stratum does not fit: budgets are small "
            f"beside documents, and {without:,} strata give none"
        )
    if zero := [name for name, one in strata.items() if one.share == 0 and one.documents]:
        shown = ", ".join(_cut(name) for name in zero[:_SHOWN])
        yield f"{len(zero):,} strata have no share and give nothing: {shown}{', ...' if len(zero) > _SHOWN else ''}"


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
