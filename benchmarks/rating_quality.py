"""Quality of the student rater on text that it was not fitted on: graded damage, human judgements, levels, domains.

    pip install scikit-learn && python benchmarks/rating_quality.py --json rating_quality.json

News, main texts of web pages, keep/discard pages, learner sentences and readability are of sources it never saw; see
benchmarks/README.md. Nothing of the data is printed.
"""

import argparse
import ast
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import data_directory
from rating_sets import domain_table, ladders, read

from pipeline.calibration import auc
from pipeline.training.agreement import level_order, spearman
from stages.rating_card import DEFAULT
from stages.rating_protocol import CRITERIA
from stages.rating_student import Student, measured, open_student

SEED = 20250219
OVERALL = CRITERIA.index("overall_score")
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEFAULT)
    parser.add_argument("--documents", type=int, default=60, help="documents for each kind of damage")
    parser.add_argument("--json", type=Path, help="write all figures here")
    arguments = parser.parse_args()
    student, data = open_student(arguments.model), data_directory().parent
    figures = {
        "damage": damage(student, data, arguments.documents),
        "keep": keep(student, data),
        "learners": learners(student, data),
        "levels": levels(student, data),
        "readability": readability(student, data),
        "main text": main_text(student, data),
        "domains": domain_table(student, data, SEED),
    }
    for name, found in figures.items():
        print(f"\n## {name}\n")
        for key, value in found.items():
            print(f"| {key} | {shown(value)} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def means(student: Student, texts: Iterable[str]) -> np.ndarray:
    """Expected scores (n, criteria), not rounded to three digits: ties would hide an order."""
    answers = (student.heads.answer(*measured(text, student.embedder, student.tables)) for text in texts)
    found = np.stack([answer.ratings @ np.arange(1.0, 6.0) for answer in answers])
    for name, of in student.card.proxies.items():
        found[:, CRITERIA.index(name)] = found[:, [CRITERIA.index(other) for other in of]].mean(axis=1)
    return found


def interval(measure: Callable[[np.ndarray], float], count: int, times: int = 500) -> list[float]:
    """The measure of all rows, and where 95 of 100 bootstrap samples have it; rows are documents."""
    rng = np.random.default_rng(SEED)
    samples = sorted(measure(rng.integers(0, count, count)) for _ in range(times))
    return [measure(np.arange(count)), samples[times // 40], samples[-times // 40]]


def damage(student: Student, data: Path, count: int) -> Figures:
    """Share of pairs of levels of one document that are rated in the right order, ties counting half."""
    table: dict[str, list[float]] = {}
    for source, found in ladders(data, count, SEED).items():
        for criterion, documents in found.items():
            column = CRITERIA.index(criterion)
            scores = means(student, [text for texts in documents for text in texts])[:, column].reshape(-1, 5)
            right = level_order(scores)
            table[f"{source}, {criterion}"] = interval(lambda rows, r=right: float(r[rows].mean()), len(right))
    return {**table, "mean": float(np.mean([value[0] for value in table.values()]))}


def in_order(better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    return (better > worse) + 0.5 * (better == worse)


def keep(student: Student, data: Path) -> Figures:
    """AUC of keep against discard; beside it length, and a classifier trained on these very pages (10 folds)."""
    rows = read(data, "quality/dclm_human_keep_discard")
    kept = np.array([str(row["label"]) == "1" for row in rows])
    agreed = np.array([str(row["all_annotators_agree"]) == "True" for row in rows])
    texts = [str(row["text"]) for row in rows]
    found, length = means(student, texts), np.log([len(text) for text in texts])
    scores = {name: found[:, place] for place, name in enumerate(CRITERIA)}
    scores |= {"document length": length, **_classifiers(student, texts, kept)}
    table = {name: interval(auc_of(values, kept), len(kept)) for name, values in scores.items()}
    whole = auc_of(scores["overall_score"], kept)
    plain = auc_of(length, kept)
    table["overall_score minus length"] = interval(lambda rows: whole(rows) - plain(rows), len(kept))
    table["overall_score, judges agree"] = interval(auc_of(found[agreed, OVERALL], kept[agreed]), int(agreed.sum()))
    return table


def auc_of(values: np.ndarray, kept: np.ndarray) -> Callable[[np.ndarray], float]:
    def measure(rows: np.ndarray) -> float:
        return float(auc(values[rows][kept[rows]], values[rows][~kept[rows]]))

    return measure


def _classifiers(student: Student, texts: list[str], kept: np.ndarray) -> dict[str, np.ndarray]:
    try:
        from sklearn.ensemble import ExtraTreesClassifier
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_predict
        from sklearn.pipeline import make_pipeline
    except ImportError:
        return {}
    rows = [measured(text, student.embedder, student.tables) for text in texts]
    both = np.stack([np.concatenate([row.statistics, row.embedding]) for row in rows])
    words = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LogisticRegression(C=10))
    trees = ExtraTreesClassifier(500, random_state=0)
    named = {"TF-IDF + linear, trained there": (words, texts), "our inputs + extra trees, trained there": (trees, both)}
    return {
        name: cross_val_predict(model, inputs, kept, cv=10, method="predict_proba")[:, 1]
        for name, (model, inputs) in named.items()
    }


def learners(student: Student, data: Path) -> Figures:
    """Share of learner sentences that are rated below their first correction that differs."""
    pairs = []
    for row in read(data, "quality/jfleg_learner_vs_corrected"):
        found = row["corrected"] if isinstance(row["corrected"], list) else ast.literal_eval(row["corrected"])
        other = [text.strip() for text in found if text.strip() != row["text"].strip()]
        pairs += [(row["text"], other[0])] if other else []
    before, after = (means(student, [pair[side] for pair in pairs]) for side in (0, 1))
    right = {name: in_order(after[:, place], before[:, place]) for place, name in enumerate(CRITERIA)}
    chosen = ("accuracy", "overall_score", "grammatical_diversity")
    table = {name: interval(lambda rows, r=right[name]: float(r[rows].mean()), len(pairs)) for name in chosen}
    return {"pairs": len(pairs), **table}


def levels(student: Student, data: Path) -> Figures:
    """Share of articles whose advanced version is rated above its elementary one; the source was fitted on."""
    by_article: dict[str, dict[str, str]] = {}
    for row in read(data, "quality/onestopenglish_levels"):
        by_article.setdefault(row["group"], {})[row["label"]] = row["text"]
    whole = [found for found in by_article.values() if {"ele", "adv"} <= set(found)]
    easy, hard = (means(student, [found[level] for found in whole]) for level in ("ele", "adv"))
    right = {name: in_order(hard[:, place], easy[:, place]) for place, name in enumerate(CRITERIA)}
    return {name: interval(lambda rows, r=r: float(r[rows].mean()), len(whole)) for name, r in right.items()}


def readability(student: Student, data: Path) -> Figures:
    """Spearman with teachers' judgement of easiness: negative where harder text is rated higher."""
    rows = read(data, "quality/clear_readability")
    rows = random.Random(SEED).sample(rows, 1000)
    found, easy = means(student, [row["text"] for row in rows]), np.array([float(row["label"]) for row in rows])
    return {name: spearman(found[:, place], easy) or 0.0 for place, name in enumerate(CRITERIA)}


def main_text(student: Student, data: Path) -> Figures:
    """Share of web pages whose main text is rated above the whole page."""
    rows = [row for row in read(data, "web/article_extraction_wet_and_main") if row.get("main_text")]
    page, main_part = (means(student, [row[name] for row in rows]) for name in ("text", "main_text"))
    right = in_order(main_part[:, OVERALL], page[:, OVERALL])
    return {"overall_score": interval(lambda r: float(right[r].mean()), len(right))}


if __name__ == "__main__":
    main()
