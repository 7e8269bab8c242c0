"""Classifiers to compare the perplexity filter with, trained on the same text as its two models.

Each is measured on a document as a whole and, since a passage hides in a long document, by its worst line.
"""

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.normalisers import normaliser

Floats = npt.NDArray[np.float64]
Scorer = Callable[[Sequence[str]], Floats]

_WORDS = normaliser("alphabetic")


def rivals(harmful: Sequence[str], benign: Sequence[str]) -> dict[str, Scorer]:
    """The classifiers by name; without scikit-learn only fastText, and a message."""
    found = {"fastText": _fasttext(harmful, benign)}
    try:
        found["TF-IDF + linear"] = _linear(harmful, benign)
    except ImportError:
        print("scikit-learn is not installed, so no TF-IDF classifier: pip install scikit-learn", file=sys.stderr)
    return found | {f"{name}, worst line": _worst_line(scorer) for name, scorer in found.items()}


def _linear(harmful: Sequence[str], benign: Sequence[str]) -> Scorer:
    """Logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    labels = [1] * len(harmful) + [0] * len(benign)
    model = LogisticRegression(C=10, max_iter=300, class_weight="balanced")
    model.fit(vectors.fit_transform([*harmful, *benign]), labels)
    return lambda texts: np.asarray(model.decision_function(vectors.transform(texts)), dtype=np.float64)


def _fasttext(harmful: Sequence[str], benign: Sequence[str]) -> Scorer:
    """fastText supervised on pairs of words, 10 epochs in random order, one thread so that it can be repeated."""
    import fasttext

    lines = [f"__label__1 {_one_line(text)}\n" for text in harmful] + [f"__label__0 {_one_line(t)}\n" for t in benign]
    random.Random(0).shuffle(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        path.write_text("".join(lines), encoding="utf-8")
        model = fasttext.train_supervised(
            str(path), epoch=10, lr=0.5, wordNgrams=2, dim=50, bucket=200_000, thread=1, verbose=0
        )

    def chance(text: str) -> float:
        labels, chances = model.predict(_one_line(text) or " ", k=2)
        return float(dict(zip(labels, chances, strict=True)).get("__label__1", 0.0))

    return lambda texts: np.array([chance(text) for text in texts])


def _worst_line(scorer: Scorer) -> Scorer:
    def worst(text: str) -> float:
        lines = [line for line in text.split("\n") if line.strip()]
        return float(scorer(lines or [text]).max())

    return lambda texts: np.array([worst(text) for text in texts])


def _one_line(text: str) -> str:
    return " ".join(_WORDS(text))
