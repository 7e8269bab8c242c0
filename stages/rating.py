"""Rating: fourteen criteria and a domain for every document, by one of three raters.

`student` is the default: small, on the CPU, shipped with Tamis. `llm` is a causal language model in this process,
scored slot by slot. `served` asks an OpenAI-compatible endpoint. The protocol is that of DataMan (arXiv 2502.19363).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import Annotate, setting
from stages.rating_checks import APIS, DEVICES, DTYPES, RATERS, check
from stages.rating_protocol import WORDINGS
from stages.ratings import OTHER_LANGUAGE, SCHEMA, Rater

if TYPE_CHECKING:
    from stages.rating_card import StudentCard


class RaterModule(Protocol):
    """What each module `stages.rating_<rater>` offers."""

    def files(self, settings: "Rating") -> Mapping[str, Path]:
        """Model files by role. Raises ModelError if one is missing."""
        ...

    def open_rater(self, settings: "Rating") -> Rater:
        """Load the models. Raises ModelError or ConfigError."""
        ...


@dataclass(frozen=True)
class Rating:
    """Fourteen scores (1 to 5) and a domain for each document.

    Columns: `rating_<criterion>`, `rating_<criterion>_mean` (the expected score), `rating_confidence`, `domain`,
    `domain_confidence`, `rating_status` (ok, invalid, empty, error, other_language), `rating_prompt_tokens`,
    `rating_answer_tokens`, `rater`. Reasons, in order of precedence: `unrated`, `low_overall_score`, `domain`.
    """

    name: ClassVar[str] = "rating"
    version: ClassVar[str] = "1"

    rater: str = setting("student", f"who rates: {', '.join(RATERS)}")
    model: str = setting("default", "student: default or a directory; llm: a directory; served: its name there")
    mode: str = setting("all", "what is asked of a model: all, score (overall_score alone) or domain")
    language: str = setting("en", f"language of the prompt: {', '.join(WORDINGS)}")
    languages: str = setting("known", "student: rate documents in the languages it knows (known), or in all (all)")
    device: str = setting("auto", f"llm: where the model runs: {', '.join(DEVICES)} (auto: cuda if there is one)")
    dtype: str = setting("auto", f"llm: {', '.join(DTYPES)} (auto: bfloat16 on cuda, float32 on cpu)")
    batch_tokens: int = setting(16384, "llm: tokens per batch, padding included (on a cpu at most 2,048)")
    url: str = setting("", "served: the endpoint's base URL; the key is read from $TAMIS_RATER_KEY", operational=True)
    api: str = setting("chat", f"served: {' or '.join(APIS)}")
    guided: str = setting("none", "served: hold the answer to its form: none, regex (vLLM), grammar (llama.cpp)")
    concurrency: int = setting(64, "served: requests at once, of each worker process", operational=True)
    retries: int = setting(5, "served: further tries of a request that failed", operational=True)
    timeout_s: float = setting(120.0, "served: seconds until a request counts as failed", operational=True)
    answers: str = setting(
        "", "served: a directory that keeps every answer, so that none is paid for twice", operational=True
    )
    prompt_price: float = setting(0.0, "served: price of a million tokens asked, for the report", operational=True)
    answer_price: float = setting(0.0, "served: price of a million tokens answered, for the report", operational=True)
    min_overall_score: int = setting(0, "drop documents whose overall_score is lower (0: none)", filter=True)
    domains: tuple[str, ...] = setting((), "domains to keep (empty: all)", filter=True)
    unrated: str = setting("keep", "keep or drop documents whose status is not ok", filter=True)

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        check(self)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those of the rater."""
        return {"student": ("wordllama",), "llm": ("torch", "transformers"), "served": ()}[self.rater]

    @property
    def reads(self) -> tuple[str, ...]:
        """The text, and the language where it decides whether a document is rated."""
        return ("text", "lang") if self._by_language else ("text",)

    @property
    def remedies(self) -> Mapping[str, str]:
        """What to do about a column that is not there."""
        return {"lang": "run the stage language first, or rate documents in any language: --set languages=all"}

    @property
    def notes(self) -> str:
        """What a reader of the ratings must know of the rater."""
        if self.rater != "student":
            return ""
        card = self._card
        proxies = [f"{name} (the mean of {', '.join(of)})" for name, of in card.proxies.items()]
        return f"Rated by {card.name}, fitted on {card.teacher}, which knows: {', '.join(card.languages)}. " + (
            f"Proxies, which nothing trained: {'; '.join(proxies)}." if proxies else ""
        )

    @property
    def adds(self) -> pa.Schema:
        """The same columns for every rater."""
        return SCHEMA

    def models(self) -> Mapping[str, Path]:
        """Model files of the rater. Raises ModelError if one is missing."""
        return self._module.files(self)

    def open(self) -> Annotate:
        """The annotating function, its models loaded. Raises ModelError or ConfigError."""
        rater = self._module.open_rater(self)
        known = self._card.languages if self._by_language else None

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = [text or "" for text in batch.column("text").to_pylist()]
            if known is None:
                return rater.rate(texts).as_batch(rater.name)
            rows = [row for row, language in enumerate(batch.column("lang").to_pylist()) if language in known]
            ratings = rater.rate([texts[row] for row in rows])
            return ratings.spread(len(texts), rows, OTHER_LANGUAGE).as_batch(rater.name)

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """The first reason that holds, in the order of the class's documentation; null to keep."""
        rated = pc.equal(annotations.column("rating_status"), "ok")
        score, domain = annotations.column("rating_overall_score"), annotations.column("domain")
        kept_domain = pc.is_in(domain, value_set=pa.array(self.domains, pa.string()))
        reasons = {
            "unrated": pc.and_(pc.invert(rated), self.unrated == "drop"),
            "low_overall_score": pc.and_(rated, pc.fill_null(pc.less(score, self.min_overall_score), False)),
            "domain": pc.and_(pc.and_(pc.is_valid(domain), pc.invert(kept_domain)), bool(self.domains)),
        }
        return pc.case_when(pc.make_struct(*reasons.values()), *(pa.scalar(reason) for reason in reasons))

    @property
    def _by_language(self) -> bool:
        return self.rater == "student" and self.languages == "known"

    @property
    def _card(self) -> "StudentCard":
        from stages.rating_card import read_card, student_directory

        return read_card(student_directory(self.model))

    @property
    def _module(self) -> RaterModule:
        return cast(RaterModule, import_module(f"stages.rating_{self.rater}"))
