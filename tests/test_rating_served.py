"""The rater `served`: answers and failures of a scripted endpoint, what is kept, and runs that are taken up again."""

import json
import logging
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stages
import stages.rating_endpoint
from stages.errors import ConfigError, EngineError, ModelError, TamisError
from stages.rating import Rating
from stages.rating_protocol import GAP, neutralised, user_message
from stages.rating_requests import Ask, body, shown
from stages.rating_served import open_rater
from stages.ratings import Ratings
from tests.rater_servers import KEY, SMOLLM2, FakeEndpoint, Said, Script, good_answer
from tests.runs import documents, fingerprint, go, write_config, write_jsonl

SECRET = "sk-this-is-a-secret-0123456789"
TEXTS = [f"The keeper counted {number} boats before the storm." for number in range(12)]
FIFTEEN = "D\n" + "\n".join("45432454445453")


@pytest.fixture(autouse=True)
def quick_and_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TAMIS_RATER_KEY", raising=False)
    monkeypatch.setattr(stages.rating_endpoint, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with FakeEndpoint() as endpoint:
        yield endpoint


def rating(fake: FakeEndpoint, **settings: Any) -> Rating:
    base = {"rater": "served", "model": "fake-1", "url": fake.url, "retries": 2, "concurrency": 4, "timeout_s": 5.0}
    return Rating(**{**base, **settings})


def rate(fake: FakeEndpoint, texts: list[str], **settings: Any) -> Ratings:
    rater = open_rater(rating(fake, **settings))
    try:
        return rater.rate(texts)
    finally:
        rater.close()


def always(said: Said) -> Script:
    return lambda number, prompt, body: said


def only(text: str, said: Said) -> Script:
    """A fault for the prompts that hold `text`."""
    return lambda number, prompt, body: said if text in prompt else None


# What is asked


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_request_is_that_of_the_protocol(fake: FakeEndpoint, api: str) -> None:
    ratings = rate(fake, TEXTS[:1], api=api)
    asked = fake.bodies[0]
    user = user_message(TEXTS[0])
    if api == "chat":
        system = {"role": "system", "content": "You are a helpful assistant."}
        assert asked["messages"] == [system, {"role": "user", "content": user}]
    else:
        assert asked["prompt"] == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
        )
    assert asked["stop"] == ["<|im_end|>", "<|endoftext|>"]
    assert {key: asked[key] for key in ("model", "max_tokens", "temperature", "seed")} == {
        "model": "fake-1", "max_tokens": 29, "temperature": 0, "seed": 0,
    }  # fmt: skip
    prompt = asked.get("prompt") or user
    assert "\n".join(good_answer(prompt).split()[1:]) == "\n".join(map(str, ratings.scores[0]))
    assert ratings.tokens.tolist() == [[200, 29]]


def test_the_shape_of_the_answer_can_be_asked_for() -> None:
    regex = body(Ask("m", guided="regex", mode="score"), "x", False)["structured_outputs"]
    assert regex == {"regex": "[1-5]"}
    assert body(Ask("m", guided="regex"), "x", False)["structured_outputs"]["regex"] == "[A-O]" + r"\n[1-5]" * 14
    assert body(Ask("m", guided="grammar"), "x", False)["grammar"] == "root ::= [A-O]" + ' "\\n" [1-5]' * 14
    assert not {"structured_outputs", "grammar"} & set(body(Ask("m"), "x", False))


@pytest.mark.parametrize(
    "special", ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<｜User｜>", "</s>", "[/INST]"]
)
def test_no_special_token_of_a_document_is_sent(special: str) -> None:
    sent = shown(f"before {special} ![](a.png)\nafter " + "x y " * 5000 + special)
    assert special not in sent
    assert "after" in sent


