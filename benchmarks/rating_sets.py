"""The sets that the rating benchmark reads: damaged documents of unseen sources, rows with labels, domains."""

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

JOBS = Path(__file__).parents[1] / "jobs"
sys.path.insert(0, str(JOBS))

import rater_sources as sources  # noqa: E402

from pipeline.training.damage import REACHED  # noqa: E402
from pipeline.training.rater_examples import ladder  # noqa: E402
from stages.rating_protocol import DOMAINS  # noqa: E402
from stages.rating_student import Student  # noqa: E402

FITTED = ("stacks", "gesetze", "Fed speeches", "FOMC", "TheAlgorithms", "MedQuAD", "Law-AI")
"""Of the domain set: sources that the domain head saw, some of these very documents among them."""


def read(data: Path, name: str) -> list[dict[str, Any]]:
    """The records of one file."""
    with (data / f"{name}.jsonl.zst").open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        return [json.loads(line) for line in lines]


def ladders(data: Path, count: int, seed: int) -> dict[str, dict[str, list[list[str]]]]:
    """By source and criterion: documents of 8 sentences or more, each in its five levels, best first."""
    pages = read(data, "web/article_extraction_raw_html_dev")
    texts = {"news": [row["text"] for row in read(data, "groups/news")],
             "web": [row["main_text"] for row in pages if row.get("main_text")]}  # fmt: skip
    clean = sources.clean_texts(seed)
    stock = sources.stock_of(
        [found for name in ("books", "wiki") for found in sources.halves(clean[name])[0]], seed + 1
    )
    return {name: {c: ladder(found, c, count, seed, stock) for c in REACHED} for name, found in texts.items()}


def domain_table(student: Student, data: Path, seed: int, count: int = 1200) -> dict[str, Any]:
    """Accuracy of the domain: on sources the head was fitted on, on others, and by domain on others."""
    rows = random.Random(seed).sample(read(data, "quality/domains_dataman15"), count)
    labels = np.array([row["label"].replace(" ", "_") for row in rows])
    answers = np.array(student.rate([row["text"] for row in rows]).domains)
    fitted = np.array([any(name in row["source"] for name in FITTED) for row in rows])
    right = labels == answers
    table: dict[str, Any] = {
        "sources fitted on": float(right[fitted].mean()),
        "other sources": float(right[~fitted].mean()),
    }
    for name in DOMAINS:
        chosen = ~fitted & (labels == name)
        if chosen.any():
            table[f"{name}, other sources ({int(chosen.sum())})"] = float(right[chosen].mean())
    return table
