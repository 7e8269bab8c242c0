"""Weights of single words: what the recipe writes, and what the stage makes of them."""

import dataclasses
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.training.perplexity import train
from pipeline.training.settings import PerplexityTraining
from stages.errors import ConfigError, ModelError
from stages.model_files import sha256_of
from stages.ngram_models import ModelCard, card_json, card_path, open_model, read_card
from stages.perplexity import Perplexity
from stages.perplexity_models import weights_of_words
from stages.perplexity_words import WordWeights
from tests.runs import write_jsonl

sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))

import perplexity_weights as recipe

TEXT = {"harmful": "the sour badger growls", "background": "the gentle heron wades"}
PAGE = "the badger wades\nthe quiet heron growls at the badger"
WINDOW = 1000
"""Longer than any page here, so that a page is one window."""
WEIGHTS = {"badger": 1.5, "growls": 0.25, "heron": -2.0}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A harmful and a background model, without weights."""
    for kind, text in TEXT.items():
        source = write_jsonl(tmp_path / f"{kind}.jsonl", [{"text": text}] * 3)
        output = tmp_path / f"en.{kind}.klm"
        settings = PerplexityTraining((str(source),), output, "en", kind, order=2)  # type: ignore[arg-type]
        train(dataclasses.replace(settings, estimator="numpy", binary="arpa", unknown_log10=-6.0))
    return tmp_path


def _write(directory: Path, weights: dict[str, float]) -> Path:
    """The weights as the recipe writes them, as text, with a card."""
    shift = max(0.0, *weights.values())
    path = directory / "en.weights.klm"
    path.write_text(recipe._arpa(weights, shift), encoding="utf-8")
    card: ModelCard = dataclasses.replace(
        read_card(directory / "en.harmful.klm"), kind="weights", unknown_log10=-shift,
        sha256=sha256_of(path), bytes=path.stat().st_size,
    )  # fmt: skip
    card_path(path).write_bytes(card_json(card))
    return path


def _ratio(directory: Path, page: str) -> float:
    stage = Perplexity(model=str(directory), min_words=1, window=WINDOW)
    batch = pa.RecordBatch.from_pydict({"text": [page], "lang": ["en"]})
    return float(stage.open()(batch).column("harmful_ratio")[0].as_py())


def _gain(directory: Path, folder: Path, weights: dict[str, float], page: str) -> float:
    """What the ratio of a page gains by weights."""
    plain = _ratio(directory, page)
    for path in directory.glob("en.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    _write(folder, weights)
    return _ratio(folder, page) - plain


@pytest.mark.parametrize("page", [PAGE, "badger badger heron\nbadger\n\nheron " + "badger " * 40])
def test_a_word_that_stands_n_times_in_a_document_gains_the_root_of_n_weights(
    page: str, directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gain = sum(WEIGHTS.get(word, 0.0) * page.split().count(word) ** 0.5 for word in set(page.split()))
    found = _gain(directory, tmp_path_factory.mktemp("weighed"), WEIGHTS, page)
    tokens = len(page.split()) + sum(-(-len(line.split()) // 16) for line in page.split("\n"))  # cut after 16 words
    assert found == pytest.approx(gain / (tokens + (WINDOW - tokens) / 10), abs=1e-5)


def test_words_are_counted_over_the_whole_of_a_document_of_many_lines(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(directory, WEIGHTS)
    expected = _ratio(directory, PAGE * 5)
    monkeypatch.setattr("stages.perplexity_words.LINES", 3)
    assert _ratio(directory, PAGE * 5) == expected


def test_weights_are_the_same_after_those_remembered_are_forgotten(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(directory, WEIGHTS)
    expected = _ratio(directory, PAGE)
    monkeypatch.setattr("stages.perplexity_words.MOST_WORDS", 1)
    weights = WordWeights(open_model(directory / "en.weights.klm"))
    found = [weights[word] for word in (b"badger", b"heron", b"badger", b"quiet")]
    assert found == pytest.approx([1.5, -2.0, 1.5, 0.0], abs=1e-6)
    assert len(weights) == 1
    weights_of_words.cache_clear()
    assert _ratio(directory, PAGE) == expected


def test_weights_are_among_the_models_of_a_run(directory: Path) -> None:
    _write(directory, WEIGHTS)
    assert {"en.weights", "en.weights card"} < set(Perplexity(model=str(directory)).models())


def test_weights_of_another_normaliser_are_refused(directory: Path) -> None:
    path = _write(directory, WEIGHTS)
    card_path(path).write_bytes(card_json(dataclasses.replace(read_card(path), normaliser="as_is")))
    with pytest.raises(ModelError, match=r"en\.weights\.klm: found normaliser 'as_is', expected 'alphabetic'"):
        _ratio(directory, PAGE)


def test_weights_are_not_trained_by_the_command(directory: Path) -> None:
    with pytest.raises(ConfigError, match="kind"):
        PerplexityTraining(("a.jsonl",), directory / "en.weights.klm", "en", "weights")


def test_fitted_weights_tell_the_classes_apart_and_repeat() -> None:
    pytest.importorskip("sklearn")
    texts = [(kind == "harmful", kind, text) for kind, text in TEXT.items() for _ in range(6)]
    found = recipe.fit(texts)
    assert found == recipe.fit(texts)
    assert found["badger"] > 0 > found["heron"]
    assert abs(found["the"]) < abs(found["heron"]) / 2


def test_a_large_source_does_not_outweigh_a_small_one_by_its_size() -> None:
    texts = [(True, "large", "a")] * 100 + [(True, "small", "a")] * 4 + [(False, "benign", "a")] * 9
    importance = recipe._importance(texts)
    large, small, benign = importance[:100].sum(), importance[100:104].sum(), importance[104:].sum()
    assert large / small == pytest.approx(5)  # the square root of 100 / 4
    assert large + small == pytest.approx(benign)
