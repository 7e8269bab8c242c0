"""How good a packing is: what is padded, cut and similar, by strategy; how long documents are; how large groups are.

All are sums and counts of a bucket, that add up over buckets. A token that is alone with its document counts as 0 in
the mean over tokens, though a document longer than a context fills it by itself; `concat`, which cuts such documents
anywhere and mixes their ends with others, looks the better for it: compare the share that is alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import Summary
from stages.errors import ConfigError
from stages.ordering_graph import Longs
from stages.pack_documents import Documents, documents_of, joined, packed, tokens_of
from stages.packing_contexts import Spans
from stages.packing_measures import BANDS
from stages.packing_sums import Sums, added, sums

if TYPE_CHECKING:
    from stages.pack import Pack

Found = dict[str, Any]
"""`strategies`: the `Sums` of each; `bands`: of each band of lengths [documents, tokens, documents with copies, tokens
with copies]; `groups`: of each [documents, tokens with copies, contexts]; `without`: documents without tokens."""
MOST_GROUPS = 10_000
COLUMNS = ("strategy", "contexts", "padding", "cut without need", "alone", "similarity", "similarity by tokens")
STRATEGIES = ("best-fit", "next-fit", "concat")
_SHOWN = 8


def part_found(settings: "Pack", rows: pa.RecordBatch, answer: pa.RecordBatch) -> Found:
    """Of a bucket: the chosen strategy as it answered, and what the others would do with the same copies."""
    spans, copies = _answered(answer)
    spans_of = _by_group(spans, answer.column("group"))
    strategies: dict[str, list[Sums]] = {name: [] for name in STRATEGIES}
    groups = {}
    numbers = np.empty(rows.num_rows, np.int64)
    for name, documents in documents_of(settings, rows, copies):
        numbers[documents.rows] = np.arange(len(documents.rows))
        chosen = spans_of[name]
        chosen = chosen._replace(documents=numbers[chosen.documents])
        for strategy, held in strategies.items():
            tried = chosen if strategy == settings.strategy else joined(packed(settings, strategy, documents))
            held.append(_sums(settings, tried, documents))
        own = strategies[settings.strategy][-1]
        groups[name] = [len(documents.rows), own.tokens, own.contexts]
    tokens = tokens_of(rows)
    return {
        "strategies": {name: [*added([Sums(), *held])] for name, held in strategies.items()},
        "bands": _bands(tokens, copies),
        "groups": groups,
        "without": int((tokens <= 0).sum()),
    }


def combined(found: Sequence[Found]) -> Found:
    """Of several. Raises ConfigError for too many groups."""
    groups: dict[str, list[int]] = {}
    for one in found:
        for name, counts in one["groups"].items():
            groups[name] = [a + b for a, b in zip(groups.get(name, [0, 0, 0]), counts, strict=True)]
    if len(groups) > MOST_GROUPS:
        raise ConfigError(
            f"pack.by: found over {MOST_GROUPS:,} groups: choose columns of fewer values, or set pack.group"
        )
    return {
        "strategies": {name: [*added([one["strategies"][name] for one in found])] for name in STRATEGIES},
        "bands": np.sum([one["bands"] for one in found], axis=0).tolist(),
        "groups": dict(sorted(groups.items())),
        "without": sum(one["without"] for one in found),
    }


def summary_of_found(settings: "Pack", found: Found) -> Summary:
    """Notes, and a table of the strategies, the chosen one first."""
    names = sorted(STRATEGIES, key=lambda name: name != settings.strategy)
    return Summary(tuple(_notes(settings, found)), COLUMNS, tuple(_row(name, found["strategies"]) for name in names))


def _answered(answer: pa.RecordBatch) -> tuple[Spans, Longs]:
    """The parts of all rows by context, and how many copies of each row (n,) there are."""
    lengths = pc.list_value_length(answer.column("context")).to_numpy()
    owners = np.repeat(np.arange(len(lengths)), lengths)
    contexts, places, begins, ends = (
        pc.list_flatten(answer.column(f"context{name}")).to_numpy().astype(np.int64)
        for name in ("", "_place", "_begin", "_end")
    )
    order = np.lexsort((places, contexts))
    copies = np.bincount(owners[begins == 0], minlength=len(lengths)).astype(np.int64)
    return Spans(contexts[order], owners[order], begins[order], ends[order]), copies


def _by_group(spans: Spans, groups: pa.StringArray) -> dict[str, Spans]:
    """The parts of each group, by context."""
    names, number = np.unique(groups.to_numpy(zero_copy_only=False)[spans.documents], return_inverse=True)
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(1, len(names)))
    columns = [np.split(column[order], ends) for column in spans]
    return {name: Spans(*parts) for name, *parts in zip(names.tolist(), *columns, strict=False)}


def _sums(settings: "Pack", spans: Spans, documents: Documents) -> Sums:
    """A document is cut without need if its parts are more than those of all its copies."""
    found = sums(spans, documents.tokens, settings.context, documents.vectors)
    needed = -(-documents.tokens // settings.context) * documents.copies
    parts = np.bincount(spans.documents, minlength=len(needed))
    return found._replace(cut=int((parts > needed).sum()))


def _bands(tokens: Longs, copies: Longs) -> list[list[int]]:
    held = tokens > 0
    home, tokens, copies = np.searchsorted(BANDS, tokens[held], side="right"), tokens[held], copies[held]
    columns = (np.ones_like(tokens), tokens, copies, tokens * copies)
    return [[int(column[home == number].sum()) for column in columns] for number in range(len(BANDS) + 1)]


def _row(name: str, found: Mapping[str, Sequence[float]]) -> tuple[str | int | float | None, ...]:
    one = Sums(*found[name])  # type: ignore[arg-type]
    cut = one.cut / one.documents if one.documents else 0.0
    similar = [None if value is None else round(value, 4) for value in (one.win, one.token_win)]
    alone = one.alone / one.tokens if one.tokens else 0.0
    return (name, one.contexts, round(one.padding, 4), round(cut, 4), round(alone, 4), *similar)


def _notes(settings: "Pack", found: Found) -> Iterator[str]:
    own = Sums(*found["strategies"][settings.strategy])
    yield (
        f"{own.documents:,} documents in {own.contexts:,} contexts of {settings.context:,} tokens, {own.padding:.1%} "
        f"padding, {own.cut:,} cut without need"
    )
    if found["without"]:
        yield f"{found['without']:,} documents have no tokens and are in no context"
    yield "tokens by length: " + _lengths(found["bands"], 1)
    if settings.upsample:
        yield "with copies of long documents: " + _lengths(found["bands"], 3)
    groups = sorted(found["groups"].items(), key=lambda item: (-item[1][1], item[0]))
    shown = ", ".join(f"{name} {tokens:,} tokens in {contexts:,}" for name, (_, tokens, contexts) in groups[:_SHOWN])
    yield f"{len(groups):,} groups, by contexts: {shown}{', ...' * (len(groups) > _SHOWN)}"


def _lengths(bands: Sequence[Sequence[int]], column: int) -> str:
    """The share of tokens from each band."""
    total = sum(band[column] for band in bands) or 1
    names = ["below " + f"{BANDS[0]:,}", *(f"{edge:,} or more" for edge in BANDS)]
    return ", ".join(f"{name} {band[column] / total:.1%}" for name, band in zip(names, bands, strict=True))
