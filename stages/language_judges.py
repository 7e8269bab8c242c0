"""From a prepared text to its language: one member alone, or both with their agreement as the confidence."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stages.language_codes import UNDETERMINED, base
from stages.language_members import SERBO_CROATIAN, Cld2, FastText
from stages.language_mix import Voter, normalised
from stages.language_text import prepare, without_control
from stages.language_vote import Disagreement, Weights, tally
from stages.language_weights import AGREEMENT, CLD2_ALONE, CLD2_UNSURE


class Verdict(NamedTuple):
    """What a judge says of one text."""

    lang: str
    score: float
    heard: str
    """The base code that the member which also votes on pieces gave the whole text."""


NOTHING = Verdict(UNDETERMINED, 0.0, UNDETERMINED)

Judge = Callable[[str, int], Verdict]
"""(prepared text, number of its letters) -> verdict."""

SURE_PIECE = 0.5
"""fastText's probability from which on it votes on a piece."""


def fasttext_judge(member: FastText) -> Judge:
    """fastText alone: the score is its own probability."""

    def judge(text: str, letters: int) -> Verdict:
        code, p = member.best(text)
        code = "sr-Latn" if code == SERBO_CROATIAN else code
        return Verdict(code, p, base(code)) if code != UNDETERMINED else NOTHING

    return judge


def cld2_judge(member: Cld2) -> Judge:
    """CLD2 alone: the score grows with the number of letters and the language's share of the text."""

    def judge(text: str, letters: int) -> Verdict:
        code, share, reliable = member.best(text)
        if code == UNDETERMINED:
            return NOTHING
        return Verdict(code, CLD2_ALONE.score(letters, share) if reliable else CLD2_UNSURE, base(code))

    return judge


def joint_judge(fasttext: FastText, cld2: Cld2, weights: Weights) -> Judge:
    """Both: one look where they agree, a second look at fastText's next candidates where they do not."""
    rule = Disagreement(weights, fasttext.known, cld2.known)

    def judge(text: str, letters: int) -> Verdict:
        said, p = fasttext.best(text)
        heard, _, _ = cld2.best(text)
        if base(said) == base(heard) != UNDETERMINED:
            return Verdict(_fuller(said, heard), AGREEMENT.score(letters, p), base(heard))
        return _second_look(text, letters, heard)

    def _second_look(text: str, letters: int, heard: str) -> Verdict:
        ranked = fasttext.ranked(text)
        probabilities = tally(ranked)
        best = max(probabilities.values(), default=0.0)
        if probabilities.get(base(heard), 0.0) >= best > 0.0:
            return Verdict(heard, AGREEMENT.score(letters, best), base(heard))
        parts = cld2.shares(text, best_effort=True)
        winner, score = rule.decide(probabilities, tally(parts))
        return Verdict(_with_script(winner, [*ranked, *parts]), score, base(heard))

    return judge


def fasttext_voter(member: FastText) -> Voter:
    """fastText on one piece of a document."""

    def vote(piece: str) -> list[tuple[str, float]]:
        code, p = member.best(prepare(piece))
        return [(base(code), 1.0)] if p >= SURE_PIECE and code != UNDETERMINED else []

    return vote


def cld2_voter(member: Cld2) -> Voter:
    """CLD2 on one piece of a document; it looks at capitals and double spaces itself."""

    def vote(piece: str) -> list[tuple[str, float]]:
        parts = member.shares(without_control(piece), best_effort=False)
        if len(parts) == 1:
            return [(base(parts[0][0]), 1.0)]
        return list(normalised((base(code), share) for code, share in parts).items())

    return vote


def open_judge(members: tuple[str, ...], model: Path | None, weights: Weights) -> tuple[Judge, Voter]:
    """Load the members; CLD2, the faster, votes on pieces where it is a member."""
    if model is None:
        cld2 = Cld2()
        return cld2_judge(cld2), cld2_voter(cld2)
    fasttext = FastText(model)
    if "cld2" not in members:
        return fasttext_judge(fasttext), fasttext_voter(fasttext)
    cld2 = Cld2()
    return joint_judge(fasttext, cld2, weights), cld2_voter(cld2)


def _fuller(said: str, heard: str) -> str:
    """The code with a script: the members agree on the language, and one of them may know the script."""
    return said if "-" in said or said == heard else heard


def _with_script(winner: str, answers: list[tuple[str, float]]) -> str:
    """The winner as the member that named it first wrote it."""
    return next((code for code, _ in answers if base(code) == winner), winner)
