"""N-gram models: every way in which a file can be another than its card says, and scoring in other processes."""

import dataclasses
import hashlib
import json
import math
import multiprocessing
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.errors import ModelError
from stages.ngram_models import (
    Calibration,
    ModelCard,
    card_json,
    card_path,
    line_scores,
    open_model,
    perplexity,
    read_card,
)
from stages.perplexity_models import DEFAULT
from tests.kenlm_programs import needs_kenlm_programs, program

pytestmark = needs_kenlm_programs

TEXT = "the miller ground the corn\nthe river turned the wheel\nthe wheel ground the corn\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    arpa, path = folder / "m.arpa", folder / "m.klm"
    lmplz = [program("lmplz"), "-o", "3", "-S", "64M", "-T", str(folder), "--discount_fallback", "--arpa", str(arpa)]
    subprocess.run(lmplz, input=TEXT.encode(), check=True, capture_output=True)
    subprocess.run([program("build_binary"), "trie", str(arpa), str(path)], check=True, capture_output=True)
    card_path(path).write_bytes(card_json(card_of(path)))
    return path


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    for path in (trained, card_path(trained)):
        shutil.copy(path, tmp_path)
    return tmp_path / trained.name


def card_of(path: Path) -> ModelCard:
    content = path.read_bytes()
    return ModelCard(
        kind="clean",
        language="en",
        normaliser="alphabetic",
        normaliser_version="1",
        order=3,
        documents={"tale": 1},
        sentences=3,
        tokens=15,
        pruning=(0,),
        binary="trie",
        quantisation_bits=0,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        licence="invented",
        command="made by the test",
        tool="kenlm 0.3.0",
    )


def rewrite(path: Path, **changes: object) -> None:
    value = json.loads(card_path(path).read_bytes()) | changes
    card_path(path).write_text(json.dumps({key: entry for key, entry in value.items() if entry != "leave out"}))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "m.klm: found no file"),
        (lambda path: card_path(path).unlink(), "m.json: found no file"),
        (lambda path: card_path(path).write_text("{"), "m.json: the file: Invalid JSON"),
        (lambda path: card_path(path).write_bytes(b"\xff\xfe"), "m.json: the file: Invalid JSON"),
        (lambda path: rewrite(path, order="leave out"), "m.json: order: Field required"),
        (lambda path: rewrite(path, kind="rude"), "m.json: kind: Input should be"),
        (lambda path: rewrite(path, flavour=1), "m.json: flavour: "),
        (lambda path: rewrite(path, percentiles={"head": math.nan}), "m.json: the file: Invalid JSON"),
        (lambda path: card_path(path).write_text('{"order": 1e999}'), "m.json: "),
        (truncate, "expected .* as its card says"),
        (flip_a_bit, "found SHA-256"),
        (lambda path: path.write_bytes(b""), "starts with bytes \\(none\\)"),
        (lambda path: path.write_bytes(b"PK\3\4 another format"), "starts with bytes 504b0304"),
        (lambda path: path.write_bytes(b"\\data\\\nngram 1=3\n"), "an ARPA text file"),
        (lambda path: path.write_bytes(b"mmap lm x format version 4\n" * 9), "expected a KenLM binary of format"),
        (lambda path: path.write_bytes(b"mmap lm x incomplete\n" * 9), "expected a KenLM binary of format"),
        (lambda path: rewrite(path, normaliser="alphabetics"), "did you mean 'alphabetic'"),
        (lambda path: rewrite(path, normaliser_version="0"), "of version 0, expected version 1"),
    ],
)
def test_a_model_that_is_not_what_it_should_be(model: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(model)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(model)
    assert "train" in str(caught.value)


def test_a_file_that_only_looks_like_a_model(model: Path) -> None:
    """Header, size and checksum agree with the card, and still KenLM cannot map it."""
    model.write_bytes(model.read_bytes()[:200])
    card_path(model).write_bytes(card_json(card_of(model)))
    with pytest.raises(ModelError, match="KenLM cannot open it"):
        open_model(model)


def test_scores_are_those_of_the_query_program(trained: Path) -> None:
    lines = ["the miller turned", "the", "unseen words here", "the wheel ground the corn"]
    query = [program("query"), "-v", "sentence", str(trained)]
    done = subprocess.run(query, input=("\n".join(lines) + "\n").encode(), check=True, capture_output=True)
    expected = [float(line.split()[1]) for line in done.stdout.decode().splitlines() if line.startswith("Total:")]
    scores, tokens = line_scores(open_model(trained), lines)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert tokens.tolist() == [4, 2, 4, 6]
    assert scores.dtype == np.float64


def test_no_lines_no_scores(trained: Path) -> None:
    scores, tokens = line_scores(open_model(trained), [])
    assert len(scores) == len(tokens) == 0


def test_perplexity_by_hand() -> None:
    assert math.isclose(perplexity(-6.0, 3), 100.0)


def test_the_card_survives_its_file(model: Path) -> None:
    calibration = Calibration("ratio", 1.5, "precision 0.9", 0.91, 0.8, {"documents": {"tale": 3}})
    card = dataclasses.replace(read_card(model), calibration=calibration)
    card_path(model).write_bytes(card_json(card))
    assert read_card(model) == card
    assert open_model(model).card.calibration == calibration


def test_a_card_holds_null_for_what_is_no_number_and_never_nan(model: Path) -> None:
    calibration = Calibration("ratio", 1.5, "recall 0.9", None, 0.0)
    card = dataclasses.replace(read_card(model), calibration=calibration)
    card_path(model).write_bytes(card_json(card))
    assert b'"precision": null' in card_path(model).read_bytes()
    assert read_card(model) == card
    spoilt = dataclasses.replace(card, calibration=dataclasses.replace(calibration, details={"auc": [math.inf]}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        card_json(spoilt)


@pytest.mark.parametrize("path", sorted(DEFAULT.glob("*.klm")), ids=lambda path: path.stem)
def test_cards_that_come_with_tamis_are_as_they_would_be_written(path: Path) -> None:
    assert card_path(path).read_bytes() == card_json(read_card(path))


def test_the_checksum_is_computed_once_until_the_file_changes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_model(model)
    monkeypatch.setattr("stages.ngram_models.sha256_of", lambda path: "computed again")
    open_model(model)
    model.touch()
    with pytest.raises(ModelError, match="computed again"):
        open_model(model)


def score_elsewhere(path: Path) -> list[float]:
    return [float(score) for score in line_scores(open_model(path), ["the wheel"])[0]]


def test_other_processes_open_and_score_it(trained: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(score_elsewhere, (trained,)) == score_elsewhere(trained)


def test_an_open_model_travels_as_its_path(trained: Path) -> None:
    sent = pickle.dumps(open_model(trained))
    assert len(sent) < 1000
    assert pickle.loads(sent).score("the wheel") == score_elsewhere(trained)[0]
