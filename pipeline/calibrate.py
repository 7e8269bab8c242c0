"""Calibrate a harmful model: score labelled documents, choose a threshold, say how well it judges, write its card.

A valley between two clusters is drawn but never taken for a threshold. On documents without labels nothing tells what
the clusters are: a valley lies as readily between forum and news as between harmful and benign, and where one document
in a hundred is harmful the threshold at the valley had a precision of .07. A labelled set needs sources that the model
was not trained on; a document that was trained on scores far better than one that was not.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import calibration as measures
from pipeline.calibration import BySource, Floats, Interval, Point
from pipeline.config import InputConfig
from pipeline.density import Valley, valley
from pipeline.documents_of import documents_of
from pipeline.storage import Store
from pipeline.where import parse_conditions
from stages.errors import ConfigError, InputError, NothingRead
from stages.ngram_models import Calibration, card_json, card_path, read_card
from stages.perplexity import Perplexity

SEED = 0
_BATCH = 256
_COLUMNS = {"ratio": "harmful_ratio", "worst": "harmful_ppl_worst", "document": "harmful_ppl"}
NO_LABELS = (
    "these documents have no labels, so a valley is where few documents lie, not where harmful ones begin: it can as "
    "well separate registers or topics, and at 1% prevalence it had a precision of .07. For a threshold give labelled "
    "documents of sources that the model was not trained on, with --positive and --negative"
)


@dataclass(frozen=True)
class Inputs:
    """Which documents to score, and with what."""

    model: Path
    language: str
    score: str = "ratio"
    where: tuple[str, ...] = ()
    text: str = "text"

    def __post_init__(self) -> None:
        if self.score not in _COLUMNS:
            raise ConfigError(f"--score: found '{self.score}', expected one of {', '.join(_COLUMNS)}")


@dataclass(frozen=True)
class Target:
    """What a threshold is chosen for."""

    measure: str
    value: float
    prevalence: float

    def __str__(self) -> str:
        return f"{self.measure} {self.value} at prevalence {self.prevalence}"


@dataclass(frozen=True)
class Calibrated:
    """What a labelled set says. Scores are oriented: higher is more harmful, perplexities are log10 and negated."""

    inputs: Inputs
    target: Target
    point: Point
    auc: Interval
    recall: Interval
    precision: Interval
    positive: BySource
    negative: BySource
    recall_by_source: dict[str, Interval]
    dropped_by_benign_source: dict[str, Interval]
    valley: Valley | None
    unjudged: int
    """Documents that were too short to be scored."""

    @property
    def threshold(self) -> float:
        """The threshold in the units of the stage's column."""
        return native(self.point.threshold, self.inputs.score)


def native(oriented: float, score: str) -> float:
    """An oriented score in the units of the stage's column.

    >>> native(-2.0, "worst")
    100.0
    """
    return oriented if score == "ratio" else float(10.0**-oriented)


def parse_target(text: str, prevalence: float) -> Target:
    """A target such as `precision=.9`. Raises ConfigError if it is none."""
    measure, equals, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if measure not in ("precision", "recall") or not equals or not 0 < value < 1:
        raise ConfigError(f"--target: found '{text}', expected precision= or recall= with a number between 0 and 1")
    if not 0 < prevalence < 1:
        raise ConfigError(f"--prevalence: found {prevalence}, expected a number between 0 and 1")
    return Target(measure, value, prevalence)


def scores_by_source(paths: tuple[str, ...], inputs: Inputs) -> tuple[dict[str, Floats], int]:
    """Oriented scores of the documents by source, and how many documents were too short to be scored.

    Raises NothingRead if none is left, InputError if the language has no model of the score.
    """
    annotate = Perplexity(model=str(inputs.model)).open()
    found: dict[str, list[float]] = {}
    unjudged = 0
    for texts, sources in _batches(paths, inputs):
        batch = pa.RecordBatch.from_pydict({"text": texts, "lang": [inputs.language] * len(texts)})
        for source, value in zip(sources, _oriented(annotate(batch), inputs), strict=True):
            if np.isnan(value):
                unjudged += 1
            else:
                found.setdefault(source, []).append(value)
    if not found:
        raise NothingRead(f"{', '.join(paths)}: {unjudged:,} documents, none of which is long enough to be scored")
    return {source: np.array(values) for source, values in sorted(found.items())}, unjudged