@given(
    st.lists(st.sampled_from(["<", "|", "｜", ">", "<|a", "b|>", "[INST]", "<</s>", "<<SYS>>", "x", "\n"]), max_size=40)
)
def test_special_tokens_are_neutralised_in_one_pass_as_one_by_one(pieces: list[str]) -> None:
    text = "".join(pieces)
    turns = {"<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"}
    assert shown(text) == neutralised(text, {*turns, *re.findall(r"<[|｜][^<>|｜\n]{1,60}[|｜]>", text)}).strip()


def test_a_huge_text_full_of_different_special_tokens_is_shown_at_once() -> None:
    text = "[begin]" + "".join(f"<|{number}|>" for number in range(300_000)) + "[end]"
    began = time.process_time()
    sent = shown(text)
    assert time.process_time() - began < 2.0
    assert sent.startswith("[begin]< |0|>")
    assert sent.endswith("< |299999|>[end]")
    assert len(sent.encode()) < 8000


@pytest.mark.parametrize("sign", ["a", "я", "中", "🙂"])
def test_a_long_text_is_cut_in_the_middle_at_whole_characters(sign: str) -> None:
    text = "[begin]" + sign * 9000 + "[end]"
    sent = shown(text)
    assert sent.startswith("[begin]")
    assert sent.endswith("[end]")
    assert GAP in sent
    assert len(sent.encode()) <= 4 * 1894 + len(GAP)
    assert set(sent) <= set("[begin]") | set("[end]") | {sign, "."}
    assert shown("short " + sign) == "short " + sign


def test_equal_texts_of_a_batch_are_asked_about_once_and_empty_ones_never(fake: FakeEndpoint) -> None:
    ratings = rate(fake, ["a text", "", " \n", "a text", "another"])
    assert len(fake.prompts) == 2
    assert ratings.status == ["ok", "empty", "empty", "ok", "ok"]
    assert (ratings.scores[0] == ratings.scores[3]).all()


def test_requests_at_once_stay_below_the_bound(fake: FakeEndpoint) -> None:
    fake.script = always(Said(delay=0.02))
    assert rate(fake, TEXTS * 1, concurrency=3).status == ["ok"] * 12
    assert fake.most_at_once == 3


# What is answered


@pytest.mark.parametrize(
    ("answer", "finish", "status"),
    [
        (FIFTEEN, "stop", "ok"),
        (FIFTEEN + "\n", "length", "ok"),
        (FIFTEEN[:-2], "length", "invalid"),
        (FIFTEEN + "\n4", "stop", "invalid"),
        (FIFTEEN[:-1] + "0", "stop", "invalid"),
        (FIFTEEN[:-1] + "6", "stop", "invalid"),
        ("P" + FIFTEEN[1:], "stop", "invalid"),
        ("This is a fine text, I give it five of five.", "stop", "invalid"),
        ("", "stop", "invalid"),
    ],
)
def test_an_answer_that_is_none_is_invalid_and_not_imputed(
    fake: FakeEndpoint, answer: str, finish: str, status: str
) -> None:
    fake.script = only("counted 0 boats", Said(answer=answer, finish=finish))
    ratings = rate(fake, TEXTS[:2])
    assert ratings.status == [status, "ok"]
    row = ratings.as_batch("r").to_pylist()[0]
    assert row["rating_overall_score"] == (3 if status == "ok" else None)
    assert row["domain"] == ("education" if status == "ok" else None)
    assert row["rating_prompt_tokens"] == 200


