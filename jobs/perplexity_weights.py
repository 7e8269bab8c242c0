"""Weights of single words, fitted to tell harmful from benign text: LANGUAGE.weights.klm, a correction to the ratio.

Two models that are each fitted to their own text do not know which words tell the two apart; a classifier does.
Logistic regression on TF-IDF of single words gives each word a weight, which the stage adds to the log ratio of the
word under the two models. Sources weigh as the square root of their number of texts, and both classes the same, so that
the weights are those of no single source; weights of pairs of words fit the sources better and others worse. Repeated
words count less, in a text that is fitted as in a document that is scored.

The file is a model of KenLM (so that it is mapped, checked and looked up as the others are, without its words in it),
in which a word's log10 is its weight above that of an unknown word, which weighs nothing. Needs scikit-learn.
"""

import importlib.util
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.training import kenlm_tools
from stages.model_files import sha256_of
from stages.ngram_models import ModelCard, card_json, card_path
from stages.normalisers import normaliser

SCALE = 0.2
"""Log10 that a unit of the regression's weights counts for in the ratio."""
REGULARISATION = 30.0
"""Inverse strength of the penalty on squared weights."""

Text = tuple[bool, str, str]
"""Whether it is harmful, its source, the text."""

_NORMALISER = normaliser("alphabetic")


def need_scikit_learn() -> None:
    """End the program with a message if scikit-learn is not installed."""
    if importlib.util.find_spec("sklearn") is None:
        sys.exit("jobs/perplexity_weights.py: found no scikit-learn, which fits the weights: pip install scikit-learn")


def train_weights(texts: Sequence[Text], language: str, output: Path) -> ModelCard:
    """Fit the weights, write the model and its card, and return the card."""
    weights = fit(texts)
    shift = max(0.0, *weights.values()) if weights else 0.0
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "weights.arpa"
        arpa.write_text(_arpa(weights, shift), encoding="utf-8")
        kenlm_tools.build_binary(arpa, output, "trie", 0, "500M", Path(folder))
    card = _card(texts, language, output, shift)
    card_path(output).write_bytes(card_json(card))
    return card


def fit(texts: Sequence[Text]) -> dict[str, float]:
    """The weight of each word that is in two texts or more."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    kept = [text for text in texts if _NORMALISER(text[2])]
    vectors = TfidfVectorizer(analyzer=_words, sublinear_tf=True, min_df=2)
    found = vectors.fit_transform([text for _, _, text in kept])
    model = LogisticRegression(C=REGULARISATION, max_iter=150, tol=1e-3)
    model.fit(found, [harmful for harmful, _, _ in kept], sample_weight=_importance(kept))
    values = SCALE * model.coef_[0] * vectors.idf_
    return {word: float(values[place]) for word, place in sorted(vectors.vocabulary_.items())}


def _words(text: str) -> list[str]:
    return [word for line in _NORMALISER(text) for word in line.split(" ")]


def _importance(texts: Sequence[Text]) -> np.ndarray:
    """How much each text counts: a source as the square root of its texts, a class as much as the other."""
    sizes = Counter((harmful, source) for harmful, source, _ in texts)
    weights = np.array([sizes[harmful, source] ** -0.5 for harmful, source, _ in texts])
    classes = np.array([harmful for harmful, _, _ in texts])
    for label in (False, True):
        weights[classes == label] *= len(texts) / 2 / weights[classes == label].sum()
    return weights


def _arpa(weights: Mapping[str, float], shift: float) -> str:
    """The weights as an ARPA file. KenLM wants log probabilities of at most 0, hence `shift`, and a pair of words."""
    end = f"{-shift:.7g}\t<s> </s>"
    special = [f"{-shift:.7g}\t<unk>\t0", "0\t<s>\t0", f"{-shift:.7g}\t</s>\t0"]
    words = [f"{weight - shift:.7g}\t{word}\t0" for word, weight in weights.items()]
    counts = f"\\data\\\nngram 1={len(words) + len(special)}\nngram 2=1\n"
    return "\n".join([counts, "\\1-grams:", *special, *words, "", "\\2-grams:", end, "", "\\end\\\n"])


def _card(texts: Sequence[Text], language: str, output: Path, shift: float) -> ModelCard:
    lines = [line for _, _, text in texts for line in _NORMALISER(text)]
    return ModelCard(
        kind="weights",
        language=language,
        normaliser=_NORMALISER.name,
        normaliser_version=_NORMALISER.version,
        order=1,
        documents=dict(sorted(Counter(source for _, source, _ in texts).items())),
        sentences=len(lines),
        tokens=sum(line.count(" ") + 1 for line in lines),
        pruning=(1,),
        binary="trie",
        quantisation_bits=0,
        sha256=sha256_of(output),
        bytes=output.stat().st_size,
        licence="",
        command="",
        unknown_log10=-shift,
        tool="scikit-learn, kenlm 0.3.0",
    )
