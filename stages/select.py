"""Selection under a token budget: the best documents of each source or domain, or a sample that prefers better ones.

`top_k` takes the best by score. `sample` draws without replacement, by Gumbel noise on score / temperature (QuRating,
ICML 2024). Shares of strata are kept, equal, or given, as in DataMan (arXiv 2502.19363). The result is exact, depends
on the documents and the seed alone, and no process sees all documents: see `stages.select_search`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import Annotate, State, Summary, setting
from stages.frozen import Frozen
from stages.rating_protocol import CRITERIA
from stages.select_checks import check, check_names
from stages.select_rows import LAST, PLACE, REASONS, Rows, rows_of
from stages.select_search import (
    Partial,
    Strata,
    Stratum,
    after_count,
    after_sample,
    as_state,
    counted,
    grid_in,
    merged,
    sampled,
    strata_in,
)
from stages.select_shares import apportioned, redistributed, shares_of
from stages.select_summary import summary_of

T = TypeVar("T")
_LAST: dict[str, tuple[State, object]] = {}
SELECTED, NOT_SELECTED, SHARE_ZERO = "selected", "not_selected", "share_zero"
_SCHEMA = pa.schema(
    [
        pa.field("select_score", pa.float64()),
        pa.field("select_key", pa.float64()),
        pa.field("select_copies", pa.int32()),
        pa.field("select_status", pa.string()),
    ]
)


def _least(criterion: str) -> Any:
    return setting(0, f"documents whose {criterion} is rated lower are no candidates (0: none)")


def _told(made: Any, expected: str) -> Any:
    """A setting whose message for a value of another type says what was expected."""
    return field(default=made.default, metadata={**made.metadata, "expected": expected})


@dataclass(frozen=True)
class Select:
    """Documents by score until a token budget is met, in each stratum.

    Columns: `select_score` (the weighted score), `select_key` (what ranks), `select_copies` (how often the document is
    to be seen: 0 if it was not selected), `select_status` (selected, or the reason). Reasons, in order of precedence:
    `min_<criterion>`, `unrated`, `share_zero`, `not_selected`.
    """

    name: ClassVar[str] = "select"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("xxhash",)

    tokens: int = setting(0, "the budget (0: all that pass the minimums)")
    method: str = setting("sample", "top_k: the best first; sample: drawn, the better the likelier")
    temperature: float = setting(2.0, "sample: documents are drawn by score / temperature + Gumbel noise")
    weights: Mapping[str, float] = setting(Frozen(overall_score=1.0), "criterion -> weight in the score")
    strata: tuple[str, ...] = setting(("source",), "columns (two at most) whose values have budgets of their own")
    shares: str | Mapping[str, float] = _told(
        setting("proportional", "of the strata: proportional, equal, or name -> share"),
        "proportional, equal, or a mapping such as {law: 0.3}",
    )
    shortfall: str = setting("keep", "what a stratum lacks: keep (stays unmet) or redistribute (to the others)")
    max_copies: int = setting(1, "a stratum that lacks tokens may repeat each document so often (1: never)")
    tokens_from: str = setting("bytes", "bytes (UTF-8 bytes / bytes_per_token), or an integer column")
    bytes_per_token: float = setting(4.0, "of the estimate from bytes")
    unrated: str = setting("drop", "documents that lack a score: drop, or keep (they rank last)")
    min_accuracy: int = _least("accuracy")
    min_coherence: int = _least("coherence")
    min_language_consistency: int = _least("language_consistency")
    min_semantic_density: int = _least("semantic_density")
    min_knowledge_novelty: int = _least("knowledge_novelty")
    min_topic_focus: int = _least("topic_focus")
    min_creativity: int = _least("creativity")
    min_professionalism: int = _least("professionalism")
    min_style_consistency: int = _least("style_consistency")
    min_grammatical_diversity: int = _least("grammatical_diversity")
    min_structural_standardization: int = _least("structural_standardization")
    min_originality: int = _least("originality")
    min_sensitivity: int = _least("sensitivity")
    min_overall_score: int = _least("overall_score")

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used; mappings become hashable."""
        object.__setattr__(self, "weights", Frozen({name: float(value) for name, value in self.weights.items()}))
        if not isinstance(self.shares, str):
            object.__setattr__(self, "shares", Frozen({name: float(value) for name, value in self.shares.items()}))
        check(self)

    @property
    def reads(self) -> tuple[str, ...]:
        """Ratings that are asked for, columns of the strata, and what tokens are counted by."""
        ratings = [column for name in sorted(self.weights) for column in (f"rating_{name}", f"rating_{name}_mean")]
        least = [f"rating_{name}" for name in self.minimums]
        tokens = "text_bytes" if self.tokens_from == "bytes" else self.tokens_from
        return tuple(dict.fromkeys([*ratings, *least, *self.strata, tokens]))

    @property
    def minimums(self) -> dict[str, int]:
        """Criterion -> the rating that a candidate needs."""
        return {name: least for name in CRITERIA if (least := getattr(self, f"min_{name}"))}

    @property
    def adds(self) -> pa.Schema:
        """The same columns for every setting."""
        return _SCHEMA

    def models(self) -> Mapping[str, Path]:
        """None."""
        return {}

    def begin(self, seed: int) -> State:
        """Nothing is known but the seed (modulo 2**64)."""
        return {"seed": seed % 2**64, "phase": "supply", "strata": {}}

    def survey(self, state: State, rows: pa.RecordBatch) -> Partial:
        """Supply and a sample, or counts between the places of the sample before. Raises ConfigError."""
        known = rows_of(self, rows, state["seed"])
        if state["phase"] == "count":
            return counted(known, _once(state, grid_in))
        return sampled(known, None if state["phase"] == "supply" else _once(state, strata_in))

    def merge(self, partials: Sequence[Partial]) -> Partial:
        """One partial for the rows of several. Raises ConfigError for too many strata."""
        return merged(partials)

    def reduce(self, state: State, partial: Partial) -> State:
        """Budgets first, then smaller gaps around the thresholds. Raises ConfigError for an unknown stratum's share."""
        if state["phase"] == "count":
            strata, following = after_count(strata_in(state), partial), "sample"
        else:
            known = self._budgets(partial) if state["phase"] == "supply" else strata_in(state)
            strata, following = after_sample(known, partial), "count"
        phase = following if any(stratum.is_open for stratum in strata.values()) else "done"
        return {**state, "phase": phase, "strata": as_state(strata)}

    def finished(self, state: State) -> bool:
        """Whether the threshold of every stratum is known."""
        return bool(state["phase"] == "done")

    def open_with(self, state: State) -> Annotate:
        """The annotating function: each document against the threshold of its stratum."""
        strata = strata_in(state)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            rows = rows_of(self, batch, state["seed"])
            return _annotated(rows, [strata[name] for name in rows.names])

        return annotate

    def summary(self, state: State) -> Summary:
        """Of each stratum what was asked, what it holds, what it gave, and what it lacks."""
        return summary_of(strata_in(state), self.tokens)

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """The status of what was not selected; null to keep."""
        status = annotations.column("select_status")
        return pc.if_else(pc.equal(status, SELECTED), pa.scalar(None, pa.string()), status)

    def _budgets(self, partial: Partial) -> Strata:
        """The strata with the tokens that each may take; thresholds where there is nothing to search."""
        supply = np.asarray(partial.supply).tolist()
        found = {name: Stratum(*row) for name, row in zip(partial.names, supply, strict=True)}
        if isinstance(self.shares, Mapping):
            check_names(self.shares, list(found), self.strata)
            found = {name: found.get(name, Stratum(0, 0, 0)) for name in sorted({*found, *self.shares})}
        held = {name: stratum.tokens for name, stratum in found.items()}
        shares = shares_of(self.shares, held)
        asked = apportioned(self.tokens, shares) if self.tokens else held
        capacity = {name: tokens * self.max_copies for name, tokens in held.items()}
        budget = {name: min(asked[name], capacity[name]) for name in found}
        if self.tokens and self.shortfall == "redistribute":
            budget = redistributed(self.tokens, shares, capacity)
        free = {name: int(isinstance(self.shares, str) or share > 0) for name, share in shares.items()}
        return {
            name: _with_budget(replace(one, share=float(shares[name]), asked=asked[name]), budget[name], free[name])
            for name, one in found.items()
        }


