"""Graded damage: the same for the same seed, nothing at level 0, more at each level; made-up pages of known worth."""

import random
from difflib import SequenceMatcher

import numpy as np
import pytest

from pipeline.training.damage import LEVELS, REACHED, Stock, cut, damaged
from pipeline.training.damage_words import FILLER, FOREIGN
from pipeline.training.pages import page, worth
from pipeline.training.rater_examples import Clean, damage_examples, labels_of, ladder
from stages.rating_protocol import CRITERIA

NOUNS = ["miller", "river", "wheel", "winter", "garden", "baker", "window", "letter", "harbour", "engine", "teacher",
         "village", "market", "shadow"]  # fmt: skip
TEXT = "\n\n".join(
    " ".join(
        f"The {NOUNS[(i * 5 + j) % 14]} near the {NOUNS[(i * 3 + j * 7) % 14]} was seen in {1800 + i * 8 + j}, "
        f"although many people could not say whether it is the {NOUNS[(i + j * 2) % 14]} of {i} or {j}."
        for j in range(8)
    )
    for i in range(5)
)
STOCK = Stock(FOREIGN, ["Ships sail at dawn. The captain counts the crew. Nets are mended."], ["You fool."], ["hi all"])


def changed(text: str) -> float:
    return 1 - SequenceMatcher(None, TEXT.split(), text.split(), autojunk=False).ratio()


@pytest.mark.parametrize("criterion", REACHED)
def test_each_level_harms_more_than_the_one_before(criterion: str) -> None:
    harm = [
        np.mean([changed(damaged(TEXT, criterion, level, random.Random(seed), STOCK)) for seed in range(3)])
        for level in range(LEVELS)
    ]
    assert harm[0] == 0
    assert all(harm[level] < harm[level + 1] for level in range(LEVELS - 1)), harm


@pytest.mark.parametrize("criterion", REACHED)
@pytest.mark.parametrize("text", [TEXT, "", "One word", "A. B. C.", "日本語。\n\n\n"])
def test_the_same_seed_gives_the_same_damage(criterion: str, text: str) -> None:
    first, again, other = (damaged(text, criterion, 3, random.Random(seed), STOCK) for seed in (1, 1, 2))
    assert first == again
    assert text != TEXT or first != other


def test_what_is_put_in_comes_from_the_stock() -> None:
    for criterion, known in (("language_consistency", FOREIGN), ("semantic_density", FILLER)):
        found = cut(damaged(TEXT, criterion, 4, random.Random(1), STOCK))[0]
        assert sum(sentence in known for sentence in found) >= len(found) // 2


def test_repetition_keeps_the_length_and_invents_nothing() -> None:
    found = damaged(TEXT, "originality", 4, random.Random(1), STOCK)
    assert len(cut(found)[0]) == len(cut(TEXT)[0])
    assert set(found.split()) <= set(TEXT.split())


def test_sentences_and_gaps_give_the_text_back() -> None:
    sentences, gaps = cut(TEXT)
    assert "".join(s + g for s, g in zip(sentences, gaps, strict=True)) == TEXT


def test_labels_follow_the_levels() -> None:
    labels, weights = labels_of({"accuracy": 1, "originality": 4})
    assert labels[CRITERIA.index("accuracy")] == 4
    assert labels[CRITERIA.index("originality")] == 1
    assert labels[CRITERIA.index("language_consistency")] == 5
    assert weights[CRITERIA.index("language_consistency")] < weights[CRITERIA.index("accuracy")] == 1
    for name in ("coherence", "overall_score", "creativity", "knowledge_novelty"):
        assert np.isnan(labels[CRITERIA.index(name)])


def test_worth_grows_with_prose_and_falls_with_other_matter() -> None:
    assert [worth(words, words, 0) for words in (10, 60, 200, 900)] == sorted(
        worth(words, words, 0) for words in (10, 60, 200, 900)
    )
    assert worth(500, 500, 0) > worth(500, 1500, 0) > worth(0, 1500, 0) == 1


def test_pages_are_the_same_for_the_same_seed_and_of_every_worth() -> None:
    made = [page(TEXT, random.Random(seed), STOCK, NOUNS) for seed in range(200)]
    assert made == [page(TEXT, random.Random(seed), STOCK, NOUNS) for seed in range(200)]
    assert {rating for _, rating in made} == {1, 2, 3, 4, 5}
    assert all("{" not in text for text, _ in made)


def test_examples_are_the_same_for_the_same_seed() -> None:
    cleans = [Clean(TEXT, "tales", str(number)) for number in range(6)]
    first, again = (list(damage_examples(cleans, STOCK, NOUNS, 7, 2)) for _ in range(2))
    assert [example.text for example in first] == [example.text for example in again]
    assert len(first) == 2 * (6 + 3)
    assert all(example.source == "tales" for example in first)


def test_a_ladder_has_five_levels_of_each_long_text() -> None:
    found = ladder([TEXT, "One sentence. Another one."], "originality", 5, 3, STOCK)
    assert [len(set(levels)) for levels in found] == [LEVELS]
    assert found[0][0] in TEXT
    assert found == ladder([TEXT, "One sentence. Another one."], "originality", 5, 3, STOCK)
