"""Rows with ratings as the stage `rating` adds them, and selection by a plain sort as the oracle."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import xxhash

from stages.contract import Annotate
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.select import Select

FIELDS = {
    "id": pa.string(),
    "source": pa.string(),
    "domain": pa.string(),
    "text_bytes": pa.int64(),
    "count": pa.int64(),
    **{f"rating_{name}": pa.int8() for name in CRITERIA},
    **{f"rating_{name}_mean": pa.float32() for name in CRITERIA},
}
Row = dict[str, Any]


def row(number: int, score: int | None, mean: float | None = None, **others: Any) -> Row:
    """One document; all its criteria are rated `score`, with the expected score `mean`."""
    ratings = {f"rating_{name}": score for name in CRITERIA} | {f"rating_{name}_mean": mean for name in CRITERIA}
    return {"id": f"d{number}", "source": "a", "domain": "law", "text_bytes": 40, "count": 10, **ratings, **others}


def some_rows(count: int, seed: int = 0, ties: bool = True) -> list[Row]:
    """Documents of three sources with random scores."""
    chance = random.Random(seed)
    return [
        row(
            number,
            chance.randint(1, 5),
            None if ties else chance.uniform(1, 5),
            source=chance.choice("abc"),
            domain=chance.choice(DOMAINS[:3]),
            count=chance.randint(1, 100),
        )
        for number in range(count)
    ]


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as a stage sees them."""
    return pa.RecordBatch.from_pydict(
        {name: pa.array([found[name] for found in rows], kind) for name, kind in FIELDS.items()}
    )


def surveyed(stage: Select, splits: Iterable[Sequence[Row]], seed: int = 0) -> Mapping[str, Any]:
    """The finished state of a selection over rows in splits, and the rounds that it took."""
    batches = [batch(rows) for rows in splits]
    state, rounds = stage.begin(seed), 0
    while not stage.finished(state):
        state = stage.reduce(state, stage.merge([stage.survey(state, found) for found in batches]))
        rounds += 1
    return {**state, "rounds": rounds}


def selected(stage: Select, splits: Sequence[Sequence[Row]], seed: int = 0) -> dict[str, Row]:
    """What the stage says of each document, by id."""
    annotate = stage.open_with(surveyed(stage, splits, seed))
    answers = [(rows, annotate(batch(rows)).to_pylist()) for rows in splits]
    return {found["id"]: said for rows, said_all in answers for found, said in zip(rows, said_all, strict=True)}


def best_first(answers: Mapping[str, Row], ids: Iterable[str], seed: int) -> list[str]:
    """Ids by key, ties by hash, as one sort of all rows gives them."""
    return sorted(
        ids,
        key=lambda id_: (answers[id_]["select_key"] is not None, answers[id_]["select_key"],
                         xxhash.xxh3_128_digest(id_.encode(), seed)),
        reverse=True,
    )  # fmt: skip


def greedy(order: Iterable[str], tokens: Mapping[str, int], budget: int) -> set[str]:
    """The first documents that fit the budget together; the first that does not fit ends it."""
    taken: set[str] = set()
    for id_ in order:
        budget -= tokens[id_]
        if budget < 0:
            break
        taken.add(id_)
    return taken


def by_stratum(rows: Iterable[Row], column: str) -> dict[str, list[str]]:
    """Ids of each value of a column."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in rows:
        found[one[column]].append(one["id"])
    return found


@dataclass(frozen=True)
class Rater:
    """A batch stage that gives every document ratings by its id and length."""

    name: ClassVar[str] = "rater"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ("text",)

    @property
    def adds(self) -> pa.Schema:
        names = ["domain", *(name for name in FIELDS if name.startswith("rating_"))]
        return pa.schema([pa.field(name, FIELDS[name]) for name in names])

    def models(self) -> Mapping[str, Path]:
        return {}

    def open(self) -> Annotate:
        def annotate(documents: pa.RecordBatch) -> pa.RecordBatch:
            rows = [self._rated(text) for text in documents.column("text").to_pylist()]
            return pa.RecordBatch.from_pylist(rows, schema=self.adds)

        return annotate

    def _rated(self, text: str) -> Row:
        lot = xxhash.xxh3_64_intdigest(text.encode())
        found = row(0, 1 + lot % 5, 1 + lot % 401 / 100, domain=DOMAINS[lot % 3])
        return {name: None if lot % 31 == 0 else found[name] for name in self.adds.names}

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        return pa.nulls(annotations.num_rows, pa.string())
