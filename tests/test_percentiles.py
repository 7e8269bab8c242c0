"""Buckets of clean models: percentiles, and the card that they are written to."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.percentiles import calibrate_buckets, percentiles_of
from pipeline.training.perplexity import train
from pipeline.training.settings import PerplexityTraining
from stages.errors import ConfigError, NothingRead
from stages.ngram_models import read_card
from tests.runs import tamis, write_jsonl

WORDS = ["the", "quiet", "river", "runs", "past", "an", "old", "mill", "and", "under", "a", "bridge", "toward", "sea"]


def _rows(count: int) -> list[dict[str, object]]:
    orders = [np.random.default_rng(n).permutation(len(WORDS)) for n in range(count)]
    return [{"text": " ".join(WORDS[i] for _ in range(2) for i in order), "n": n} for n, order in enumerate(orders)]


def _model(folder: Path, kind: str = "clean") -> Path:
    source = write_jsonl(folder / "train.jsonl", _rows(50))
    settings = PerplexityTraining((str(source),), folder / f"en.{kind}.klm", "en", kind, order=3)  # type: ignore[arg-type]
    return train(dataclasses.replace(settings, estimator="numpy", binary="arpa")).path


@given(st.lists(st.floats(1, 1e6), min_size=100, max_size=300))
@settings(deadline=None)
def test_percentiles_part_the_documents_as_asked(values: list[float]) -> None:
    found = percentiles_of(values, 30, 60)
    below = [sum(value <= cut + 1e-3 for value in values) / len(values) for cut in (found.head, found.middle)]
    assert below[0] >= 0.29
    assert below[1] >= 0.59
    assert found.head <= found.middle


def test_the_card_gets_the_percentiles_of_the_chosen_documents(tmp_path: Path) -> None:
    path = _model(tmp_path)
    corpus = write_jsonl(tmp_path / "corpus.jsonl", [*_rows(300), {"text": "too short", "n": 0}])
    found = calibrate_buckets(path, (str(corpus),), ("n>=100",))
    assert found.documents == 200
    assert read_card(path).percentiles == {"head": found.head, "middle": found.middle}
    done = tamis("calibrate", "buckets", "--model", path, "--input", corpus)
    assert done.returncode == 0, done.stderr
    assert "over 300 documents" in done.stdout


def test_what_cannot_be(tmp_path: Path) -> None:
    path = _model(tmp_path)
    corpus = write_jsonl(tmp_path / "corpus.jsonl", _rows(20))
    with pytest.raises(NothingRead, match="found 20 documents long enough"):
        calibrate_buckets(path, (str(corpus),))
    with pytest.raises(ConfigError, match="0 < head < middle < 100"):
        percentiles_of([1.0] * 200, 60, 30)
    with pytest.raises(ConfigError, match="of kind harmful, expected clean"):
        calibrate_buckets(_model(tmp_path, "harmful"), (str(corpus),))