def _once(state: State, make: Callable[[State], T]) -> T:
    """What `make` gives of a state; the last is kept, since a round shows one state to many batches."""
    held = _LAST.get(make.__name__)
    if held is None or held[0] is not state:
        held = _LAST[make.__name__] = state, make(state)
    return cast(T, held[1])


def _with_budget(stratum: Stratum, budget: int, free: int) -> Stratum:
    """Whole passes over the stratum (`free` if it holds no tokens), and what is left for its best."""
    copies, rest = divmod(budget, stratum.tokens) if stratum.tokens else (free, 0)
    known = replace(stratum, budget=budget, copies=copies, rest=rest, inside=stratum.documents)
    return known if rest else replace(known, threshold=LAST.hex(), inside=0)


def _annotated(rows: Rows, strata: list[Stratum]) -> pa.RecordBatch:
    threshold = np.array([bytes.fromhex(one.threshold) for one in strata], PLACE)[rows.stratum]
    whole = np.array([one.copies for one in strata], np.int32)[rows.stratum]
    none = np.array([one.share == 0 for one in strata], bool)[rows.stratum]
    copies = np.where(rows.candidates, whole + (rows.place >= threshold), 0).astype(np.int32)
    status = np.where(copies > 0, SELECTED, np.where(none, SHARE_ZERO, NOT_SELECTED)).astype(object)
    status = np.where(rows.candidates, status, np.array(REASONS, object)[rows.reason])
    missing = np.isnan(rows.score)
    arrays = [pa.array(rows.score, mask=missing), pa.array(rows.key, mask=missing)]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(copies), pa.array(status, pa.string())], schema=_SCHEMA)
