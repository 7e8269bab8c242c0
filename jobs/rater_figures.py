"""What the recipe of the default student rater knows of its quality: figures on documents that are held out.

They come from heads fitted on the other documents; the weights that are shipped are fitted on all. Held-out documents
are of the same sources as the others, and damaged in the same ways: benchmarks/rating_quality.py has other sources.
"""

import dataclasses
from typing import Any

import numpy as np
from rater_sources import Clean, halves, stock_of

from pipeline.training.agreement import level_order
from pipeline.training.damage import REACHED
from pipeline.training.rater import expected_scores, measure, rows_of, train_heads
from pipeline.training.rater_examples import Example, ladder
from pipeline.training.rater_fit import Fitting, Inputs
from pipeline.training.rater_job import figures_of, short_figures
from stages.rating_heads import Heads
from stages.rating_protocol import CRITERIA
from stages.rating_tokens import Embedder, Tables

BY_WORDS = ", by words"
"""Ends the source of an article whose domain was read from its words: no truth to be measured by."""
ONE_IN = 10
"""Documents are held out."""
LADDERS = 40
"""Held-out documents in five levels of each kind of damage."""


def is_held_out(group: str) -> bool:
    """Whether figures are measured on a group; examples without one are never held out.

    >>> is_held_out(""), is_held_out("000000000000000a"), is_held_out("000000000000000b")
    (False, True, False)
    """
    return bool(group) and int(group, 16) % ONE_IN == 0


def held_out_figures(
    examples: list[Example], data: Inputs, prose: dict[str, list[Clean]], embedder: Embedder, tables: Tables, seed: int
) -> dict[str, Any]:
    """Agreement with the known ratings and domains, and `damage_order`, by criterion."""
    held = np.array([is_held_out(example.group) for example in examples])
    guessed = np.array([example.source.endswith(BY_WORDS) for example in examples])
    heads = train_heads(rows_of(data, ~held), Fitting())
    known = dataclasses.replace(data, domains=np.where(guessed, -1, data.domains))
    figures = figures_of(heads, rows_of(known, held))
    figures["split"] = {"by": "beginning of the text", "train": int((~held).sum()), "held_out": int(held.sum())}
    return {"damage_order": damage_order(heads, prose, embedder, tables, seed), **short_figures(figures)}


def damage_order(
    heads: Heads, prose: dict[str, list[Clean]], embedder: Embedder, tables: Tables, seed: int
) -> dict[str, float]:
    """By criterion: share of pairs of levels of a held-out document that are rated in the right order, and the mean."""
    texts = [clean.text for cleans in prose.values() for clean in halves(cleans)[1] if is_held_out(clean.group)]
    stock = stock_of([clean for name in ("books", "wiki") for clean in halves(prose[name])[0]], seed + 1)
    found = {}
    for criterion in REACHED:
        ladders = ladder(texts, criterion, LADDERS, seed, stock)
        rungs = [Example(text, np.full(len(CRITERIA), np.nan)) for levels in ladders for text in levels]
        scores = expected_scores(heads, measure(rungs, embedder, tables))[:, CRITERIA.index(criterion)]
        found[criterion] = round(float(level_order(scores.reshape(len(ladders), -1)).mean()), 4)
    return {**found, "mean": round(float(np.mean(list(found.values()))), 4)}
