"""Perplexity under n-gram models: the filter of harmful text, and the quality filter that is its mirror image.

Harmful side (`side: above`): a small model trained on harmful text alone; what it finds unsurprising resembles harmful
text and is dropped ("Perplexed by Quality", arXiv 2212.10440). A background model of benign text beside it makes the
comparison fair to the register of a text, weights of single words sharpen it, and windows find a passage inside a long
benign page.
Quality side (`side: below`): a model of clean text; what surprises it is dropped, or sorted into head, middle and tail
by the percentiles of its language (CCNet, arXiv 1911.00359).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract import Annotate, setting
from stages.errors import ConfigError, ModelError
from stages.ngram_models import OpenModel, scores_of
from stages.ngram_pieces import together
from stages.perplexity_models import (
    companion_of,
    contrasts_of,
    document_perplexity,
    language_card,
    language_model,
    model_directory,
    model_files,
    tokens_per_word,
    weights_of_words,
)
from stages.perplexity_scores import document_scores
from stages.perplexity_words import WordWeights

CALIBRATED = "calibrated"
BUCKETS = ("head", "middle", "tail")
SCORES = ("document", "worst", "ratio")
SCORED, TOO_SHORT, NO_MODEL = "scored", "too_short", "no_model"
"""What the status column says."""
PIECE_WORDS = 16
"""Longer lines are cut, so that a window can begin and end inside a paragraph."""

Row = tuple[object, ...]
"""One document's values, in the order of the added columns."""

_COLUMNS = {"document": "harmful_ppl", "worst": "harmful_ppl_worst", "ratio": "harmful_ratio"}

