"""The perplexity stage on tiny models of invented text: scores, reasons, thresholds, and every kind of bad model."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.training.perplexity import train
from pipeline.training.settings import PerplexityTraining
from stages.errors import ConfigError, ModelError
from stages.ngram_models import Calibration, card_json, card_path, read_card
from stages.perplexity import Perplexity
from tests.runs import SENTENCES, fingerprint, go, tamis, write_config, write_jsonl

RUDE = ["the grumbling badger growls at the sour turnip", "a sour badger growls and grumbles at turnips all day"]
KIND = ["the gentle heron wades along the quiet river", "a quiet heron waits by the river for the gentle morning"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of English and of French (the same text; its harmful model has no background), and a clean model."""
    folder = tmp_path_factory.mktemp("models")
    for language, kind, text in (
        ("en", "harmful", RUDE),
        ("en", "background", KIND),
        ("fr", "harmful", RUDE),
        ("en", "clean", KIND),
    ):
        source = write_jsonl(
            folder / f"{kind}.jsonl", [{"text": "\n".join([*text, line])} for line in text for _ in range(4)]
        )
        train(
            PerplexityTraining(
                (str(source),), folder / f"{language}.{kind}.klm", language, kind,  # type: ignore[arg-type]
                order=3, estimator="numpy", binary="arpa", unknown_log10=-6.0,
            )
        )  # fmt: skip
    return folder


def _annotate(stage: Perplexity, *documents: tuple[str, str | None]) -> pa.RecordBatch:
    texts, languages = zip(*documents, strict=True)
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string()), "lang": pa.array(languages, pa.string())})
    return stage.open()(batch)


def _stage(directory: Path, **settings: Any) -> Perplexity:
    return Perplexity(**{"model": str(directory), "threshold": 0.0, "window": 8, "min_words": 5, **settings})


def test_text_like_the_harmful_model_scores_as_such(directory: Path) -> None:
    rude, kind = _annotate(_stage(directory), ("\n".join(RUDE), "en"), ("\n".join(KIND), "en")).to_pylist()
    assert rude["harmful_ppl"] < kind["harmful_ppl"]
    assert rude["harmful_ratio"] > 0 > kind["harmful_ratio"]
    assert rude["harmful_model"] == "en"
    assert rude["harmful_status"] == kind["harmful_status"] == "scored"
    assert _reasons(_stage(directory), ("\n".join(RUDE), "en"), ("\n".join(KIND), "en")) == ["harmful", None]


def test_a_passage_in_a_long_page_is_seen_by_the_worst_window(directory: Path) -> None:
    page = "\n".join([*KIND * 30, RUDE[0], *KIND * 30])
    (row,) = _annotate(_stage(directory), (page, "en")).to_pylist()
    assert row["harmful_ppl_worst"] < row["harmful_ppl"] / 10
    assert row["harmful_ratio"] > 0
    one_line = page.replace("\n", " ")
    (joined,) = _annotate(_stage(directory), (one_line, "en")).to_pylist()
    assert joined["harmful_ppl_worst"] < joined["harmful_ppl"]


def test_each_reason_has_its_text(directory: Path) -> None:
    stage = _stage(directory, no_model="drop", too_short="drop")
    documents = [
        ("\n".join(KIND), "xx"),
        ("too few", "en"),
        ("", "en"),
        ("word", "en"),
        ("\n".join(RUDE), "en"),
        (KIND[0], "en"),
    ]
    assert _reasons(stage, *documents) == ["no_model", "too_short", "too_short", "too_short", "harmful", None]
    assert _reasons(_stage(directory), *documents) == [None, None, None, None, "harmful", None]


def test_what_is_not_judged_has_no_score(directory: Path) -> None:
    rows = _annotate(_stage(directory), ("too few", "en"), ("\n".join(KIND), None), ("\n".join(KIND), "xx")).to_pylist()
    assert [row["harmful_model"] for row in rows] == ["en", None, None]
    assert [row["harmful_status"] for row in rows] == ["too_short", "no_model", "no_model"]
    assert all(row[name] is None for row in rows for name in ("harmful_ppl", "harmful_ppl_worst", "harmful_ratio"))


