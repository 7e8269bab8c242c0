"""Mergeable facts of ratings, made with each shard, so that the report of any number of documents reads none of them.

All numbers are counts or sums of whole numbers: they merge exactly, in any order.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.aggregates import MOST_VALUES, OTHER, Rows, add_rows, bounded
from stages.rating_protocol import CRITERIA

EXAMPLES = 2
"""Kept documents per criterion and score that are shown."""
EXAMPLE_CHARACTERS = 240
SCORES = 5
_COLUMNS = [f"rating_{name}" for name in CRITERIA]

Example = tuple[int, str, str]
"""Hash of the id, the id, the beginning of the text: the smallest hashes are shown."""


@dataclass
class RatingFacts:
    """What is known of the ratings of some documents, of one shard or of many."""

    by_source: Rows = field(default_factory=dict)
    """Source -> documents by criterion and score: five counts for each of the fourteen, one after the other."""
    complete: int = 0
    """Documents with all fourteen scores; the next two are of these."""
    sums: list[int] = field(default_factory=lambda: [0] * len(CRITERIA))
    products: list[list[int]] = field(default_factory=lambda: [[0] * len(CRITERIA) for _ in CRITERIA])
    """Sums of the products of two criteria's scores, (14, 14)."""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    documents: list[Example] = field(default_factory=list)
    """Kept documents that are shown, in order: each once, whatever it is an example of."""
    examples: dict[str, list[int]] = field(default_factory=dict)
    """`criterion/score` -> places in `documents`, in order, at most EXAMPLES."""

    def shown(self) -> dict[str, list[Example]]:
        """`criterion/score` -> its examples."""
        return {key: [self.documents[place] for place in places] for key, places in sorted(self.examples.items())}

    def add(self, part: "RatingFacts") -> None:
        """Add the facts of other documents, in any order."""
        add_rows(self.by_source, part.by_source)
        self.complete += part.complete
        self.sums = list(map(add, self.sums, part.sums))
        self.products = [list(map(add, *rows)) for rows in zip(self.products, part.products, strict=True)]
        self.prompt_tokens += part.prompt_tokens
        self.answer_tokens += part.answer_tokens
        self._choose(part)

    def bound(self, most: int) -> None:
        """Cut off the smallest of very many sources."""
        self.by_source = bounded(self.by_source, most, sum)

    def _choose(self, part: "RatingFacts") -> None:
        """The first examples of both, and of their documents those alone."""
        found = {key: [self.documents[place] for place in places] for key, places in self.examples.items()}
        for key, places in part.examples.items():
            found[key] = sorted([*found.get(key, []), *(part.documents[place] for place in places)])[:EXAMPLES]
        self.documents, self.examples = _listed(found)


ReadTexts = Callable[[np.ndarray], Sequence[tuple[str, str]]]
"""Given row numbers in ascending order, the id and the beginning of the text of each."""


def rating_facts(
    columns: pa.Table, sources: Sequence[str], ids: Sequence[str], alive: np.ndarray, read: ReadTexts
) -> RatingFacts | None:
    """The facts of one shard, or None if no stage rated it.

    `columns` is what the stages added, `alive` a boolean mask of the kept rows, `read` gives texts for the examples.
    """
    if "rating_status" not in columns.column_names:
        return None
    scores = np.stack([_scores(columns.column(name)) for name in _COLUMNS], axis=1)
    whole = scores[(scores > 0).all(axis=1)]
    documents, examples = _listed(_examples(scores, ids, alive, read))
    return RatingFacts(
        by_source=_by_source(scores, sources),
        complete=len(whole),
        sums=whole.sum(axis=0).tolist(),
        products=(whole.T @ whole).tolist(),
        prompt_tokens=_total(columns.column("rating_prompt_tokens")),
        answer_tokens=_total(columns.column("rating_answer_tokens")),
        documents=documents,
        examples=examples,
    )


def merged(parts: Iterable[RatingFacts]) -> RatingFacts:
    """The facts of several shards as one."""
    total = RatingFacts()
    for part in parts:
        total.add(part)
    return total


def _listed(found: dict[str, list[Example]]) -> tuple[list[Example], dict[str, list[int]]]:
    """Each document once, in order, and the places of the examples among them."""
    documents = sorted({example for examples in found.values() for example in examples})
    places = {example: place for place, example in enumerate(documents)}
    return documents, {key: [places[example] for example in examples] for key, examples in found.items()}


def _scores(column: pa.ChunkedArray) -> np.ndarray:
    """int64, one per row: 1 to 5, or 0 where there is no score."""
    return np.asarray(pc.fill_null(column, 0)).astype(np.int64)


def _by_source(scores: np.ndarray, sources: Sequence[str]) -> Rows:
    """One pass over the rows for each criterion, however many sources there are; lists of the largest alone."""
    names, codes = np.unique(np.array(sources, dtype=object).astype(str), return_inverse=True)
    width = SCORES + 1
    counts = np.empty((len(names), len(CRITERIA), SCORES), np.int64)
    for place, column in enumerate(scores.T):
        cells = np.bincount(codes * width + column, minlength=len(names) * width)
        counts[:, place] = cells.reshape(-1, width)[:, 1:]
    return _bounded(names.tolist(), counts.reshape(len(names), len(CRITERIA) * SCORES))


def _bounded(names: list[str], counts: np.ndarray) -> Rows:
    """As `bounded`, of an array (sources, criteria times scores): the rows that are cut off never become lists."""
    if len(names) - (OTHER in names) <= MOST_VALUES:
        return dict(zip(names, counts.tolist(), strict=True))
    sizes = counts.sum(axis=1).tolist()
    ordered = sorted(range(len(names)), key=lambda place: (names[place] == OTHER, -sizes[place], names[place]))
    rest = counts[ordered[MOST_VALUES:]].sum(axis=0).tolist()
    return {names[place]: counts[place].tolist() for place in ordered[:MOST_VALUES]} | {OTHER: rest}


def _total(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column).as_py() or 0)


def _examples(scores: np.ndarray, ids: Sequence[str], alive: np.ndarray, read: ReadTexts) -> dict[str, list[Example]]:
    hashes = [xxhash.xxh3_64_intdigest(id_.encode()) for id_ in ids]
    chosen: dict[str, list[int]] = {}
    for place, name in enumerate(CRITERIA):
        for score in range(1, SCORES + 1):
            rows = np.flatnonzero((scores[:, place] == score) & alive).tolist()
            if rows:
                chosen[f"{name}/{score}"] = heapq.nsmallest(EXAMPLES, rows, key=lambda row: (hashes[row], row))
    wanted = np.array(sorted({row for rows in chosen.values() for row in rows}), dtype=np.int64)
    found = dict(zip(wanted.tolist(), read(wanted), strict=True)) if len(wanted) else {}
    return {key: [(hashes[row], *found[row]) for row in rows] for key, rows in chosen.items()}
