"""The protocol: prompts to the letter, text as the models saw it in training, answers that are answers."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.rating_protocol import (
    CRITERIA,
    DOMAINS,
    LETTERS,
    MODES,
    MOST_CHARACTERS,
    MOST_READ,
    MOST_TOKENS,
    WORDINGS,
    cleaned,
    is_empty,
    neutralised,
    parse_answer,
    prepared,
    slots,
    user_message,
)

SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]


def characters(text: str) -> list[int]:
    return [ord(character) for character in text]


def joined(tokens: object) -> str:
    return "".join(map(chr, tokens))  # type: ignore[call-overload]


def test_there_are_fourteen_criteria_and_fifteen_domains() -> None:
    assert (len(set(CRITERIA)), len(set(DOMAINS)), len(LETTERS)) == (14, 15, 15)


@pytest.mark.parametrize("language", WORDINGS)
def test_the_prompt_asks_for_a_domain_and_fourteen_scores(language: str) -> None:
    lines = user_message("one\ntwo", language).split("\n")
    assert lines[1].endswith("one")
    assert lines[2] == "two"
    assert len(lines) == 3 + 15
    assert [line.split("]")[0] for line in lines[4:]] == [f"[{number}" for number in range(1, 15)]
    assert all(line.endswith(":_/5") for line in lines[4:])


@pytest.mark.parametrize("language", WORDINGS)
@pytest.mark.parametrize("mode", ["score", "domain"])
def test_the_short_modes_ask_for_one_line(language: str, mode: str) -> None:
    assert len(user_message("text", language, mode).split("\n")) == 3
    assert len(slots(mode)) == 1


@given(st.sampled_from(DOMAINS), st.lists(st.integers(1, 5), min_size=14, max_size=14))
def test_a_right_answer_is_read_back(domain: str, scores: list[int]) -> None:
    answer = "\n".join([LETTERS[DOMAINS.index(domain)], *map(str, scores)])
    for end in ("", "\n"):
        assert parse_answer(answer + end) == (domain, tuple(scores))


GOOD = "A" + "\n3" * 14


@pytest.mark.parametrize(
    "answer",
    [
        "",
        GOOD + "\n3",
        GOOD[:-2],
        GOOD.replace("A", "P"),
        GOOD.replace("A", "a"),
        "A" + "\n0" + "\n3" * 13,
        "A" + "\n6" + "\n3" * 13,
        "A" + "\n3.5" + "\n3" * 13,
        "A" + "\n" + "\n3" * 13,
        "A" + "\n³" + "\n3" * 13,
        "A" + "\n٣" + "\n3" * 13,
        "Domain: " + GOOD,
        GOOD + "\n\n",
        "The text is about medicine.",
    ],
)
def test_anything_else_is_no_answer(answer: str) -> None:
    assert parse_answer(answer) is None


@given(st.text(max_size=60), st.sampled_from(MODES))
def test_no_text_breaks_the_parser(answer: str, mode: str) -> None:
    found = parse_answer(answer, mode)
    assert found is None or len(found[1]) == len([choices for choices in slots(mode) if choices != LETTERS])


@given(st.text(alphabet="<|>_imstartend oftx\n", max_size=80), st.sampled_from(SPECIALS), st.text(max_size=10))
def test_no_special_token_survives(before: str, special: str, after: str) -> None:
    shown = prepared(before + special + after, characters, joined, SPECIALS)
    assert not any(token in shown for token in SPECIALS)


def test_neutralising_leaves_other_text_alone() -> None:
    assert neutralised("a < b | c > d", SPECIALS) == "a < b | c > d"


def test_long_texts_keep_their_first_and_last_half() -> None:
    text = "a" * MOST_CHARACTERS + "b" * MOST_CHARACTERS
    shown = prepared(text, characters, joined, SPECIALS)
    half = MOST_TOKENS // 2
    assert shown == "a" * half + "..." + "b" * half


def test_a_text_of_just_the_limit_is_whole() -> None:
    text = "x" * MOST_TOKENS
    assert prepared(text, characters, joined, SPECIALS) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"…" begins', " begins"),
        ("“...” begins", " begins"),
        ("... begins", "... begins"),
        ("![](a/b.png)\nx", "x"),
        ("![alt](a.png)\nx", "![alt](a.png)\nx"),
        ("![](a.png) x", "![](a.png) x"),
    ],
)
def test_the_text_is_cleaned_as_it_was_for_training(text: str, shown: str) -> None:
    assert cleaned(text) == shown


@given(st.lists(st.sampled_from(["![](", "![a](", "[]", "(", ")", ")\n", "\n", "a"]), max_size=14).map("".join))
def test_images_without_a_description_are_cut_as_by_the_plain_pattern(text: str) -> None:
    assert cleaned(text) == re.sub(r"!\[\]\([^)]+\)\n", "", text)


def test_images_that_never_end_are_read_in_linear_time() -> None:
    begin = time.process_time()
    assert cleaned("![](" * 200_000) == "![](" * 200_000
    assert time.process_time() - begin < 1


def test_of_a_huge_text_only_the_ends_are_looked_at() -> None:
    ends = "a" * (MOST_READ // 2), "b" * (MOST_READ // 2)
    assert prepared("x".join(ends), characters, joined, SPECIALS) == prepared("".join(ends), characters, joined, [])


@pytest.mark.parametrize(
    "text", ["", " \n\t", "\u200b", "\ufeff", "\x00\x01", "\u3000\u200d\u00ad\u0301", "\u2028\x85"]
)
def test_a_text_that_shows_nothing_is_empty(text: str) -> None:
    assert is_empty(text)
    assert prepared(text, characters, joined, SPECIALS) == ""


@pytest.mark.parametrize("text", ["a", "\u200b1", "_", "...", "日", "\x00€", "🙂", "²", "\ufffd", "\u0301a"])
def test_a_letter_digit_mark_of_punctuation_or_symbol_is_text(text: str) -> None:
    assert not is_empty(text)