@pytest.mark.parametrize(("mode", "answer"), [("score", "4"), ("domain", "C")])
def test_each_mode_fills_its_columns_alone(fake: FakeEndpoint, mode: str, answer: str) -> None:
    fake.logprobs, fake.script = True, always(Said(answer=answer))
    row = rate(fake, TEXTS[:1], mode=mode).as_batch("r").to_pylist()[0]
    assert fake.bodies[0]["max_tokens"] == 2
    found = {key for key, value in row.items() if value is not None}
    base = {"rating_status", "rating_prompt_tokens", "rating_answer_tokens", "rater"}
    scored = {"rating_overall_score", "rating_overall_score_mean", "rating_confidence"}
    assert found == base | (scored if mode == "score" else {"domain", "domain_confidence"})


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_expected_scores_come_from_the_probabilities_of_the_digits(fake: FakeEndpoint, api: str) -> None:
    fake.logprobs, fake.script = True, always(Said(answer=FIFTEEN))
    ratings = rate(fake, TEXTS[:1], api=api)
    digits = [int(line) for line in FIFTEEN.split()[1:]]
    assert ratings.means[0].tolist() == pytest.approx([0.6 * digit + 0.1 * (15 - digit) for digit in digits])
    assert ratings.confidence[0] == pytest.approx(0.6)
    assert ratings.domain_confidence[0] == pytest.approx(0.6)


def test_an_endpoint_that_refuses_probabilities_is_asked_without_them_from_then_on(fake: FakeEndpoint) -> None:
    fake.script = lambda number, prompt, body: Said(400, "{}") if "logprobs" in body else None
    ratings = rate(fake, TEXTS, concurrency=1)
    assert ratings.status == ["ok"] * 12
    assert ["logprobs" in body for body in fake.bodies] == [True, True] + [False] * 13
    assert ratings.as_batch("r").column("rating_confidence").null_count == 12


@pytest.mark.parametrize("said", [Said(400, "{}"), Said(500, "{}")])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_document_refused_with_probabilities_takes_them_from_no_other(
    fake: FakeEndpoint, said: Said, concurrency: int
) -> None:
    fake.logprobs = True
    fake.script = lambda number, prompt, body: said if "BAD" in prompt and "logprobs" in body else None
    texts = ["a", "b", "BAD 1", "c", "BAD 2", "d"]
    for order in (texts, texts[::-1]):
        ratings = rate(fake, order, concurrency=concurrency)
        assert ratings.status == ["ok"] * 6
        told = [value is not None for value in ratings.as_batch("r").column("rating_confidence").to_pylist()]
        assert told == ["BAD" not in text for text in order]
    assert sum("lighthouse" in body["messages"][-1]["content"] and "logprobs" in body for body in fake.bodies) == 2


def test_a_document_refused_either_way_takes_probabilities_from_no_other(fake: FakeEndpoint) -> None:
    fake.logprobs, fake.script = True, only("BAD", Said(400, "{}"))
    ratings = rate(fake, ["a", "BAD", "c"], concurrency=1)
    assert ratings.status == ["ok", "error", "ok"]
    assert ratings.as_batch("r").column("rating_confidence").null_count == 1


@pytest.mark.parametrize(
    "logprobs",
    [
        "no",
        [],
        {"content": 3},
        {"content": [{"token": "D"}]},
        {"tokens": ["D"], "top_logprobs": None},
        {"tokens": [1], "top_logprobs": []},
        {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": None}]}]},
        {"content": [{"token": "4", "top_logprobs": []}]},
    ],
)
def test_probabilities_that_cannot_be_read_are_none(fake: FakeEndpoint, logprobs: object) -> None:
    choice = {"message": {"content": "4"}, "logprobs": logprobs}
    fake.script = always(Said(body=json.dumps({"choices": [choice], "usage": None})))
    row = rate(fake, TEXTS[:1], mode="score").as_batch("r").to_pylist()[0]
    found = [row[name] for name in ("rating_overall_score", "rating_overall_score_mean", "rating_prompt_tokens")]
    assert found == [4, None, None]


# Failures of one document


@pytest.mark.parametrize("status", [400, 422])
def test_a_document_that_is_refused_is_an_error_and_the_rest_goes_on(fake: FakeEndpoint, status: int) -> None:
    fake.script = only("counted 3 boats", Said(status, '{"error": {"message": "The keeper counted 3 boats: no"}}'))
    assert rate(fake, TEXTS).status == ["ok"] * 3 + ["error"] + ["ok"] * 8


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 2048 tokens. However, your request has 8000 input tokens.",
        "request (15001 tokens) exceeds the available context size (8192 tokens), try increasing it",
    ],
)
def test_a_text_that_is_too_long_for_the_endpoint_is_halved(fake: FakeEndpoint, words: str) -> None:
    said = Said(400, json.dumps({"error": {"message": words}}))
    fake.script = lambda number, prompt, body: said if len(prompt) > 3000 else None
    ratings = rate(fake, ["a" * 5000, "b"])
    assert ratings.status == ["ok", "ok"]
    assert sorted(len(prompt) > 3000 for prompt in fake.prompts) == [False, False, True]
    fake.script = always(said)
    assert rate(fake, ["a" * 5000]).status == ["error"]