def test_without_a_background_model_there_is_no_ratio_and_other_scores_decide(directory: Path) -> None:
    (row,) = _annotate(_stage(directory), ("\n".join(RUDE), "fr")).to_pylist()
    assert row["harmful_ratio"] is None
    assert row["harmful_ppl"] > 0
    assert _reasons(_stage(directory), ("\n".join(RUDE), "fr")) == [None]
    for score in ("document", "worst"):
        stage = _stage(directory, score=score, threshold=row["harmful_ppl"] + 1)
        assert _reasons(stage, ("\n".join(RUDE), "fr"), ("\n".join(KIND), "fr")) == ["harmful", None]


def test_a_code_with_a_script_falls_back_on_the_language(directory: Path) -> None:
    (row,) = _annotate(_stage(directory), ("\n".join(RUDE), "en-Latn")).to_pylist()
    assert row["harmful_model"] == "en"


def test_the_calibrated_threshold_is_that_of_the_card(directory: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(directory, tmp_path / "models"))
    stage = _stage(copied, threshold="calibrated")
    with pytest.raises(ModelError, match=r"en\.harmful\.json: found no calibration.*tamis calibrate perplexity"):
        _reasons(stage, ("\n".join(RUDE), "en"))
    for folder, threshold, expected in ((tmp_path / "low", -9.0, "harmful"), (tmp_path / "high", 9.0, None)):
        shutil.copytree(directory, folder)
        path = folder / "en.harmful.klm"
        calibration = Calibration("ratio", threshold, "recall 0.9", 1.0, 1.0)
        card_path(path).write_bytes(card_json(dataclasses.replace(read_card(path), calibration=calibration)))
        assert _reasons(_stage(folder, threshold="calibrated"), ("\n".join(RUDE), "en")) == [expected]
        with pytest.raises(ModelError, match="expected one of 'worst'"):
            _reasons(_stage(folder, threshold="calibrated", score="worst"), ("\n".join(RUDE), "en"))


def test_the_quality_side_sorts_into_buckets(directory: Path, tmp_path: Path) -> None:
    documents = [("\n".join(KIND), "en"), ("\n".join([KIND[0], RUDE[0]]), "en"), ("\n".join(RUDE), "en")]
    plain = _annotate(_stage(directory, side="below"), *documents).to_pylist()
    low, middle, high = (row["quality_ppl"] for row in plain)
    assert low < middle < high
    assert [row["quality_bucket"] for row in plain] == [None] * 3
    copied = Path(shutil.copytree(directory, tmp_path / "models"))
    path = copied / "en.clean.klm"
    cuts = {"head": (low + middle) / 2, "middle": (middle + high) / 2}
    card_path(path).write_bytes(card_json(dataclasses.replace(read_card(path), percentiles=cuts)))
    stage = _stage(copied, side="below", threshold="calibrated", buckets=("head", "middle"))
    assert [row["quality_bucket"] for row in _annotate(stage, *documents).to_pylist()] == ["head", "middle", "tail"]
    assert _reasons(stage, *documents) == [None, None, "low_quality"]
    strict = _stage(directory, side="below", threshold=(low + middle) / 2)
    assert _reasons(strict, *documents) == [None, "low_quality", "low_quality"]


