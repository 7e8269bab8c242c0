"""The student rater: statistics against counts by hand, answers that depend on the document alone, damaged files."""

import dataclasses
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from stages.contract_checks import checked
from stages.errors import ModelError
from stages.model_files import sha256_of
from stages.rating import Rating
from stages.rating_card import CARD, DEFAULT, WEIGHTS, StudentCard, card_json, read_card
from stages.rating_features import MOST_CHARACTERS, parts_of, shown, statistics
from stages.rating_heads import ordinal, weighted
from stages.rating_protocol import CRITERIA, DOMAINS
from stages.rating_student import Student, open_rater, open_student
from stages.rating_tokens import open_embedder, token_statistics

PROSE = (
    "The miller opened the gate before dawn. Water ran down the channel, and the old wheel began to turn. "
    "By noon the flour was ground, and the baker came with two carts. They talked about the price of bread."
)
ODD = [
    "", " \n\t ", "\ud800", "\x00\x01\x02", "a" * 100_000, "\n" * 5_000, "日本語の文章です。" * 30, "🙂" * 50, PROSE,
    "1 2 3", "- a\n- b\n- c", "<p>" * 400, "ﷺ\u202e\u0300", f"{PROSE}\n\n" * 40,
]  # fmt: skip


@pytest.fixture(scope="module")
def student() -> Student:
    return open_student(DEFAULT)


def test_statistics_of_a_tiny_text_are_what_a_person_counts() -> None:
    found = statistics(parts_of("The cat sat.\nThe dog, too, sat!\n\n- buy NOW"))
    assert found["log_words"] == pytest.approx(math.log(1 + 9))
    assert found["word_length"] == pytest.approx(27 / 9)
    assert found["short_words"] == 1.0
    assert found["capitalised"] == pytest.approx(2 / 9)
    assert found["all_capitals"] == pytest.approx(1 / 9)
    assert found["once"] == pytest.approx(5 / 9)
    assert found["top_word"] == pytest.approx(2 / 9)
    assert found["selling"] == pytest.approx(2 / 9)
    assert found["log_sentences"] == pytest.approx(math.log(1 + 3))
    assert found["closed"] == pytest.approx(2 / 3)
    assert found["closed_lines"] == pytest.approx(2 / 3)
    assert found["bullets"] == pytest.approx(1 / 3)
    assert found["rate_comma"] == pytest.approx(2 / 42)
    assert found["commas"] == pytest.approx(2 / 3)
    assert found["repeated_2_grams"] == 0.0


def test_repetitions_are_counted() -> None:
    found = statistics(parts_of("one two three. one two three. one two three."))
    assert found["repeated_2_grams"] == pytest.approx(1 - 3 / 8)
    assert found["repeated_3_grams"] == pytest.approx(1 - 3 / 7)
    assert found["repeated_sentences"] == pytest.approx(2 / 3)