@pytest.mark.parametrize("said", [Said(500), Said(body="<html>"), Said(body='{"choices": []}'), Said(body="[1]")])
def test_a_document_to_which_alone_the_endpoint_says_nonsense_is_refused(fake: FakeEndpoint, said: Said) -> None:
    fake.script = only("counted 3 boats", said)
    assert rate(fake, TEXTS).status == ["ok"] * 3 + ["error"] + ["ok"] * 8


# Failures of the endpoint


@pytest.mark.parametrize(
    "said",
    [Said(500), Said(503), Said(408), Said(429), Said(body="{"), Said(reset=True), Said(429, "", {"Retry-After": "0"})],
)
def test_faults_that_pass_are_tried_again(fake: FakeEndpoint, said: Said) -> None:
    fake.script = lambda number, prompt, body: said if number < 2 else None
    assert rate(fake, TEXTS, concurrency=1).status == ["ok"] * 12
    assert len(fake.prompts) == 14


@pytest.mark.parametrize("said", [Said(500), Said(503), Said(429), Said(body="{"), Said(reset=True), Said(delay=0.6)])
def test_an_endpoint_that_keeps_failing_stops_the_run(fake: FakeEndpoint, said: Said) -> None:
    fake.script = always(said)
    with pytest.raises(EngineError, match="3 tries of one request failed") as error:
        rate(fake, TEXTS, timeout_s=0.2 if said.delay else 5.0)
    assert "keeper" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_slow_answer_counts_as_a_failed_try(fake: FakeEndpoint) -> None:
    fake.script = lambda number, prompt, body: Said(delay=1.0) if number == 0 else None
    assert rate(fake, TEXTS[:2], timeout_s=0.3).status == ["ok", "ok"]


