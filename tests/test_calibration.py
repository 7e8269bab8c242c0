"""Calibration: measures against brute force, the refusal on documents without labels, cards, pages, the command."""

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline import calibration as measures
from pipeline.calibrate import Calibrated, Inputs, calibrate, native, parse_target, write_card
from pipeline.calibration_report import labelled_page, unlabelled_page
from pipeline.cli import app
from pipeline.density import density, grid_of, valley
from stages.errors import ConfigError, InputError
from stages.ngram_models import ModelCard, card_json, read_card
from stages.perplexity_models import DEFAULT

DATA = Path(os.environ.get("TAMIS_DATA", Path(__file__).parents[2] / "shared" / "data"))
RNG = np.random.default_rng(7)
HIGH = {"a": RNG.normal(3, 1, 200), "b": RNG.normal(2, 1, 80)}
LOW = {"x": RNG.normal(0, 1, 500), "y": RNG.normal(-1, 2, 90)}


def test_auc_is_the_share_of_pairs_in_order() -> None:
    positive, negative = RNG.integers(0, 9, 40).astype(float), RNG.integers(0, 7, 30).astype(float)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert measures.auc(positive, negative) == pytest.approx(np.mean(pairs))


def test_auc_by_source_weighs_sources_alike() -> None:
    one = measures.auc_by_source({"a": np.array([2.0]), "b": np.zeros(1000)}, {"x": np.array([1.0])})
    assert one == 0.5


@pytest.mark.parametrize("wanted", [0.2, 0.5, 0.9, 1.0])
def test_threshold_for_recall_is_the_highest_that_reaches_it(wanted: float) -> None:
    threshold = measures.threshold_for_recall(HIGH, wanted)
    assert measures.share_above(HIGH, threshold) >= wanted - 1e-12
    higher = [value for values in HIGH.values() for value in values if value > threshold]
    assert all(measures.share_above(HIGH, value) < wanted for value in higher)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3])
def test_threshold_for_alarms_is_the_lowest_that_keeps_to_it(share: float) -> None:
    threshold = measures.threshold_for_alarms(LOW, share)
    assert measures.share_above(LOW, threshold) <= share + 1e-12
    lower = [value for values in LOW.values() for value in values if value < threshold]
    assert all(measures.share_above(LOW, value) > share for value in lower)


def test_threshold_for_precision_agrees_with_a_search_through_all_scores() -> None:
    every = sorted({float(v) for values in (*HIGH.values(), *LOW.values()) for v in values})
    points = [measures.point_at(value, HIGH, LOW, 0.05) for value in every]
    good = [point.recall == 0 or point.precision >= 0.9 for point in points]
    expected = next(value for i, value in enumerate(every) if all(good[i:]))
    assert measures.threshold_for_precision(HIGH, LOW, 0.9, 0.05) == expected


def test_no_threshold_for_precision_where_the_benign_score_highest() -> None:
    assert measures.threshold_for_precision(LOW, {"x": np.array([99.0])}, 0.9, 0.01) is None


def test_precision_depends_on_prevalence() -> None:
    counted = 9 / (9 + 99)  # 10 harmful of which 9 are dropped, 990 benign of which 99 are
    assert measures.precision_at(0.9, 0.1, 0.01) == pytest.approx(counted)
    assert np.isnan(measures.precision_at(0.0, 0.0, 0.5))


def test_bootstrap_is_repeatable_and_wide_with_few_sources() -> None:
    def recall(positive: measures.BySource, negative: measures.BySource) -> float:
        return measures.share_above(positive, 2.5)

    first = measures.bootstrap(recall, HIGH, LOW, seed=3)
    assert first == measures.bootstrap(recall, HIGH, LOW, seed=3)
    assert first != measures.bootstrap(recall, HIGH, LOW, seed=4)
    within = measures.bootstrap_share(HIGH["a"], 2.5, seed=3)
    assert first.low < first.value < first.high
    assert first.high - first.low > within.high - within.low


def test_density_is_one_in_total_and_agrees_with_the_direct_sum() -> None:
    values = RNG.normal(0, 1, 300)
    grid = np.linspace(-6, 6, 400)
    found = density(values, grid)
    width = 0.9 * min(values.std(), np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34) * len(values) ** -0.2
    direct = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2).sum(1) / (len(values) * width * np.sqrt(2 * np.pi))
    assert np.trapezoid(found, grid) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(found, direct, atol=0.003)


def test_valley_between_two_clusters_and_none_in_one() -> None:
    found = valley(np.concatenate([RNG.normal(0, 1, 400), RNG.normal(8, 1, 300)]))
    assert found is not None
    assert 3 < found.place < 5
    assert abs(found.left) < 0.5
    assert found.depth > 0.9
    assert valley(RNG.normal(0, 1, 700)) is None


def test_equal_scores_have_no_valley() -> None:
    assert valley(np.full(50, 2.0)) is None
    assert len(grid_of(np.full(5, 2.0)))


