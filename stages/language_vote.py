"""How the members' answers become one language and one score.

Both agree: that is the language, and the score is the probability that an agreed label is right, which grows with
fastText's probability and the number of letters. They disagree: every candidate gets a sum of weighted evidence (a
log-linear mix), the largest wins, and its share of all the candidates' weight, one of which stands for any other
language, is the score. The weights are in `language_weights`; `benchmarks/language_fit.py` prints them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stages.language_codes import UNDETERMINED, base

FLOOR = 1e-3
"""Probability of a language that fastText knows but did not name among its first five."""

MOST_LETTERS = 128
"""More letters make no answer surer; `language_text` counts no further where it finds many."""


@dataclass(frozen=True)
class Weights:
    """The weights of the evidence in a disagreement; all in natural logarithms of odds."""

    fasttext: float
    """Of the logarithm of fastText's probability; 0 evidence for a language that it does not know."""
    cld2: float
    """Of the share of bytes that CLD2 gives the language."""
    beyond_cld2: float
    """Of fastText's probability for a language that CLD2 does not know."""
    other: float
    """Of the candidate 'some other language'."""
    priors: Mapping[str, float] = field(default_factory=dict)
    """What is added for a language that the members name too readily (below 0) or too rarely (above 0)."""


@dataclass(frozen=True)
class Confidence:
    """A logistic regression of 'the label is right' on the letters and the member's own probability or share."""

    constant: float
    letters: float
    """Of the decimal logarithm of the number of letters, of which at most 128 count."""
    sure: float
    """Of fastText's probability, or of the share of bytes that CLD2 gave."""

    def score(self, letters: int, sure: float) -> float:
        """The probability that the label is right.

        >>> round(Confidence(-2.0, 1.0, 5.0).score(100, 0.9), 3)
        0.989
        """
        size = math.log10(min(max(letters, 1), MOST_LETTERS))
        return 1 / (1 + math.exp(-(self.constant + self.letters * size + self.sure * sure)))


Tally = dict[str, float]
"""Base code -> probability or share."""


def tally(answers: Iterable[tuple[str, float]]) -> Tally:
    """Sum answers over scripts: [('zh', .4), ('zh-Hant', .3)] -> {'zh': .7}."""
    sums: Tally = {}
    for code, share in answers:
        if code != UNDETERMINED:
            sums[base(code)] = min(1.0, sums.get(base(code), 0.0) + share)
    return sums


@dataclass(frozen=True)
class Disagreement:
    """The rule for members that name different languages."""

    weights: Weights
    fasttext_knows: frozenset[str]
    cld2_knows: frozenset[str]

    def decide(self, probabilities: Tally, shares: Tally) -> tuple[str, float]:
        """The winner's base code and score; `und` and 0 if neither member names a language.

        >>> rule = Disagreement(Weights(0.5, 3.0, 0.0, 0.0), frozenset({"da", "nb"}), frozenset({"da", "nb"}))
        >>> code, score = rule.decide({"da": 0.6, "nb": 0.4}, {"nb": 1.0})
        >>> code, round(score, 2)
        ('nb', 0.88)
        """
        logits = {code: self.evidence(code, probabilities, shares) for code in (*shares, *probabilities)}
        if not logits:
            return UNDETERMINED, 0.0
        winner = max(logits, key=lambda code: logits[code])
        total = sum(math.exp(logit) for logit in logits.values()) + math.exp(self.weights.other)
        return winner, math.exp(logits[winner]) / total

    def evidence(self, code: str, probabilities: Tally, shares: Tally) -> float:
        """The sum of weighted evidence for one candidate."""
        probability = probabilities.get(code, 0.0)
        logit = self.weights.priors.get(code, 0.0) + self.weights.cld2 * shares.get(code, 0.0)
        if code in self.fasttext_knows:
            logit += self.weights.fasttext * math.log(max(probability, FLOOR))
        if code not in self.cld2_knows:
            logit += self.weights.beyond_cld2 * probability
        return logit
