"""How good an order is: sums and counts of each bucket, that add up over buckets.

Similarity of neighbours and inside contexts, in the order and if documents stood by id; recall of the neighbour lists;
how many near-duplicates each of those that stay stands for; sizes of buckets.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stages.contract import Summary
from stages.order_rows import tokens_of, vectors_of
from stages.ordering_graph import Longs
from stages.ordering_vectors import Units
from stages.packing_contexts import concatenated
from stages.packing_sums import Sums, added, sums

if TYPE_CHECKING:
    from stages.order import Order

Found = dict[str, Any]
"""`neighbours` and `by_id`: counts by bin of similarity, [sum, count]; `contexts` and `contexts_by_id`: `Sums` of
contexts filled in that order; `recall`: [sum over documents, documents, least]; `stand_for`: documents that stay by the
number of those that fell to them; `sizes`: buckets by size, from a power of two on."""
BINS = 40
"""Of similarity, from -1 to 1."""
COLUMNS = ("similarity", "neighbours in the order", "neighbours by id")
_SHOWN = 8
_PAIRED = ("neighbours", "by_id")
_FILLED = ("contexts", "contexts_by_id")


def bucket_found(settings: "Order", rows: pa.RecordBatch, answer: pa.RecordBatch) -> Found:
    """What is to be known of a bucket; the similarities of those that are placed, and nothing if none is."""
    placed = answer.column("order_status").to_numpy(zero_copy_only=False) == "placed"
    found: Found = {name: _bins(answer.column(column)) for name, column in _similarities()}
    if not placed.any():
        return found | {name: [*Sums()] for name in _FILLED} | {"recall": [0.0, 0, 1.0], "stand_for": {}, "sizes": {}}
    vectors = vectors_of(rows.column("embedding").filter(pa.array(placed)))[1]
    tokens = tokens_of(settings, rows)[placed]
    order = np.argsort(answer.column("position").to_numpy()[placed], kind="stable")
    recall, size = answer.column("order_recall")[0].as_py(), rows.num_rows
    return found | {
        "contexts": _inside(vectors, tokens, order, settings.context),
        "contexts_by_id": _inside(vectors, tokens, np.arange(len(order)), settings.context),
        "recall": [recall * size, size, recall],
        "stand_for": _stand_for(answer, int(placed.sum())),
        "sizes": {str(1 << size.bit_length() - 1): 1},
    }


def combined(found: Sequence[Found]) -> Found:
    """Of several.

    >>> one = {"counts": {"3": 1}, "sum": [0.5, 1]}
    >>> _counted([one["counts"], {"3": 2}]), _summed([one["sum"], [1.0, 3]])
    ({'3': 3}, [1.5, 4])
    """
    recalls = [one["recall"] for one in found]
    return {
        **{name: _merged_bins([one[name] for one in found]) for name in _PAIRED},
        **{name: [*added([one[name] for one in found])] for name in _FILLED},
        "recall": [*_summed([recall[:2] for recall in recalls]), min(recall[2] for recall in recalls)],
        **{name: _counted([one[name] for one in found]) for name in ("stand_for", "sizes")},
    }


def summary_of_found(found: Found) -> Summary:
    """Notes, and a histogram of the similarity of neighbours."""
    return Summary(tuple(_notes(found)), COLUMNS, tuple(_histogram(found)))


def _similarities() -> tuple[tuple[str, str], ...]:
    return (("neighbours", "order_similarity"), ("by_id", "order_similarity_by_id"))


def _bins(column: pa.FloatArray) -> Found:
    values = column.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    number = np.clip(np.floor((values + 1) * (BINS / 2)), 0, BINS - 1).astype(np.int64)
    return {"counts": _nonzero(np.bincount(number, minlength=BINS)), "sum": [float(values.sum()), len(values)]}


def _nonzero(counts: Longs) -> dict[str, int]:
    return {str(number): int(count) for number, count in enumerate(counts) if count}


def _inside(vectors: Units, tokens: Longs, order: Longs, context: int) -> list[float]:
    """The `Sums` of contexts that are filled in this order and cut where they are full."""
    return [*sums(concatenated(tokens[order], context), tokens[order], context, vectors[order])]


def _stand_for(answer: pa.RecordBatch, placed: int) -> dict[str, int]:
    """How many of those that stay stand for 0, 1, 2, ... others."""
    fell = Counter(answer.column("duplicate_of").drop_null().to_pylist())
    others = Counter(fell.values())
    return {"0": placed - len(fell), **{str(number): count for number, count in sorted(others.items())}}


def _merged_bins(found: Sequence[Found]) -> Found:
    return {"counts": _counted([one["counts"] for one in found]), "sum": _summed([one["sum"] for one in found])}


def _counted(found: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in found:
        total.update(counts)
    return {name: total[name] for name in sorted(total, key=int)}


def _summed(found: Iterable[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip(*found, strict=True)]


def _notes(found: Found) -> Iterator[str]:
    after, before = (_mean(found[name]["sum"]) for name in _PAIRED)
    if after is not None and before is not None:
        yield f"similarity of neighbours {after:.3f}, by id {before:.3f}"
    inside, inside_by_id = (Sums(*found[name]) for name in _FILLED)
    if inside.win is not None and inside_by_id.win is not None:
        yield (
            f"similarity within contexts {inside.win:.3f}, by id {inside_by_id.win:.3f}; by tokens "
            f"{inside.token_win:.3f}, by id {inside_by_id.token_win:.3f}"
        )
    if found["recall"][1]:
        yield f"recall of neighbours {found['recall'][0] / found['recall'][1]:.3f}, at least {found['recall'][2]:.3f}"
    if stand := {int(number): count for number, count in found["stand_for"].items() if number != "0"}:
        fell, shown = sum(number * count for number, count in stand.items()), sorted(stand.items())[:_SHOWN]
        by_size = ", ".join(f"{count:,} for {number:,}" for number, count in shown)
        yield f"{fell:,} near-duplicates; documents that stay for them: {by_size}{', ...' * (len(stand) > _SHOWN)}"
    if found["sizes"]:
        largest = sorted((int(size), count) for size, count in found["sizes"].items())  # JSON keeps them as names
        sizes = (f"{count:,} of {size:,} or more" for size, count in largest)
        yield f"buckets by documents: {', '.join(sizes)}"


def _histogram(found: Found) -> Iterator[tuple[str, int, int]]:
    """From the lowest bin that holds anything to the highest."""
    counts = [found[name]["counts"] for name in _PAIRED]
    held = sorted({int(number) for one in counts for number in one})
    for number in range(held[0], held[-1] + 1) if held else ():
        low = number / (BINS / 2) - 1
        yield f"{low:.2f} to {low + 2 / BINS:.2f}", *(one.get(str(number), 0) for one in counts)


def _mean(pair: Sequence[float]) -> float | None:
    return pair[0] / pair[1] if pair[1] else None