@pytest.mark.parametrize("text", ["precision", "precision=2", "auc=.9", "recall=", "recall=x"])
def test_bad_targets(text: str) -> None:
    with pytest.raises(ConfigError, match="--target"):
        parse_target(text, 0.01)


def test_unreachable_precision_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lower the precision"):
        calibrate({"a": np.zeros(5)}, {"x": np.ones(5)}, Inputs(tmp_path, "en"), parse_target("precision=.9", 0.01))


def test_perplexities_come_back_in_their_own_unit() -> None:
    assert native(-3.0, "document") == pytest.approx(1000)
    assert native(-3.0, "ratio") == -3.0


def test_card_keeps_everything_but_the_calibration(tmp_path: Path) -> None:
    before = _model(tmp_path)
    found = _found(tmp_path)
    write_card(found)
    after = read_card(tmp_path / "xx.harmful.klm")
    assert dataclasses.replace(after, calibration=None) == before
    assert after.calibration is not None
    assert after.calibration.threshold == found.threshold
    assert after.calibration.details["documents"] == {"a": 200, "b": 80, "x": 500, "y": 90}
    assert after.calibration.details["seen_in_training"] == ["a"]


def test_card_of_a_threshold_that_drops_nothing_has_no_precision(tmp_path: Path) -> None:
    _model(tmp_path)
    found = _found(tmp_path)
    nothing = measures.Interval(math.nan, math.nan, math.nan)
    write_card(dataclasses.replace(found, point=found.point._replace(precision=math.nan), precision=nothing))
    calibration = read_card(tmp_path / "xx.harmful.klm").calibration
    assert calibration is not None
    assert calibration.precision is None
    assert calibration.details["precision_interval"] == [None, None, None]


def test_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    harmful = {"<script>alert(1)</script>": HIGH["a"]}
    page = labelled_page(calibrate(harmful, LOW, Inputs(tmp_path, "en"), parse_target("recall=.9", 0.01)))
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<path") == 2
    assert "threshold" in page


def test_page_without_labels_has_no_threshold(tmp_path: Path) -> None:
    values = np.concatenate([RNG.normal(0, 1, 400), RNG.normal(8, 1, 300)])
    page = unlabelled_page({"s": values}, Inputs(tmp_path, "en"), valley(values))
    assert "No threshold:" in page
    assert "precision of .07" in page
    assert ">threshold" not in page


def test_command_refuses_to_take_a_valley_for_a_threshold(tmp_path: Path) -> None:
    text = tmp_path / "some.jsonl"
    lines = [
        {"text": f"The committee met on day {i} of the month and " + "spoke of the budget. " * 8} for i in range(9)
    ]
    text.write_text("\n".join(map(json.dumps, lines)))
    done = _run("--language", "en", "--unlabelled", str(text), "--report", str(tmp_path / "out.html"))
    assert done.exit_code == 0, done.exception
    assert "no threshold:" in done.stdout
    assert "committee" not in done.stdout + (tmp_path / "out.html").read_text()
    refused = _run("--language", "en", "--unlabelled", str(text), "--write")
    assert isinstance(refused.exception, ConfigError)


def test_language_without_a_model(tmp_path: Path) -> None:
    text = tmp_path / "some.jsonl"
    text.write_text(json.dumps({"text": "word " * 40}))
    done = _run("--language", "tlh", "--positive", str(text), "--negative", str(text))
    assert isinstance(done.exception, InputError)
    assert "tlh" in str(done.exception)


@pytest.mark.skipif(not (DATA / "harmful").is_dir(), reason="TAMIS_DATA (../shared/data) is not there")
def test_default_english_model_tells_talk_from_news(tmp_path: Path) -> None:
    talk, news = (str(DATA / f"{name}.jsonl.zst") for name in ("harmful/wikipedia_talk_toxic", "groups/news"))
    done = _run("--language", "en", "--positive", talk, "--positive-where", "label=True", "--negative", news)
    assert done.exit_code == 0, type(done.exception)
    assert "AUC        0.9" in done.stdout or "AUC        1.0" in done.stdout


def _run(*arguments: str):  # noqa: ANN202 - typer's own result
    return CliRunner().invoke(app, ["calibrate", "perplexity", "--model", str(DEFAULT), *arguments])


def _found(directory: Path) -> Calibrated:
    return calibrate(HIGH, LOW, Inputs(directory, "xx"), parse_target("recall=.9", 0.01))


def _model(directory: Path) -> ModelCard:
    path = directory / "xx.harmful.klm"
    path.write_bytes(b"a model")
    card = ModelCard(
        kind="harmful", language="xx", normaliser="alphabetic", normaliser_version="1", order=3, documents={"a": 1},
        sentences=1, tokens=2, pruning=(0,), binary="trie", quantisation_bits=8,
        sha256=hashlib.sha256(b"a model").hexdigest(), bytes=7, licence="", command="", tool="",
    )  # fmt: skip
    path.with_suffix(".json").write_bytes(card_json(card))
    return card
