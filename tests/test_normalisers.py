"""Normalisers: what holds for any text, and what each one promises."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import ConfigError
from stages.normalisers import MAX_CHARACTERS, MAX_WORDS, NORMALISERS, SPACE, alphabetic, as_is, letters, normaliser

ANY_TEXT = st.text(st.characters(exclude_categories=()))
PIECES = (
    "<s> </s> <unk> <UNK> \0 \x1f \x85 \u2028 \u3000 \u200b \ud800 \u2581 e\u0301 İ ß Σ ﬁ ﷺ ´ "
    "ﾊﾞ 東京 ไทย हिन्दी 𝐛𝐨𝐥𝐝 a < > 1"
)
AWKWARD = st.lists(st.sampled_from([*PIECES.split(" "), " ", "\n"])).map("".join)
SCRIPTS = [*range(0, 0x3400, 1024), *range(0xA000, 0xAC00, 1024), *range(0xD400, 0x20000, 1024)]
"""Blocks of 1,024 characters; left out are Han, Hangul, and planes without letters."""
ALL = pytest.mark.parametrize("name", NORMALISERS)
WORDS = pytest.mark.parametrize("name", ["as_is", "alphabetic"])


@ALL
@given(text=ANY_TEXT | AWKWARD)
def test_every_token_is_fit_for_kenlm(name: str, text: str) -> None:
    for line in normaliser(name)(text):
        line.encode("utf-8")
        tokens = line.split(" ")
        assert tokens == line.split()
        assert all(tokens)
        assert not {"<s>", "</s>", "<unk>", "<UNK>"} & set(tokens)
        assert not any(unicodedata.category(char) == "Cc" for char in line)


@WORDS
@given(text=ANY_TEXT | AWKWARD)
def test_normalised_words_stay_as_they_are(name: str, text: str) -> None:
    lines = normaliser(name)(text)
    assert normaliser(name)("\n".join(lines)) == lines


@given(text=ANY_TEXT | AWKWARD)
def test_letters_spells_alphabetic(text: str) -> None:
    words = [line.replace(" ", "").replace(SPACE, " ") for line in letters(text)]
    assert [word for line in words for word in line.split()] == [w for line in alphabetic(text) for w in line.split()]


@ALL
def test_every_character_gives_tokens_of_its_own(name: str) -> None:
    function = normaliser(name)
    for start in SCRIPTS:
        chars = [chr(code) for code in range(start, start + 1024)]
        for char, alone in zip(chars, map(function, chars), strict=True):
            assert len(alone) <= 1, hex(ord(char))
            again = function(alone[0]) if alone and name in ("as_is", "alphabetic") else alone
            assert again == alone, hex(ord(char))


def test_as_is_keeps_words() -> None:
    assert as_is("\u2014 Don't\tSTOP\u00a0now!\r\nNo\0w\u2028<s> a<s> </s>") == [
        "\u2014 Don't STOP now!", "No w", "‹s› a<s> ‹/s›",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP, 24/7!", ["don t stop"]),
        ("Straße ÉTÉ e\u0301te\u0301", ["straße été été"]),
        ("sp\u00adli\u200bt \ufb01ne \uff21\uff22 \U0001d41b", ["split fine ab b"]),
        ("日本語 and ไทย", ["日 本 語 and ไ ท ย"]),
        ("หิน ﾊﾞ", ["หิ น バ"]),
        ("हिन्दी भाषा", ["हिन्दी भाषा"]),
        ("caf´e 1.5 x_y", ["caf e x y"]),
        ("--- 12 | 13\n\n***", []),
        ("", []),
    ],
)
def test_alphabetic(text: str, expected: list[str]) -> None:
    assert alphabetic(text) == expected


def test_characters() -> None:
    assert normaliser("characters")(f"A  b\u3000{SPACE}\n\n9!\u200b") == [f"a {SPACE} b {SPACE} _", "9 !"]
    assert letters("A  b, 9\nÇ") == [f"a {SPACE} b", "ç"]


@ALL
@pytest.mark.parametrize("text", ["word " * 1000, "x" * 5000, "字" * 5000, "a\u0301" * 5000])
def test_long_lines_are_cut_and_lose_nothing(name: str, text: str) -> None:
    lines = normaliser(name)(text)
    most = MAX_WORDS if name in ("as_is", "alphabetic") else MAX_CHARACTERS
    assert all(len(line.split()) <= most for line in lines)
    joined = "".join(itertools.chain.from_iterable(line.split() for line in lines)).replace(SPACE, "")
    assert joined == "".join(unicodedata.normalize("NFC", text).split()) or name == "as_is"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'alphabetic'"):
        normaliser("alphabetical")


def test_names_are_those_of_the_table() -> None:
    assert all(name == found.name for name, found in NORMALISERS.items())
