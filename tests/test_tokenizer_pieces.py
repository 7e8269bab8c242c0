"""Encoding by pieces gives the ids that the library gives for the whole text, and is used where that is certain."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers import Tokenizer as Library
from tokenizers.pre_tokenizers import Split

from stages import tokenizer_pieces
from stages.tokenizer_pieces import PATTERNS, Pieces, Whole, may_cut
from stages.tokenizers import DEFAULT_FILE, open_tokenizer

KNOWN = json.loads(DEFAULT_FILE.read_text())


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def byte_level(use_regex: bool = False, prefix: bool = False) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


DIGITS = {"type": "Digits", "individual_digits": True}
SAFE: dict[str, dict[str, Any]] = {
    "default": sequence(split(PATTERNS[0]), byte_level()),
    "Llama 3": sequence(split(PATTERNS[1]), byte_level()),
    "Qwen 2": sequence(split(PATTERNS[2]), byte_level()),
    "GPT-2": byte_level(use_regex=True),
    "digits": sequence(DIGITS, byte_level(use_regex=True)),
}
UNSAFE: dict[str, dict[str, Any] | None] = {
    "none": None,
    "one word": byte_level(),
    "prefix": byte_level(use_regex=True, prefix=True),
    "other pattern": sequence(split(r"\w+ \w+"), byte_level()),
    "removed": sequence(split(PATTERNS[0], "Removed"), byte_level()),
    "inverted": sequence(split(PATTERNS[0], invert=True), byte_level()),
    "digits alone": sequence(DIGITS, byte_level()),
    "not bytes": {"type": "Whitespace"},
}


def library(steps: dict[str, Any] | None, **changes: Any) -> Any:
    """The default's vocabulary with other steps before it."""
    found = Library.from_str(json.dumps(KNOWN | {"pre_tokenizer": steps} | changes))
    found.encode_special_tokens = True
    return found


WORDS = st.sampled_from(
    ["a", "The", "ferry", "it's", "'", "42", "7", ".", "--", "\n", "\r\n", " ", "  ", "\t", "\x00", "\x1c", "\x85",
     "\xa0", "\u200b", "\u2028", "\u3000", "\ufeff", "é", "e\u0301", "\u0301", "नमस्ते", "日本", "٣", "½", "🙂",
     "<|end|>", "x" * 60]
)  # fmt: skip
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=30).map("".join)


@cache
def safe(name: str) -> Any:
    return library(SAFE[name])


@pytest.mark.parametrize("name", SAFE)
def test_those_of_known_expressions_may_cut(name: str) -> None:
    assert may_cut(safe(name))


@pytest.mark.parametrize("name", SAFE)
@settings(deadline=None, max_examples=80)
@given(st.lists(TEXTS, max_size=4), st.sampled_from([1, 5, 1 << 20]))
def test_the_ids_are_those_of_the_whole_text(name: str, texts: list[str], portion: int) -> None:
    of_steps = safe(name)
    expected = [ids.tolist() for ids in Whole(of_steps).encode(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_pieces, "PORTION", portion)
        pieces = Pieces(of_steps)
        for _ in range(2):
            found = pieces.encode(texts)
            assert [ids.tolist() for ids in found] == expected
            assert pieces.count(texts).tolist() == [len(ids) for ids in expected]
    assert all(ids.flags.writeable for ids in found)


@pytest.mark.parametrize("name", SAFE)
@settings(deadline=None, max_examples=80)
@given(TEXTS)
def test_words_are_cut_alike_whatever_the_vocabulary(name: str, text: str) -> None:
    words = safe(name).pre_tokenizer.pre_tokenize_str
    first, *others = tokenizer_pieces._CUT.split(text)
    found = [word for piece in (first, *(f" {other}" for other in others)) for word, _ in words(piece)]
    assert found == [word for word, _ in words(text)]


def test_the_default_takes_millions_of_spaces() -> None:
    spaces = " " * 11_000_000
    assert len(Split(Regex(PATTERNS[0]), "isolated").pre_tokenize_str(spaces)) == 1


def test_a_text_that_the_library_gives_up_on(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="the tokenizers library gave up on a text"):
        Pieces(safe("Llama 3")).count(["a ferry", " " * 11_000_000])
    assert "panicked" in capfd.readouterr().err


@pytest.mark.parametrize("steps", UNSAFE.values(), ids=UNSAFE)
def test_others_are_encoded_whole(steps: dict[str, Any] | None) -> None:
    assert not may_cut(library(steps))


def test_a_normaliser_and_words_of_users_are_encoded_whole() -> None:
    assert may_cut(library(KNOWN["pre_tokenizer"]))
    assert not may_cut(library(KNOWN["pre_tokenizer"], normalizer={"type": "Lowercase"}))
    of_user = KNOWN["added_tokens"][0] | {"special": False}
    assert not may_cut(library(KNOWN["pre_tokenizer"], added_tokens=[of_user]))


def test_a_tokenizer_is_opened_the_way_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(KNOWN | {"normalizer": {"type": "NFC"}}))
    assert type(open_tokenizer("default").coder) is Pieces
    assert type(open_tokenizer(str(path)).coder) is Whole


def test_the_table_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_pieces, "REMEMBERED", 50)
    pieces, whole = Pieces(safe("default")), Whole(safe("default"))
    for number in range(20):
        texts = [f"word{number} and {number * 7} {'x' * number * 9} other{place}" for place in range(10)]
        assert pieces.count(texts).tolist() == whole.count(texts).tolist()
        assert len(pieces._known) <= 50
        assert max(map(len, pieces._known), default=0) <= tokenizer_pieces.LONGEST


def test_long_texts_are_cut_into_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_pieces, "PORTION", 10)
    text = "The ferry left the narrow harbour \n at nine, and " + "x" * 30
    sections = list(tokenizer_pieces._sections(text))
    assert "".join(sections) == text
    assert sections == ["The ferry left", " the narrow", " harbour \n at", " nine, and", " " + "x" * 30]
