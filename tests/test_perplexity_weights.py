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
from stages.ngram_models import ModelCard, card_json, card_path, read_card
from stages.perplexity import Perplexity
from tests.runs import write_jsonl

sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))

import perplexity_weights as recipe

TEXT = {"harmful": "the sour badger growls", "background": "the gentle heron wades"}
PAGE = "the badger wades\nthe quiet heron growls at the badger"
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


def _ratio(directory: Path) -> float:
    stage = Perplexity(model=str(directory), min_words=1)
    batch = pa.RecordBatch.from_pydict({"text": [PAGE], "lang": ["en"]})
    return float(stage.open()(batch).column("harmful_ratio")[0].as_py())


def test_the_ratio_gains_the_mean_weight_of_a_short_document(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = _ratio(directory)
    weighed = tmp_path_factory.mktemp("weighed")
    for path in directory.glob("en.*"):
        (weighed / path.name).write_bytes(path.read_bytes())
    _write(weighed, WEIGHTS)
    words = PAGE.split()
    gain = sum(WEIGHTS.get(word, 0.0) for word in words) / (len(words) + 2)  # two ends of lines
    assert _ratio(weighed) == pytest.approx(plain + gain, abs=1e-5)


def test_weights_are_among_the_models_of_a_run(directory: Path) -> None:
    _write(directory, WEIGHTS)
    assert {"en.weights", "en.weights card"} < set(Perplexity(model=str(directory)).models())


def test_weights_of_another_normaliser_are_refused(directory: Path) -> None:
    path = _write(directory, WEIGHTS)
    card_path(path).write_bytes(card_json(dataclasses.replace(read_card(path), normaliser="as_is")))
    with pytest.raises(ModelError, match=r"en\.weights\.klm: found normaliser 'as_is', expected 'alphabetic'"):
        _ratio(directory)


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