def test_huge_and_odd_documents(directory: Path) -> None:
    odd = ["word " * 200_000, "\x00\n\u2028" * 50, "<s> </s> <unk> " * 10, "a" * 1_000_000, "\n" * 1000]
    batch = _annotate(_stage(directory), *((text, "en") for text in odd))
    assert batch.num_rows == len(odd)
    for row in batch.to_pylist():
        assert row["harmful_ppl"] is None or 0 < row["harmful_ppl"] < float("inf")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": "beside"}, "perplexity.side: found 'beside', expected one of above, below"),
        ({"score": "best"}, "perplexity.score: found 'best'"),
        ({"threshold": "valley"}, "perplexity.threshold: found 'valley', expected a number or calibrated"),
        ({"buckets": ("top",)}, "perplexity.buckets: found 'top'"),
        ({"window": 0}, "perplexity.window: found 0"),
        ({"no_model": "maybe"}, "perplexity.no_model: found 'maybe'"),
    ],
)
def test_values_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Perplexity(**settings)


def test_models_that_cannot_be_used(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found no directory"):
        Perplexity(model=str(tmp_path / "nowhere")).models()
    with pytest.raises(ModelError, match=r"found no \.klm file, expected LANGUAGE\.harmful\.klm"):
        Perplexity(model=str(tmp_path)).models()
    for change, message in (
        (_without_card, "expected the card"),
        (_truncated, "truncated"),
        (_foreign, "starts with bytes"),
    ):
        folder = Path(shutil.copytree(directory, tmp_path / change.__name__))
        change(folder / "en.harmful.klm")
        with pytest.raises(ModelError, match=message):
            _reasons(_stage(folder), ("\n".join(RUDE), "en"))


def test_models_with_different_normalisers_do_not_go_together(directory: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(directory, tmp_path / "models"))
    path = folder / "en.background.klm"
    card_path(path).write_bytes(card_json(dataclasses.replace(read_card(path), normaliser="as_is")))
    with pytest.raises(ModelError, match="found normaliser 'as_is', expected 'alphabetic'"):
        _reasons(_stage(folder), ("\n".join(RUDE), "en"))


def test_a_run_in_worker_processes_gives_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    rows = [{"text": " ".join([*(RUDE if n % 4 == 0 else KIND) * 3, f"number {n}"])} for n in range(60)]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    stages = ["language", {"perplexity": {"model": str(directory), "threshold": 0.0}}]
    found = []
    for workers in (1, 2):
        sizes = {"input": {"split_mb": 0.003}}
        config = write_config(
            tmp_path / f"{workers}.yaml", [source], tmp_path / f"run{workers}", stages=stages, **sizes
        )
        finished = go(config, workers=workers)
        assert finished.ledger.dropped["perplexity"] == {"harmful": 15}
        found.append(fingerprint(tmp_path / f"run{workers}"))
    assert found[0] == found[1]


def test_a_run_counts_what_it_did_not_judge(directory: Path, tmp_path: Path) -> None:
    texts = [*(" ".join([*KIND, f"number {n}"]) for n in range(5)), "The heron waits.", *[SENTENCES["de"]] * 3]
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    stages = ["language", {"perplexity": {"model": str(directory), "threshold": 0.0}}]
    config = write_config(tmp_path / "c.yaml", [source], tmp_path / "run", stages=stages)
    done = tamis("run", config)
    counts = {"no_model": 3, "scored": 5, "too_short": 1}
    assert "harmful_status: no_model 3, scored 5, too_short 1" in done.stdout, done.stderr
    facts = json.loads((tmp_path / "run/report.json").read_bytes())
    assert facts["statuses"] == {"harmful_status": counts}
    assert facts["columns_kept"]["harmful_status"] == counts
    assert 'id="column-harmful_status"' in (tmp_path / "run/report.html").read_text()
    shown = [line.split() for line in tamis("inspect", tmp_path / "run").stdout.splitlines()]
    assert all(["harmful_status", name, str(count)] in shown for name, count in counts.items())


def _reasons(stage: Perplexity, *documents: tuple[str, str | None]) -> list[str | None]:
    return list(stage.decide(_annotate(stage, *documents)).to_pylist())


def _without_card(path: Path) -> None:
    card_path(path).unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _foreign(path: Path) -> None:
    path.write_bytes(b"not a model at all" * 100)