def test_a_long_document_is_judged_by_its_first_and_last_part() -> None:
    text = "b" * MOST_CHARACTERS + "c" * MOST_CHARACTERS
    assert shown(text) == "b" * (MOST_CHARACTERS // 2) + "\n" + "c" * (MOST_CHARACTERS // 2)


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_odd_documents_get_finite_statistics(student: Student, text: str) -> None:
    parts = parts_of(shown(text))
    tokens, embedding = token_statistics(student.embedder, student.tables, parts.sentences)
    assert tuple(statistics(parts) | tokens) == student.card.statistics
    assert np.isfinite([*statistics(parts).values(), *tokens.values()]).all()
    assert np.isfinite(embedding).all()


def test_the_embedding_is_the_mean_of_the_vectors_weighted_by_rarity(student: Student) -> None:
    sentences = ["The miller opened the gate.", "Water ran."]
    ids = open_embedder().ids(sentences)[0]
    rarity = 10.0 ** (student.tables.single[ids] * 0.05)
    expected = sum(student.embedder.vectors[i] * 1e-3 / (1e-3 + p) for i, p in zip(ids, rarity, strict=True))
    found = token_statistics(student.embedder, student.tables, sentences)[1]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize(
    "text", [PROSE, "a \u2581 b\u2581c", "x" * 100, "naïve 日本語 🙂 ... \x00\ufffd </s> <unk>", "\u2581"]
)
def test_words_together_have_the_tokens_of_each_alone(student: Student, text: str) -> None:
    embedder = student.embedder
    embedder.forget()
    together = embedder.ids([text])[0].tolist()
    alone = []
    for word in text.split():
        embedder.forget()
        alone += embedder.ids([word])[0].tolist()
    assert together == alone


ATOMS = [
    "\u2581", "\u2581\u2581", "7", "42", "中", "国", "“", "”", "(", ")", "[", "'", "a", "the", "é", "-", "\x00", "\x7f",
    "\u200b", "\u200d", "\ufeff", "👩\u200d💻", "\u0300", "ﷺ", "\ufffd", "</s>", "<unk>", "<", "s>", "<0x0A>",
]  # fmt: skip
WORDS = st.lists(st.lists(st.sampled_from(ATOMS), min_size=1, max_size=6).map("".join), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.randoms(use_true_random=False))
def test_no_word_changes_the_tokens_of_another(words: list[str], chance: random.Random) -> None:
    embedder = open_embedder()
    alone = {}
    for word in words:
        embedder.forget()
        alone[word] = embedder.ids([word])[0].tolist()
    for _ in range(2):
        chance.shuffle(words)
        embedder.forget()
        embedder.ids([" ".join(words)])
        assert {word: embedder.ids([word])[0].tolist() for word in words} == alone


def test_ratings_do_not_depend_on_the_hash_seed_nor_on_the_order_of_documents(student: Student) -> None:
    words = ["2019", "12", "(see", "中国", "3.5", "“A”", "k\u2581"]
    texts = [" ".join(words[(i * 5 + j * 3) % 7] for j in range(40)) + " the end." for i in range(6)]
    code = (
        "import json, sys; from stages.rating_card import DEFAULT; from stages.rating_student import open_student;"
        "print(open_student(DEFAULT).rate(json.loads(sys.argv[1])).as_batch('x').to_pylist())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code, json.dumps(order)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed, order in (("1", texts), ("2", texts), ("3", texts[::-1]))
    ]  # fmt: skip
    student.embedder.forget()
    here = student.rate(texts).as_batch("x").to_pylist()
    assert said == [f"{here}\n", f"{here}\n", f"{here[::-1]}\n"]


@pytest.mark.parametrize("unit", ["1.", "a.", "a.a@", "a@.", '."', "; ", "\n ", "a(", "<a", "A ", "a'"])
def test_statistics_take_no_time_that_grows_as_a_square(unit: str) -> None:
    text = unit * (5 * MOST_CHARACTERS // len(unit))
    begin = time.process_time()
    statistics(parts_of(text))
    assert time.process_time() - begin < 2


@given(st.lists(st.sampled_from(["a", ".", "@", "www.", "https:", "-", " ", "é", "x.y"]), max_size=14).map("".join))
def test_addresses_are_counted_as_by_the_plain_pattern(text: str) -> None:
    count = len(re.findall(r"https?:|www\.|\b[\w.]+@[\w.]+\b", text))
    assert statistics(parts_of(text))["links"] == pytest.approx(count * 1000 / (max(1, len(text)) + 200))


@pytest.mark.parametrize("text", ["\u200b", "\ufeff \u200b", "\x00" * 9, "\u0301", " " * 9_000 + "a" + " " * 9_000])
def test_a_text_that_shows_nothing_is_empty(student: Student, text: str) -> None:
    assert student.rate([text]).status == ["empty"]


def test_thresholds_cut_one_score_into_five_chances() -> None:
    chances = ordinal(np.array([0.5], np.float32), np.array([[-2, -1, 0, 1]], np.float32))
    above = [1 / (1 + math.exp(t - 0.5)) for t in (-2, -1, 0, 1)]
    expected = [1 - above[0], above[0] - above[1], above[1] - above[2], above[2] - above[3], above[3]]
    np.testing.assert_allclose(chances[0], expected, rtol=1e-6)


def test_a_weighted_sum_is_a_product_of_matrices() -> None:
    chance = np.random.default_rng(1)
    row, weights = chance.normal(size=40).astype(np.float32), chance.normal(size=(40, 7)).astype(np.float32)
    np.testing.assert_allclose(weighted(row, weights), row @ weights, rtol=1e-4)


def test_the_stage_answers_its_columns() -> None:
    stage = Rating(languages="all")
    batch = pa.RecordBatch.from_pydict({"text": [PROSE, "", None]})
    found = checked(stage, batch, stage.open()(batch))
    assert found.column("rating_status").to_pylist() == ["ok", "empty", "empty"]
    assert found.column("rater").to_pylist() == ["tamis-student-1"] * 3
    for name in CRITERIA:
        score, mean = found.column(f"rating_{name}")[0].as_py(), found.column(f"rating_{name}_mean")[0].as_py()
        assert 1 <= score <= 5
        assert 1 <= mean <= 5
        assert found.column(f"rating_{name}").null_count == 2
    assert found.column("domain")[0].as_py() in DOMAINS
    assert 0 < found.column("rating_confidence")[0].as_py() <= 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(ODD) | st.text(max_size=300), max_size=6), st.integers(0, 6))