@pytest.mark.parametrize("asked", ["7", "date", "soon", "1e9"])
def test_what_the_endpoint_asks_for_is_waited_for(
    fake: FakeEndpoint, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("stages.rating_endpoint.asyncio.sleep", sleep)
    header = formatdate(usegmt=True) if asked == "date" else asked
    fake.script = lambda number, prompt, body: Said(429, "", {"Retry-After": header}) if number < 3 else None
    rate(fake, TEXTS[:1], retries=3)
    if asked in ("7", "1e9"):
        assert waits == [7.0 if asked == "7" else 300.0] * 3
    else:
        assert [0.005 * 2**number <= wait <= 0.01 * 2**number for number, wait in enumerate(waits)] == [True] * 3


def test_many_tries_make_no_wait_too_long_to_count() -> None:
    assert 0.0 < stages.rating_endpoint._wait(5000, 0.0, "seed") <= stages.rating_endpoint.MOST_WAIT_S


def test_a_wrong_key_stops_the_run_and_is_nowhere(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake.key = "another"
    monkeypatch.setenv("TAMIS_RATER_KEY", SECRET)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError, match=r"does not accept the key .*TAMIS_RATER_KEY"):
        rate(fake, TEXTS)
    assert SECRET not in caplog.text
    fake.key = SECRET
    with caplog.at_level(logging.DEBUG):
        assert rate(fake, TEXTS[:1]).status == ["ok"]
    assert SECRET not in caplog.text
    assert "keeper" not in caplog.text


def test_a_key_is_taken_back_in_the_middle(fake: FakeEndpoint) -> None:
    fake.script = lambda number, prompt, body: Said(403) if number > 3 else None
    with pytest.raises(ConfigError, match="HTTP 403"):
        rate(fake, TEXTS)


def test_a_key_that_is_none_is_not_shown(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_RATER_KEY", f"{SECRET}\nX-Evil: 1")
    with pytest.raises(ConfigError, match="printable") as error:
        rate(fake, TEXTS)
    assert SECRET not in str(error.value)


def test_a_missing_model_is_named_with_those_that_are_there(fake: FakeEndpoint) -> None:
    with pytest.raises(ModelError, match=r"has no 'mine', found 'fake-1', 'fake-2'; name one"):
        rate(fake, TEXTS, model="mine")
    fake.models = json.dumps({"data": [{"id": f"m{number}"} for number in range(9)]})
    with pytest.raises(ModelError, match=r"found 'm0', 'm1', 'm2', 'm3', 'm4'; name"):
        rate(fake, TEXTS)


def test_an_endpoint_without_a_list_of_models_is_asked_all_the_same(fake: FakeEndpoint) -> None:
    for models in (None, "[]", "<html>", '{"data": [1]}'):
        fake.models = models
        assert rate(fake, TEXTS[:1]).status == ["ok"]
    fake.script = always(Said(404))
    with pytest.raises(ModelError, match=r"HTTP 404 .*base URL"):
        rate(fake, TEXTS[:1])


@pytest.mark.parametrize(
    "told",
    [{"root": "/models/a"}, {"root": "fake-1", "parent": "base"}, {"meta": {"n_params": 135, "size": 9, "n_ctx": 512}}],
)
def test_what_an_endpoint_tells_of_its_model_is_in_the_rater_s_name(fake: FakeEndpoint, told: dict[str, Any]) -> None:
    names = []
    for more in ({}, {"created": 2, "permission": [{"id": "x"}]}, {"root": "/models/b"}):
        fake.models = json.dumps({"data": [{"id": "another"}, {"id": "fake-1", "created": 1, **told, **more}]})
        rater = open_rater(rating(fake))
        rater.close()
        names.append(rater.name)
    assert re.fullmatch("served:fake-1@[0-9a-f]{8}", names[0])
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("told", [{"root": "fake-1"}, {"root": None, "parent": None}, {"meta": None}, {"meta": []}])
def test_an_endpoint_that_tells_no_more_than_a_name_adds_nothing_to_it(
    fake: FakeEndpoint, told: dict[str, Any]
) -> None:
    fake.models = json.dumps({"data": [{"id": "fake-1", "created": 1, **told}]})
    rater = open_rater(rating(fake))
    rater.close()
    assert rater.name == "served:fake-1"


def test_no_endpoint_is_an_error_at_once(fake: FakeEndpoint) -> None:
    fake.stop()
    with pytest.raises(EngineError, match="no connection"):
        open_rater(rating(fake))


def test_an_endpoint_that_refuses_everything_is_a_wrong_configuration(fake: FakeEndpoint) -> None:
    fake.script = always(Said(400, '{"error": {"message": "unknown field seed"}}'))
    assert rate(fake, TEXTS).status == ["error"] * 12
    with pytest.raises(ConfigError, match=r"refused each of the first 20 documents \(HTTP 400\)"):
        rate(fake, [f"{text} {number}" for text in TEXTS for number in range(2)])


# A real model


@pytest.mark.parametrize(("api", "guided"), [("chat", "none"), ("completions", "grammar")])
def test_a_real_model_is_asked(smollm2_url: str, monkeypatch: pytest.MonkeyPatch, api: str, guided: str) -> None:
    """A model this small knows no protocol: free it answers in prose, held to a grammar it answers at random."""
    monkeypatch.setenv("TAMIS_RATER_KEY", KEY)
    settings = {"api": api, "guided": guided, "concurrency": 2, "timeout_s": 60.0}
    rater = open_rater(Rating(rater="served", model=SMOLLM2, url=smollm2_url, **settings))  # type: ignore[arg-type]
    ratings = rater.rate(["The keeper counted the boats.", ""])
    rater.close()
    assert re.fullmatch(f"served:{SMOLLM2}@[0-9a-f]{{8}}", rater.name)
    assert ratings.status == ["ok" if guided == "grammar" else "invalid", "empty"]
    prompt_tokens, answer_tokens = ratings.tokens[0]
    assert 130 < prompt_tokens < 250
    assert answer_tokens == 29
    if guided == "grammar":
        assert ratings.scores[0].min() >= 1
        assert ratings.domains[0]


def test_a_real_model_finds_a_text_too_long_and_is_shown_half(
    smollm2_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAMIS_RATER_KEY", KEY)
    settings = {"guided": "grammar", "mode": "score", "timeout_s": 60.0}
    rater = open_rater(Rating(rater="served", model=SMOLLM2, url=smollm2_url, **settings))  # type: ignore[arg-type]
    ratings = rater.rate(["The keeper counted the boats. " * 250])
    rater.close()
    assert ratings.status == ["ok"]
    assert ratings.scores[0, -1] in range(1, 6)
    assert 200 < ratings.tokens[0, 0] < 512


def test_a_real_server_refuses_a_wrong_key(smollm2_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_RATER_KEY", SECRET)
    with pytest.raises(ConfigError, match="HTTP 401"):
        open_rater(Rating(rater="served", model=SMOLLM2, url=smollm2_url))
    monkeypatch.setenv("TAMIS_RATER_KEY", KEY)
    with pytest.raises(ModelError, match=f"found '{SMOLLM2}'"):
        open_rater(Rating(rater="served", model="another", url=smollm2_url))


# Settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": ""}, "expected a base URL"),
        ({"url": "localhost:8000/v1"}, "expected a base URL"),
        ({"url": "ftp://host/v1"}, "expected a base URL"),
        ({"url": "http://[::1/v1"}, "expected a base URL"),
        ({"url": f"http://user:{SECRET}@host/v1"}, "found a user, a password"),
        ({"url": f"http://host/v1?key={SECRET}"}, "found a user, a password"),
        ({"answers": "s3://bucket/answers"}, "directory on a local disk"),
        ({"timeout_s": float("nan")}, r"rating\.timeout_s"),
        ({"timeout_s": float("inf")}, r"rating\.timeout_s"),
        ({"guided": "json"}, "expected one of none, regex, grammar"),
    ],
)
def test_settings_that_cannot_do_are_refused_before_anything_is_read(settings: dict[str, Any], words: str) -> None:
    base = {"rater": "served", "model": "m", "url": "http://localhost:1/v1"}
    with pytest.raises(ConfigError, match=words) as error:
        Rating(**{**base, **settings}).models()
    assert SECRET not in str(error.value)
    assert Rating(**base).models() == {}  # type: ignore[arg-type]


def test_without_the_client_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.rating_served.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tamis\[served\]'"):
        Rating(rater="served", url="http://localhost:1/v1").models()


# Answers that are kept


def test_no_answer_is_paid_for_twice_and_it_is_the_same(fake: FakeEndpoint, tmp_path: Path) -> None:
    fake.logprobs = True
    first = rate(fake, TEXTS, answers=str(tmp_path / "kept"))
    with FakeEndpoint(logprobs=True) as other:
        again = rate(other, TEXTS, answers=str(tmp_path / "kept"), concurrency=9)
        assert other.prompts == []
        assert again.as_batch("r") == first.as_batch("r")
        rate(other, TEXTS[:2], answers=str(tmp_path / "kept"), mode="score")
        rate(other, TEXTS[:2], answers=str(tmp_path / "kept"), api="completions")
        assert len(other.prompts) == 4
    raw = b"".join(path.read_bytes() for path in (tmp_path / "kept").iterdir())
    assert b"keeper" not in raw


def test_invalid_answers_are_kept_and_refusals_are_not(fake: FakeEndpoint, tmp_path: Path) -> None:
    bad = [only("counted 1 boats", Said(answer="?")), only("counted 2 boats", Said(400))]
    fake.script = lambda number, prompt, body: bad[0](number, prompt, body) or bad[1](number, prompt, body)
    assert rate(fake, TEXTS[:4], answers=str(tmp_path)).status == ["ok", "invalid", "error", "ok"]
    fake.script, fake.prompts = None, []
    assert rate(fake, TEXTS[:4], answers=str(tmp_path)).status == ["ok", "invalid", "ok", "ok"]
    assert len(fake.prompts) == 1


def test_an_answer_that_is_empty_or_broken_off_is_asked_for_again(fake: FakeEndpoint, tmp_path: Path) -> None:
    said = [Said(answer=" "), Said(answer="A\n3", finish="abort"), Said(answer="A\n3", finish="length")]
    fake.script = lambda number, prompt, body: next(
        (one for number, one in enumerate(said) if f"counted {number} boats" in prompt), None
    )
    assert rate(fake, TEXTS[:4], answers=str(tmp_path)).status == ["invalid"] * 3 + ["ok"]
    fake.script, fake.prompts = None, []
    assert rate(fake, TEXTS[:4], answers=str(tmp_path)).status == ["ok", "ok", "invalid", "ok"]
    assert len(fake.prompts) == 2


def test_answers_of_another_model_of_the_same_name_are_not_taken(fake: FakeEndpoint, tmp_path: Path) -> None:
    asked = []
    for root in ("lab/a", "lab/b", "lab/a", None, None):
        fake.prompts, fake.models = [], json.dumps({"data": [{"id": "fake-1", "root": root}]})
        assert rate(fake, TEXTS[:3], answers=str(tmp_path)).status == ["ok"] * 3
        asked.append(len(fake.prompts))
    assert asked == [3, 3, 0, 3, 0]


def test_answers_of_a_batch_that_failed_are_kept(fake: FakeEndpoint, tmp_path: Path) -> None:
    fake.script = lambda number, prompt, body: Said(503) if number >= 5 else None
    with pytest.raises(EngineError):
        rate(fake, TEXTS, answers=str(tmp_path), concurrency=1)
    fake.script, fake.prompts = None, []
    assert rate(fake, TEXTS, answers=str(tmp_path)).status == ["ok"] * 12
    assert len(fake.prompts) == 7


def test_two_raters_share_a_directory(fake: FakeEndpoint, tmp_path: Path) -> None:
    raters = [open_rater(rating(fake, answers=str(tmp_path))) for _ in range(2)]
    raters[0].rate(TEXTS[:6])
    raters[1].rate(TEXTS)
    raters[0].rate(TEXTS)
    assert len(fake.prompts) == 12
    for rater in raters:
        rater.close()


def test_a_place_that_cannot_keep_answers_is_an_error(fake: FakeEndpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be used"):
        rate(fake, TEXTS, answers=str(tmp_path / "file"))
    (tmp_path / "answers-1.sqlite").write_text("this is no database, and it is long enough to be seen as none" * 50)
    with pytest.raises(ConfigError, match="not a database"):
        rate(fake, TEXTS, answers=str(tmp_path))


def test_answers_that_were_damaged_stop_the_run(fake: FakeEndpoint, tmp_path: Path) -> None:
    rate(fake, TEXTS, answers=str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "answers-1.sqlite")) as database, database:
        database.execute("UPDATE answers SET reply = 'nonsense'")
    with pytest.raises(EngineError, match="damaged"):
        rate(fake, TEXTS, answers=str(tmp_path))


# Runs


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    if "rating" not in stages.NAMES:
        monkeypatch.setattr(stages, "NAMES", (*stages.NAMES, "rating"))


def configured(folder: Path, fake: FakeEndpoint, output: str, **settings: Any) -> Path:
    rows = [row for row in documents(120, seed=3) if row["made_in"] in ("en", "de")]
    source = write_jsonl(folder / "in.jsonl", rows)
    stage = {"rater": "served", "model": "fake-1", "url": fake.url, "retries": 1, "concurrency": 4, **settings}
    shards = {"text_mb": 0.01}
    return write_config(folder / f"{output}.yaml", [source], folder / output, stages=[{"rating": stage}], shards=shards)


def bytes_of(run: Path) -> dict[str, str]:
    return {name: value for name, value in fingerprint(run).items() if name != "manifest"}


@pytest.mark.usefixtures("known")
def test_a_run_whose_endpoint_dies_goes_on_as_if_nothing_had_been(fake: FakeEndpoint, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    go(configured(tmp_path, fake, "whole"))
    asked = len(fake.prompts)
    fake.prompts = []

    def dying(number: int, prompt: str, body: dict[str, Any]) -> Said | None:
        return Said(reset=True) if number >= asked // 2 else None

    fake.script = dying
    config = configured(tmp_path, fake, "broken", answers=kept)
    with pytest.raises(EngineError, match="the same command goes on from here"):
        go(config)
    answered = set(fake.prompts[: asked // 2])
    fake.stop()
    with pytest.raises(TamisError, match="no connection"):
        go(config)
    fake.script, fake.prompts = None, []
    fake.start()
    go(config)
    assert not answered & set(fake.prompts)
    assert len(fake.prompts) == len(set(fake.prompts)) == asked - len(answered)
    parts = [
        sorted(path.read_bytes() for path in (tmp_path / run / "data").glob("*.parquet")) for run in ("whole", "broken")
    ]
    assert parts[0]
    assert parts[0] == parts[1]


@pytest.mark.usefixtures("known")
def test_nothing_of_a_run_tells_the_key(fake: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_RATER_KEY", SECRET)
    fake.key = SECRET
    go(configured(tmp_path, fake, "out", answers=str(tmp_path / "kept")))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


COMMAND = "import stages; stages.NAMES = tuple(dict.fromkeys((*stages.NAMES, 'rating'))); from pipeline.cli import main"


def start(config: Path, workers: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", f"{COMMAND}; main()", "run", str(config), "--workers", str(workers)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TAMIS_RATER_KEY": SECRET},
    )  # fmt: skip


@pytest.mark.usefixtures("known")
def test_a_process_that_is_killed_in_a_shard_has_kept_its_answers(fake: FakeEndpoint, tmp_path: Path) -> None:
    full = threading.Event()

    def slow(number: int, prompt: str, body: dict[str, Any]) -> Said | None:
        if number >= 8:
            full.set()
            return Said(delay=4.0)
        return None

    fake.script = slow
    config = configured(tmp_path, fake, "out", answers=str(tmp_path / "kept"))
    with start(config, 1) as process:
        assert full.wait(60)
        time.sleep(1.0)
        process.kill()
    answered = set(fake.prompts[:5])
    fake.script, fake.prompts = None, []
    go(config)
    assert fake.prompts
    assert not answered & set(fake.prompts)


def test_the_command_ends_with_the_exit_code_of_the_failure(fake: FakeEndpoint, tmp_path: Path) -> None:
    fake.key = "another"
    config = configured(tmp_path, fake, "out")
    with start(config, 2) as process:
        done = subprocess.CompletedProcess(process.args, 0, *process.communicate())
    done.returncode = process.returncode
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "does not accept the key" in done.stderr.replace("\n", " ")
    assert SECRET not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
