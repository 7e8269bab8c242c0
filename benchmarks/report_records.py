"""Made-up records of shards for report_scale.py: what a run notes of a shard with language, perplexity and rating."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

ROWS_OF_A_SHARD = 5_000
LANGUAGES = ["en", "de", "fr", "es", "it", "ja", "und"]
DOMAINS = ["law", "coding", "culture", "medicine", "other"]


def outcome_of(seed: int) -> dict[str, Any]:
    """The record of one shard: aggregates of made-up columns, made as a run makes them."""
    from pipeline.aggregates import aggregate, paired
    from pipeline.facts import Facts
    from pipeline.outcomes import FORMAT, Outcome
    from pipeline.perplexity_facts import perplexity_facts
    from pipeline.rating_facts import rating_facts
    from pipeline.verdicts import StageCounts
    from stages.perplexity import Perplexity

    columns = columns_of(ROWS_OF_A_SHARD, seed)
    alive = np.asarray(columns.column("lang_score")) > 0.5
    kept = int(alive.sum())
    counts = StageCounts("language", len(alive), kept, {"low_score": len(alive) - kept}, {})
    sources = [f"source-{number % 40}" for number in range(len(alive))]
    ids = [str(number) for number in range(len(alive))]
    ratings = rating_facts(columns, sources, ids, alive, lambda rows: [(str(row), "text " * 40) for row in rows])
    facts = Facts(
        kept=kept,
        kept_bytes=60_000_000,
        stages=[counts],
        by_source={name: [500, 400, 1_000_000] for name in sorted(set(sources))},
        columns={name: paired(found) for name, found in aggregate(columns, alive).items()},
        scores=perplexity_facts(columns, [Perplexity()], alive),
        rating=ratings,
    )
    return dataclasses.asdict(Outcome("", facts, (), 1.0, FORMAT))


def columns_of(rows: int, seed: int) -> pa.Table:
    """Columns like those of language, perplexity and rating."""
    from stages.rating_protocol import CRITERIA

    chance = np.random.default_rng(seed)
    scores = {f"rating_{name}": pa.array(chance.integers(1, 6, rows), pa.int8()) for name in CRITERIA}
    means = {f"rating_{name}_mean": pa.array(chance.uniform(1, 5, rows), pa.float32()) for name in CRITERIA}
    zeros = pa.array(np.zeros(rows), pa.int32())
    return pa.table(
        {
            "lang": pa.array(chance.choice(LANGUAGES, rows)),
            "lang_score": pa.array(chance.beta(8, 1, rows), pa.float32()),
            "harmful_ratio": pa.array(chance.normal(-1, 0.7, rows), pa.float32()),
            "harmful_ppl": pa.array(np.exp(chance.normal(7, 1, rows)), pa.float32()),
            "harmful_model": pa.array(chance.choice(LANGUAGES[:5], rows)),
            "domain": pa.array(chance.choice(DOMAINS, rows)),
            "rating_status": pa.array(["ok"] * rows),
            **scores,
            **means,
            "rating_prompt_tokens": zeros,
            "rating_answer_tokens": zeros,
        }
    )