_HARMFUL = pa.schema(
    [
        pa.field("harmful_ppl", pa.float32()),
        pa.field("harmful_ppl_worst", pa.float32()),
        pa.field("harmful_ratio", pa.float32()),
        pa.field("harmful_tokens", pa.int32()),
        pa.field("harmful_model", pa.string()),
        pa.field("harmful_status", pa.string()),
    ]
)
_QUALITY = pa.schema(
    [
        pa.field("quality_ppl", pa.float32()),
        pa.field("quality_bucket", pa.string()),
        pa.field("quality_tokens", pa.int32()),
        pa.field("quality_model", pa.string()),
        pa.field("quality_status", pa.string()),
    ]
)


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of each document under the n-gram models of its language.

    Columns of `side: above`: `harmful_ppl`, `harmful_ppl_worst`, `harmful_ratio`, `harmful_tokens`, `harmful_model`,
    `harmful_status`; of `side: below`: `quality_ppl`, `quality_bucket`, `quality_tokens`, `quality_model`,
    `quality_status`. The status is `scored`, `too_short` or `no_model`; what was not scored has no scores. The model's
    column names its language and is null for a language without one.

    Reasons, in order of precedence: `no_model`, `too_short`, `harmful` or `low_quality`.
    """

    name: ClassVar[str] = "perplexity"
    version: ClassVar[str] = "4"
    libraries: ClassVar[tuple[str, ...]] = ("kenlm",)
    reads: ClassVar[tuple[str, ...]] = ("text", "lang")

    model: str = setting("default", "default, or a directory with files such as en.harmful.klm, en.background.klm")
    side: str = setting("above", "above: keep what lies above, with harmful models; below: with clean models")
    window: int = setting(64, "words in the window of harmful_ppl_worst and harmful_ratio")
    min_words: int = setting(20, "texts with fewer words are not scored")
    score: str = setting("ratio", f"which score decides on side above: {', '.join(SCORES)}", filter=True)
    threshold: float | str = setting(CALIBRATED, "a number, or calibrated: what the model's card says", filter=True)
    buckets: tuple[str, ...] = setting(BUCKETS, "which buckets side below keeps", filter=True)
    no_model: str = setting("keep", "keep or drop documents in a language without a model", filter=True)
    too_short: str = setting("keep", "keep or drop documents that are too short to be scored", filter=True)

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot be used."""
        _one_of("side", self.side, ("above", "below"))
        _one_of("score", self.score, SCORES)
        for name in ("no_model", "too_short"):
            _one_of(name, getattr(self, name), ("keep", "drop"))
        if isinstance(self.threshold, str) and self.threshold != CALIBRATED:
            raise ConfigError(f"perplexity.threshold: found '{self.threshold}', expected a number or {CALIBRATED}")
        for bucket in self.buckets:
            _one_of("buckets", bucket, BUCKETS)
        for name in ("window", "min_words"):
            if getattr(self, name) < 1:
                raise ConfigError(f"perplexity.{name}: found {getattr(self, name)}, expected 1 or more")

    @property
    def adds(self) -> pa.Schema:
        """Columns of the side."""
        return _HARMFUL if self.side == "above" else _QUALITY

    @property
    def score_column(self) -> str:
        """The column that decides."""
        return _COLUMNS[self.score] if self.side == "above" else "quality_ppl"

    def models(self) -> Mapping[str, Path]:
        """Models and cards of the side. Raises ModelError if there is none, or one lacks its card."""
        kinds = ("harmful", "background", "weights") if self.side == "above" else ("clean",)
        return model_files(model_directory(self.model), kinds)

    def open(self) -> Annotate:
        """The annotating function; a language's models are verified and mapped when its first document comes."""
        self.models()
        directory, adds = model_directory(self.model), self.adds
        judge = self._harmful if self.side == "above" else self._quality

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts, languages = batch.column("text").to_pylist(), batch.column("lang").to_pylist()
            rows: list[Row] = [()] * len(texts)
            for lang in dict.fromkeys(languages):
                places = [place for place, found in enumerate(languages) if found == lang]
                answers = judge(directory, lang or "", [texts[place] or "" for place in places])
                for place, answer in zip(places, answers, strict=True):
                    rows[place] = answer
            columns = list(zip(*rows, strict=True)) or [()] * len(adds)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, adds, strict=True)]
            return pa.RecordBatch.from_arrays(arrays, schema=adds)

        return annotate

    def decide(self, annotations: pa.RecordBatch) -> pa.StringArray:
        """The first reason that holds, in the order of the class's documentation; null to keep."""
        side, reason = ("harmful", "harmful") if self.side == "above" else ("quality", "low_quality")
        status = annotations.column(f"{side}_status")
        reasons = {
            NO_MODEL: pc.and_(pc.equal(status, NO_MODEL), self.no_model == "drop"),
            TOO_SHORT: pc.and_(pc.equal(status, TOO_SHORT), self.too_short == "drop"),
            reason: pc.and_(pc.equal(status, SCORED), self._fails(annotations)),
        }
        return pc.case_when(pc.make_struct(*reasons.values()), *(pa.scalar(reason) for reason in reasons))

    def _harmful(self, directory: Path, lang: str, texts: list[str]) -> list[Row]:
        model, base = _model_of(directory, lang, "harmful")
        if model is None:
            return [(None, None, None, 0, None, NO_MODEL)] * len(texts)
        benign, weights = companion_of(directory, base, "background"), weights_of_words(directory, base)
        return [row for group in together(texts) for row in self._compared(model, benign, weights, base, group)]

    def _compared(
        self, model: OpenModel, benign: OpenModel | None, weights: WordWeights | None, base: str, texts: list[str]
    ) -> Iterator[Row]:
        """Rows of texts in one language: one model after the other scores them all, so that it stays in the cache."""
        unit = tokens_per_word(model.card)
        cut = [model.normaliser.pieces(text, PIECE_WORDS * unit) for text in texts]
        counts = [int(tokens.sum()) for _, tokens in cut]
        judged = [n >= self.min_words * unit for n in counts]
        log10 = [scores_of(model, found.lines) if scored else None for found, scored in zip(cut, judged, strict=True)]
        contrasts = contrasts_of(log10, cut, benign, weights)
        for (_, tokens), count, ours, contrast in zip(cut, counts, log10, contrasts, strict=True):
            if ours is None:
                yield None, None, None, count, base, TOO_SHORT
                continue
            scores = document_scores(ours, tokens, contrast, self.window * unit)
            yield scores.ppl, scores.worst, None if contrast is None else scores.ratio, count, base, SCORED

    def _quality(self, directory: Path, lang: str, texts: list[str]) -> list[Row]:
        model, base = _model_of(directory, lang, "clean")
        if model is None:
            return [(None, None, 0, None, NO_MODEL)] * len(texts)
        least = self.min_words * tokens_per_word(model.card)
        return [
            (None, None, count, base, TOO_SHORT) if count < least else (ppl, bucket_of(ppl, model), count, base, SCORED)
            for ppl, count in (document_perplexity(model, text) for text in texts)
        ]

    def _fails(self, annotations: pa.RecordBatch) -> pa.BooleanArray:
        if self.side == "below" and self.threshold == CALIBRATED:
            return pc.invert(
                pc.is_in(annotations.column("quality_bucket"), value_set=pa.array(self.buckets, pa.string()))
            )
        prefix, column = "harmful" if self.side == "above" else "quality", self.score_column
        limits = self._thresholds(annotations.column(f"{prefix}_model"))
        values = annotations.column(column)
        fails = pc.greater(values, limits) if column in ("harmful_ratio", "quality_ppl") else pc.less(values, limits)
        return pc.fill_null(fails, False)

    def _thresholds(self, models: pa.StringArray) -> pa.FloatArray:
        """The threshold of each row, from its model's card if it is calibrated."""
        if not isinstance(self.threshold, str):
            return pa.array(np.full(len(models), self.threshold, np.float32))
        known = {lang: self._calibrated(lang) for lang in pc.unique(models).to_pylist() if lang is not None}
        return pa.array([None if lang is None else known[lang] for lang in models.to_pylist()], pa.float32())

    def _calibrated(self, language: str) -> float:
        directory = model_directory(self.model)
        calibration = language_card(directory, language, "harmful").calibration
        if calibration is None or calibration.score != self.score:
            found = "no calibration" if calibration is None else f"a calibration of the score '{calibration.score}'"
            raise ModelError(
                f"{directory}/{language}.harmful.json: found {found}, expected one of '{self.score}': "
                "run `tamis calibrate perplexity`, or set perplexity.threshold to a number"
            )
        return calibration.threshold


def bucket_of(ppl: float, model: OpenModel) -> str | None:
    """head, middle or tail, by the two percentiles in the card of a clean model; None if it has none."""
    cuts = model.card.percentiles
    if not cuts:
        return None
    return BUCKETS[int(np.searchsorted([cuts["head"], cuts["middle"]], ppl))]


def _model_of(directory: Path, lang: str, kind: str) -> tuple[OpenModel | None, str]:
    """The model of a language and its code; a code with a script falls back on the bare one."""
    for code in (lang, lang.partition("-")[0]):
        if model := language_model(directory, code, kind):
            return model, code
    return None, lang


def _one_of(name: str, found: str, expected: tuple[str, ...]) -> None:
    if found not in expected:
        raise ConfigError(f"perplexity.{name}: found '{found}', expected one of {', '.join(expected)}")
