"""Head, middle and tail: the percentiles of a clean model's perplexity over a corpus (CCNet, arXiv 1911.00359)."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.config import InputConfig
from pipeline.documents_of import documents_of
from pipeline.storage import Store
from pipeline.where import parse_conditions
from stages.errors import ConfigError, NothingRead
from stages.ngram_models import OpenModel, card_json, card_path, open_model
from stages.perplexity import Perplexity
from stages.perplexity_models import document_perplexity, tokens_per_word

FEWEST = 100
"""Documents below which a percentile means little."""


@dataclasses.dataclass(frozen=True)
class Percentiles:
    """The perplexities that part a corpus, and how many documents they were taken over."""

    head: float
    middle: float
    documents: int


def percentiles_of(perplexities: Iterable[float], head: float, middle: float) -> Percentiles:
    """The perplexities up to which `head` and `middle` percent of the documents lie.

    >>> percentiles_of(range(1, 101), 30, 60)
    Percentiles(head=30.7, middle=60.4, documents=100)

    Raises ConfigError if the percentages are not 0 < head < middle < 100; NothingRead if there are too few documents.
    """
    if not 0 < head < middle < 100:
        raise ConfigError(f"--head, --middle: found {head} and {middle}, expected 0 < head < middle < 100")
    values = np.fromiter(perplexities, np.float64)
    if len(values) < FEWEST:
        raise NothingRead(f"found {len(values)} documents long enough to score, expected {FEWEST} or more")
    low, high = np.percentile(values, [head, middle])
    return Percentiles(round(float(low), 4), round(float(high), 4), len(values))


def calibrate_buckets(
    path: Path, inputs: tuple[str, ...], where: tuple[str, ...] = (), head: float = 30.0, middle: float = 60.0
) -> Percentiles:
    """Score documents with a clean model and write the percentiles into its card.

    Raises ConfigError, InputError, and ModelError if the model is none or not of the kind clean.
    """
    model = open_model(path)
    if model.card.kind != "clean":
        raise ConfigError(f"{path}: found a model of kind {model.card.kind}, expected clean, which buckets are of")
    found = percentiles_of(_perplexities(model, inputs, where), head, middle)
    card = dataclasses.replace(model.card, percentiles={"head": found.head, "middle": found.middle})
    with Store(str(path.parent)).create(card_path(path).name) as file:
        file.write(card_json(card))
    return found


def _perplexities(model: OpenModel, inputs: tuple[str, ...], where: tuple[str, ...]) -> Iterable[float]:
    chosen = parse_conditions(where)
    fewest = Perplexity().min_words * tokens_per_word(model.card)
    for document, fields in documents_of(InputConfig(paths=inputs), lambda record: None):
        if chosen(fields):
            ppl, tokens = document_perplexity(model, document.text)
            if tokens >= fewest:
                yield ppl