def calibrate(positive: BySource, negative: BySource, inputs: Inputs, target: Target, unjudged: int = 0) -> Calibrated:
    """Choose the threshold and measure it. Raises InputError if no threshold reaches the target."""
    threshold = _threshold(positive, negative, target)
    point = measures.point_at(threshold, positive, negative, target.prevalence)

    def precision(p: BySource, n: BySource) -> float:
        return measures.point_at(threshold, p, n, target.prevalence).precision

    return Calibrated(
        inputs, target, point,
        auc=measures.bootstrap(measures.auc_by_source, positive, negative, SEED, 200),
        recall=measures.bootstrap(lambda p, n: measures.share_above(p, threshold), positive, negative, SEED),
        precision=measures.bootstrap(precision, positive, negative, SEED),
        positive=positive, negative=negative,
        recall_by_source=_shares(positive, threshold),
        dropped_by_benign_source=_shares(negative, threshold),
        valley=valley(np.concatenate([*positive.values(), *negative.values()])),
        unjudged=unjudged,
    )  # fmt: skip


def card_entry(found: Calibrated) -> Calibration:
    """What the model's card records."""
    details: dict[str, Any] = {
        "prevalence": found.target.prevalence,
        "auc": _rounded(found.auc),
        "precision_interval": _rounded(found.precision),
        "recall_interval": _rounded(found.recall),
        "false_positive_rate": round(found.point.false_positive_rate, 5),
        "recall_by_source": {name: _rounded(value) for name, value in found.recall_by_source.items()},
        "dropped_by_benign_source": {name: _rounded(value) for name, value in found.dropped_by_benign_source.items()},
        "documents": {
            name: len(values) for scores in (found.positive, found.negative) for name, values in scores.items()
        },
        "seen_in_training": seen_in_training(found),
    }
    point = found.point
    return Calibration(
        found.inputs.score,
        found.threshold,
        str(found.target),
        measures.rounded(point.precision),
        round(point.recall, 4),
        details,
    )


def seen_in_training(found: Calibrated) -> list[str]:
    """Sources of the labelled set that have the name of a training source of the harmful or the background model."""
    directory, language = found.inputs.model, found.inputs.language
    models = [path for kind in ("harmful", "background") if (path := directory / f"{language}.{kind}.klm").is_file()]
    trained = {source for path in models for source in read_card(path).documents}
    return sorted({*found.positive, *found.negative} & trained)


def write_card(found: Calibrated) -> Path:
    """Put the calibration into the card of the language's harmful model, and return the card's path."""
    model = found.inputs.model / f"{found.inputs.language}.harmful.klm"
    card = dataclasses.replace(read_card(model), calibration=card_entry(found))
    with Store(str(model.parent)).create(card_path(model).name) as file:
        file.write(card_json(card))
    return card_path(model)


def _threshold(positive: BySource, negative: BySource, target: Target) -> float:
    if target.measure == "recall":
        return measures.threshold_for_recall(positive, target.value)
    found = measures.threshold_for_precision(positive, negative, target.value, target.prevalence)
    if found is None:
        raise InputError(
            f"no threshold reaches precision {target.value} at prevalence {target.prevalence} on these documents: "
            "lower the precision, state a higher prevalence, or train a better model"
        )
    return found


def _shares(scores: BySource, threshold: float) -> dict[str, Interval]:
    return {name: measures.bootstrap_share(values, threshold, SEED) for name, values in scores.items()}


def _rounded(interval: Interval) -> list[float | None]:
    return [measures.rounded(value) for value in interval]


def _oriented(answer: pa.RecordBatch, inputs: Inputs) -> Floats:
    """Scores with NaN where there is none."""
    if answer.column("harmful_model").null_count:
        raise InputError(f"{inputs.model}: found no harmful model of '{inputs.language}', expected one; see --language")
    values = np.asarray(answer.column(_COLUMNS[inputs.score]).to_numpy(zero_copy_only=False), dtype=np.float64)
    if inputs.score == "ratio" and np.isnan(values[answer.column("harmful_ppl").is_valid().to_numpy(False)]).any():
        raise InputError(f"{inputs.model}: found no {inputs.language}.background.klm, which the score 'ratio' needs")
    return values if inputs.score == "ratio" else -np.log10(values)


def _batches(paths: tuple[str, ...], inputs: Inputs) -> Iterator[tuple[list[str], list[str]]]:
    chosen = parse_conditions(inputs.where)
    texts: list[str] = []
    sources: list[str] = []
    config = InputConfig(paths=paths, text=inputs.text)
    for document, fields in documents_of(config, lambda record: None):
        if chosen(fields):
            texts.append(document.text)
            sources.append(document.source)
        if len(texts) == _BATCH:
            yield texts, sources
            texts, sources = [], []
    if texts:
        yield texts, sources
