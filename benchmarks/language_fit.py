"""Fit the weights of the language vote and print them, as Python, for `stages/language_weights.py`.

    python benchmarks/language_fit.py

Fitted on one half of the labelled texts (`language_data`); `language_accuracy.py` measures on the other.
Disagreements: the likelihood of the right candidate under the log-linear mix, the priors drawn to 0 by a Gaussian.
Agreements: logistic regression. Both by gradient ascent with a step per weight (AdaGrad).
"""

from dataclasses import dataclass

import numpy as np
from language_data import Labelled, data_folder, labelled
from numpy.typing import NDArray

from stages.language_codes import base
from stages.language_members import Cld2, FastText
from stages.language_text import count_letters, prepare
from stages.language_vote import FLOOR, MOST_LETTERS, Tally, tally
from stages.model_files import LID_176, published_model

Array = NDArray[np.float64]

IMPORTANCE = {"sentences": 1.0, "word-pairs": 0.5, "single-words": 0.25}
UNKNOWN_IMPORTANCE = 0.3
"""For texts in a language that neither member knows."""
PRIOR_PRECISION = 10.0
SMALLEST_PRIOR = 0.5
STEPS = 400
STEP = 0.5


@dataclass(frozen=True)
class Evidence:
    """What both members said of one text, and the truth."""

    lang: str
    importance: float
    letters: int
    probabilities: Tally
    shares: Tally
    heard: str
    share: float
    reliable: bool

    @property
    def best(self) -> float:
        """fastText's largest probability."""
        return max(self.probabilities.values(), default=0.0)

    @property
    def agreed(self) -> bool:
        """Whether CLD2's language is one of fastText's likeliest."""
        return self.probabilities.get(self.heard, 0.0) >= self.best > 0


def main() -> None:
    fasttext, cld2 = FastText(published_model(LID_176)), Cld2()
    texts = [text for text in labelled(data_folder()) if not text.held_out]
    evidence = [_evidence(text, fasttext, cld2) for text in texts]
    _print_confidence("AGREEMENT", [(e, e.best) for e in evidence if e.agreed])
    _print_confidence("CLD2_ALONE", [(e, e.share) for e in evidence if e.reliable and e.heard != "und"])
    unsure = [e.lang == e.heard for e in evidence if not e.reliable and e.heard != "und"]
    print(f"right where CLD2 is not sure: {np.mean(unsure):.2f} of {len(unsure)}")
    _print_disagreement([e for e in evidence if not e.agreed], fasttext.known, cld2.known)


def _evidence(text: Labelled, fasttext: FastText, cld2: Cld2) -> Evidence:
    asked = prepare(text.text, 1000)
    heard, share, reliable = cld2.best(asked)
    known = text.lang in fasttext.known or text.lang in cld2.known
    return Evidence(
        lang=text.lang,
        importance=IMPORTANCE.get(text.kind, 1.0) if known else UNKNOWN_IMPORTANCE,
        letters=count_letters(asked),
        probabilities=tally(fasttext.ranked(asked)),
        shares=tally(cld2.shares(asked, best_effort=True)),
        heard=base(heard),
        share=share,
        reliable=reliable,
    )


def _print_confidence(name: str, cases: list[tuple[Evidence, float]]) -> None:
    size = [np.log10(min(max(e.letters, 1), MOST_LETTERS)) for e, _ in cases]
    x = np.column_stack([np.ones(len(cases)), size, [sure for _, sure in cases]])
    right = np.array([e.lang == e.heard for e, _ in cases], float)
    importance = np.array([e.importance for e, _ in cases])
    weights, squares = np.zeros(3), np.zeros(3)
    for _ in range(5 * STEPS):
        gradient = x.T @ (importance * (right - 1 / (1 + np.exp(-x @ weights))))
        _climb(weights, squares, gradient)
    constant, letters, sure = weights.round(2)
    print(f"{name} = Confidence(constant={constant}, letters={letters}, sure={sure})")


def _print_disagreement(cases: list[Evidence], fasttext_knows: frozenset[str], cld2_knows: frozenset[str]) -> None:
    names = sorted({code for e in cases for code in (*e.shares, *e.probabilities)})
    place = {name: i for i, name in enumerate(names)}
    x, codes, truth = _candidates(cases, place, fasttext_knows, cld2_knows)
    importance = np.array([e.importance for e in cases])[:, None]
    weights, priors = np.zeros(4), np.zeros(len(names) + 1)
    squares = [np.zeros_like(weights), np.zeros_like(priors)]
    for _ in range(STEPS):
        logits = np.where(codes < 0, -np.inf, x @ weights + priors[codes])
        chance = np.exp(logits - logits.max(1, keepdims=True))
        error = importance * (truth - chance / chance.sum(1, keepdims=True))
        pull = np.bincount(codes[codes >= 0], error[codes >= 0], len(priors)) - PRIOR_PRECISION * priors
        pull[-1] = 0
        _climb(weights, squares[0], np.einsum("nk,nkf->f", error, x))
        _climb(priors, squares[1], pull)
    fasttext, cld2, beyond, other = weights.round(2)
    print(f"DISAGREEMENT: fasttext={fasttext}, cld2={cld2}, beyond_cld2={beyond}, other={other}, priors:")
    print({name: round(float(p), 1) for name, p in zip(names, priors, strict=False) if abs(p) >= SMALLEST_PRIOR})


def _candidates(
    cases: list[Evidence], place: dict[str, int], fasttext_knows: frozenset[str], cld2_knows: frozenset[str]
) -> tuple[Array, NDArray[np.int64], Array]:
    """Evidence, place in the table of priors (-1: none) and truth, of each candidate; 'other' is the last one."""
    most = 1 + max(len({*e.shares, *e.probabilities}) for e in cases)
    x, truth = np.zeros((len(cases), most, 4)), np.zeros((len(cases), most))
    codes = np.full((len(cases), most), -1)
    x[:, -1, 3], codes[:, -1] = 1, len(place)
    for row, e in enumerate(cases):
        named = list(dict.fromkeys((*e.shares, *e.probabilities)))
        for i, code in enumerate(named):
            p = e.probabilities.get(code, 0.0)
            log_p = np.log(max(p, FLOOR)) if code in fasttext_knows else 0.0
            x[row, i, :3] = log_p, e.shares.get(code, 0.0), 0.0 if code in cld2_knows else p
            codes[row, i] = place[code]
        truth[row, named.index(e.lang) if e.lang in named else -1] = 1
    return x, codes, truth


def _climb(weights: Array, squares: Array, gradient: Array) -> None:
    """One step uphill, in place."""
    squares += gradient**2
    weights += STEP * gradient / np.sqrt(squares + 1e-9)


if __name__ == "__main__":
    main()
