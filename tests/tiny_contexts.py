"""Small directories of packed contexts, and settings of a proxy that trains on them in a second."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.contexts import parquet_groups
from pipeline.mixing_inputs import Contexts
from stages.mixture import Mixture

VOCABULARY, LENGTH = 32, 64
TOKENIZER = "numbers-0"
QUICK = {
    "steps": 32, "batch": 4, "window": 16, "rounds": 2, "sweeps": 2, "delta": 0.5, "held": 2, "evaluate": 4,
    "threads": 1, "block": 8, "learning_rate": 0.01,
}  # fmt: skip


def write_contexts(folder: Path, groups: Mapping[str, int], seed: int = 0) -> Path:
    """Contexts of LENGTH tokens: group number n counts in steps of n + 1, but "noise" is random."""
    for number, (name, count) in enumerate(groups.items()):
        random = np.random.default_rng((seed, number))
        rows = [_tokens(name, number + 1, random) for _ in range(count)]
        table = pa.table({"context": np.arange(count), "input_ids": pa.array(rows, pa.list_(pa.int32()))})
        path = folder / f"group={quote(name, safe='')}" / "part-00000.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=8)
    return folder


def contexts(folder: Path, groups: Mapping[str, int], seed: int = 0) -> Contexts:
    """Written, and as a mixture takes them."""
    return Contexts(parquet_groups(write_contexts(folder, groups, seed)), TOKENIZER, LENGTH)


def quick(**settings: Any) -> Mixture:
    """Settings of a proxy that takes a second or two."""
    return Mixture(**{**QUICK, **settings})


def _tokens(name: str, step: int, random: np.random.Generator) -> np.ndarray:
    if name == "noise":
        return random.integers(0, VOCABULARY, LENGTH)
    return (int(random.integers(VOCABULARY)) + step * np.arange(LENGTH)) % VOCABULARY