def test_a_document_is_rated_the_same_in_any_batch(texts: list[str], place: int) -> None:
    student = open_student(DEFAULT)
    whole = student.rate(texts).as_batch(student.name)
    parts = [student.rate(part).as_batch(student.name) for part in (texts[:place], texts[place:])]
    assert pa.Table.from_batches(parts).to_pylist() == whole.to_pylist()


def test_better_text_gets_the_better_rating(student: Student) -> None:
    menu = "Home | Shop | Cart\nBuy now! $19.99\nAdd to cart\nSign in\n" * 5
    overall = CRITERIA.index("overall_score")
    good, bad = student.rate([PROSE, menu]).means[:, overall]
    assert good > bad + 0.5


def test_the_card_says_what_the_student_can(student: Student) -> None:
    card = student.card
    assert {name for name, kind in card.criteria.items() if kind == "proxy"} == {"knowledge_novelty", "creativity"}
    assert card.bytes == (DEFAULT / WEIGHTS).stat().st_size < 2_000_000
    assert card.teacher == "graded damage"
    assert "DataMan" not in card.name


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT, tmp_path / "student"))


def changed(directory: Path, **changes: object) -> None:
    card = dataclasses.replace(read_card(directory), **changes)  # type: ignore[arg-type]
    (directory / CARD).write_bytes(card_json(card))


def refused(directory: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        open_rater(Rating(model=str(directory)))
    assert "expected" in str(caught.value)


def test_a_copy_rates_like_the_original(copy: Path, student: Student) -> None:
    assert open_rater(Rating(model=str(copy))).rate([PROSE]).means.tolist() == student.rate([PROSE]).means.tolist()


def test_missing_files_are_explained(copy: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", r"found no student\.safetensors")
    (copy / CARD).unlink()
    refused(copy, r"found no student\.json.*tamis train rater")


def test_damaged_weights_are_refused(copy: Path) -> None:
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-100] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    refused(copy, "found SHA-256")
    (copy / WEIGHTS).write_bytes(b"no weights")
    changed(copy, sha256=sha256_of(copy / WEIGHTS))
    refused(copy, "found no safetensors file")


@pytest.mark.parametrize("kind", ["shape", "nan", "name"])
def test_weights_of_another_shape_are_refused(copy: Path, kind: str) -> None:
    arrays = load_file(copy / WEIGHTS)
    if kind == "shape":
        arrays["heads.criteria"] = arrays["heads.criteria"][:-1]
    elif kind == "nan":
        arrays["heads.hidden"][0, 0] = np.nan
    else:
        arrays["heads.more"] = arrays.pop("heads.hidden")
    (copy / WEIGHTS).write_bytes(save(arrays))
    changed(copy, sha256=sha256_of(copy / WEIGHTS))
    refused(copy, {"shape": r"found heads\.criteria of shape", "nan": "not finite", "name": r"found arrays"}[kind])


def test_weights_for_another_embedding_or_other_statistics_are_refused(copy: Path) -> None:
    card = read_card(copy)
    for changes, message in (
        ({"embedding_sha256": "0" * 64}, "found an embedding with SHA-256"),
        ({"features": "0"}, "found statistics of version 0"),
        ({"statistics": (*card.statistics[:-1], "odd")}, r"found other statistics than ours"),
    ):
        shutil.copy(DEFAULT / CARD, copy / CARD)
        changed(copy, **changes)
        refused(copy, message)


def test_a_card_that_is_none_is_refused(copy: Path) -> None:
    raw = json.loads((copy / CARD).read_text())
    for broken, message in (
        ({**raw, "more": 1}, "more"),
        ({**raw, "criteria": {"accuracy": "trained"}}, "found criteria accuracy"),
        ({**raw, "proxies": {}}, "found proxies"),
        ([], "expected a student's card"),
    ):
        (copy / CARD).write_text(json.dumps(broken))
        refused(copy, message)


def test_a_criterion_that_nothing_trained_has_no_score(student: Student) -> None:
    kinds = {**student.card.criteria, "creativity": "null"}
    proxies = {"knowledge_novelty": student.card.proxies["knowledge_novelty"]}
    card: StudentCard = dataclasses.replace(student.card, criteria=kinds, proxies=proxies, domains=())
    found = dataclasses.replace(student, card=card).rate([PROSE]).as_batch("x")
    assert found.column("rating_creativity").to_pylist() == [None]
    assert found.column("domain").to_pylist() == [None]
    assert found.column("rating_status").to_pylist() == ["ok"]
