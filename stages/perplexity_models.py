"""The models of the perplexity stage: one directory, files named by language and kind, opened when first needed."""

import math
from functools import cache
from pathlib import Path

from stages.errors import ModelError
from stages.ngram_models import Kind, ModelCard, OpenModel, card_path, open_model, read_card, scores_of
from stages.ngram_pieces import Pieces
from stages.perplexity_scores import Floats, document_scores
from stages.perplexity_words import WordWeights, weights_of_lines

DEFAULT = Path(__file__).parent / "models" / "perplexity"
"""The models that come with Tamis."""

WORD_CHARACTERS = 6
"""Tokens that a model of characters has for a word: five characters and a space, the mean of European text."""


def model_directory(setting: str) -> Path:
    """The directory that the setting `model` names. Raises ModelError if it is none."""
    path = DEFAULT if setting == "default" else Path(setting)
    if not path.is_dir():
        raise ModelError(f"perplexity.model: {path}: found no directory, expected one with LANGUAGE.KIND.klm files")
    return path


def model_files(directory: Path, kinds: tuple[str, ...]) -> dict[str, Path]:
    """Models and cards of these kinds by role, such as `en.harmful` and `en.harmful card`.

    Raises ModelError if there is no model of the first kind, or a model has no card.
    """
    found = {path.stem: path for path in sorted(directory.glob("*.klm")) if path.stem.rpartition(".")[2] in kinds}
    if not any(name.endswith(f".{kinds[0]}") for name in found):
        here = ", ".join(path.name for path in sorted(directory.glob("*.klm"))[:8]) or "no .klm file"
        raise ModelError(
            f"{directory}: found {here}, expected LANGUAGE.{kinds[0]}.klm; see `tamis train perplexity --help`"
        )
    for path in found.values():
        read_card(path)
    return found | {f"{name} card": card_path(path) for name, path in found.items()}


@cache
def language_model(directory: Path, language: str, kind: Kind) -> OpenModel | None:
    """The model of one language, opened and verified once per process; None if there is none."""
    path = directory / f"{language}.{kind}.klm"
    return open_model(path) if path.is_file() else None


@cache
def companion_of(directory: Path, language: str, kind: Kind) -> OpenModel | None:
    """The background model or the weights of a language. Raises ModelError if it has another normaliser than the
    harmful model: their scores are compared line by line, so all must see the same lines."""
    harmful = language_model(directory, language, "harmful")
    found = language_model(directory, language, kind)
    if harmful and found and harmful.normaliser != found.normaliser:
        raise ModelError(
            f"{found.path}: found normaliser '{found.normaliser.name}', expected '{harmful.normaliser.name}' "
            f"as {harmful.path.name} has: train both with the same one"
        )
    return found


@cache
def weights_of_words(directory: Path, language: str) -> WordWeights | None:
    """The weights of a language's words, remembered by this process; None if there are none."""
    model = companion_of(directory, language, "weights")
    return None if model is None else WordWeights(model)


def contrasts_of(
    harmful: list[Floats | None], cut: list[Pieces], background: OpenModel | None, weights: WordWeights | None
) -> list[Floats | None]:
    """What each line of texts gains under the harmful model over the background model, and its words' weights if there
    are any. None without a background model, and for texts without scores of the harmful model.

    One model after the other scores all texts, so that it stays in the cache.
    """
    if background is None:
        return [None] * len(harmful)
    texts = list(zip(harmful, cut, strict=True))
    gains = [None if ours is None else ours - scores_of(background, found.lines) for ours, found in texts]
    if weights is None:
        return gains
    return [
        None if gain is None else gain + weights_of_lines(weights, found)
        for gain, found in zip(gains, cut, strict=True)
    ]


@cache
def language_card(directory: Path, language: str, kind: str) -> ModelCard:
    """The card of one language's model, read once per process."""
    return read_card(directory / f"{language}.{kind}.klm")


def document_perplexity(model: OpenModel, text: str) -> tuple[float, int]:
    """Perplexity of a whole document (infinite if it has no token), and its tokens, ends of lines counted."""
    lines, tokens = model.normaliser.pieces(text)
    count = int(tokens.sum())
    return (document_scores(scores_of(model, lines), tokens, None, count).ppl, count) if count else (math.inf, 0)


def tokens_per_word(card: ModelCard) -> int:
    """How many of the model's tokens make up a word, about: settings count words, models their own tokens."""
    return WORD_CHARACTERS if card.normaliser in ("characters", "letters") else 1
