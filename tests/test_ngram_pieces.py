"""Pieces: the same tokens as the lines of a normaliser, and the same scores, whatever the text and the cut."""

from hypothesis import given
from hypothesis import strategies as st

from stages.ngram_models import line_scores, open_model, scores_of
from stages.ngram_pieces import pieces
from stages.normalisers import NORMALISERS
from stages.perplexity_models import DEFAULT

TEXTS = st.text(st.characters(exclude_categories=())) | st.lists(
    st.sampled_from(["<s>", "word", "É", "東京", "\n", " ", "\0", "\ud800", "\u2028", "a\u0301", "x" * 600, "w " * 300])
).map("".join)


@given(name=st.sampled_from(sorted(NORMALISERS)), text=TEXTS, size=st.integers(1, 700))
def test_pieces_are_the_lines_of_the_normaliser_cut_after_every_size_tokens(name: str, text: str, size: int) -> None:
    normaliser = NORMALISERS[name]
    expected = [
        words[begin : begin + size]
        for words in (line.split(" ") for line in normaliser(text))
        for begin in range(0, len(words), size)
    ]
    lines, tokens = normaliser.pieces(text, size)
    assert [line.decode().split() for line in lines] == expected
    assert tokens.tolist() == [len(words) + 1 for words in expected]


@given(text=TEXTS | st.lists(st.sampled_from(["the", "you", "of", ", ", " ", "\n"]), max_size=60).map(" ".join))
def test_pieces_score_as_the_lines_do_to_the_last_bit(text: str) -> None:
    model = open_model(DEFAULT / "en.harmful.klm")
    lines, tokens = model.normaliser.pieces(text)
    log10, counts = line_scores(model, model.normaliser(text))
    assert scores_of(model, lines).tolist() == log10.tolist()
    assert tokens.tolist() == counts.tolist()


def test_text_without_a_token_has_no_pieces() -> None:
    for text in ("", " ", "\n\n", " \n "):
        lines, tokens = pieces(text, 8, 4)
        assert lines == tokens.tolist() == []
