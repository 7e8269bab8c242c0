"""Selection says what it cannot use: settings, columns, ids; and shows no words of documents."""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipeline.plan import make_plan
from pipeline.sections import build
from pipeline.single import StageRequest, run_stage
from pipeline.training.rater_settings import RaterTraining
from stages import select_search
from stages.errors import ConfigError, EngineError, InputError
from stages.rating import Rating
from stages.select import Select
from tests.rated import batch, row, surveyed
from tests.runs import write_jsonl
from tests.select_run import config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weights: {accuracy: yes}", r"select\.weights\.accuracy: found True, expected a number \(YAML reads"),
        ("shares: {no: .5, en: .5}", r"select\.shares: found the key False, expected a name \(YAML reads bare no"),
        ("shares: {2020: 1}", r"select\.shares: found the key 2020, expected a name: quote it"),
        ("shares: 0.5", r"found 0\.5, expected proportional, equal, or a mapping such as \{law: 0\.3\}"),
        ("shares: {law: high}", r"select\.shares: found \{'law': 'high'\}, expected proportional, equal, or a mapping"),
        ("weights: 5", r"select\.weights: found 5; expected a mapping, such as \{name: 1\.0\}"),
        ("weights: {accuracy: .inf}", r"select\.weights: found \{'accuracy': inf\}, expected finite numbers"),
        ("weights: {accuracy: 1e+308, coherence: 1e+308}", r"select\.weights: .* at most a million"),
        ("tokens: 4611686018427387904", r"expected 0 to 4,611,686,018,427,387,903"),
        ("strata: [text]", r"select\.strata: found \('text',\), expected none of text, metadata, id"),
        ("strata: [source, metadata]", r"select\.strata"),
        ("strata: [id]", r"select\.strata"),
        ("tokens_from: text", r"select\.tokens_from: found text, expected bytes, or the name of an integer column"),
        ("tokens_from: ''", r"select\.tokens_from"),
    ],
)
def test_a_setting_is_refused_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Select, yaml.safe_load(text), "select")


@pytest.mark.parametrize(
    ("field", "values", "settings", "message"),
    [
        ("rating_overall_score", [3, "secret"], (), r"'rating_overall_score' holds values .* \(int, str\)"),
        ("rating_overall_score", ["secret", "secret"], (), r"'rating_overall_score' \(string\) must hold ratings"),
        ("domain", ["law", ["secret"]], ("strata=[domain]",), r"'domain' holds values .* \(list, str\)"),
        ("domain", [["secret"], []], ("strata=[domain]",), r"the column 'domain' \(list<.*expected text or numbers"),
        ("domain", [{"secret": 1}] * 2, ("strata=[domain]",), r"the column 'domain' \(struct<"),
        ("count", [5, 2**64 - 1], ("tokens_from=count",), r"'count' holds values .* 64 bits"),
        ("count", [5, 2**63], ("tokens_from=count",), r"'count' "),
        ("count", [5, 2**41], ("tokens_from=count",), r"an integer of 0 to 1,099,511,627,776"),
    ],
)
def test_values_that_cannot_be_used_are_named(
    tmp_path: Path, field: str, values: list[Any], settings: tuple[str, ...], message: str
) -> None:
    rows = [row(number, 3) | {"text": "x", field: value} for number, value in enumerate(values)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    request = StageRequest("select", (str(tmp_path / "a.jsonl"),), overrides=settings)
    with pytest.raises((ConfigError, InputError), match=message):
        run_stage(Console(width=200), request)


def test_a_column_that_is_not_there_is_named_with_both_remedies(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    with pytest.raises(ConfigError, match=r"'lang'.* run the stage language first, or .* --set languages=all"):
        run_stage(Console(), StageRequest("rating", (str(path),)))
    with pytest.raises(ConfigError, match=r"'lang'.* run the stage language first, or .* --set languages=all"):
        make_plan(config([path], tmp_path / "run", stage=Rating()))  # type: ignore[arg-type]


@pytest.mark.parametrize(("budget", "taken"), [(50, 1), (350, 31), (10, 1), (299, 1)])
def test_many_documents_of_one_id_stand_or_fall_together(
    monkeypatch: pytest.MonkeyPatch, budget: int, taken: int
) -> None:
    """More of them than a sample holds: the rounds come to an end all the same."""
    monkeypatch.setattr(select_search, "SAMPLE", 10)
    rows = [row(1, 5), *(row(0, 3) for _ in range(30)), *(row(number, 2) for number in range(2, 40))]
    stage = Select(tokens=budget, method="top_k", tokens_from="count")
    said = stage.open_with(surveyed(stage, [rows]))(batch(rows)).column("select_copies").to_pylist()
    assert sum(said[:31]) == taken
    assert sum(said) == (taken if budget < 310 else budget // 10)


def test_a_survey_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Select, "finished", lambda self, state: False)
    monkeypatch.setattr(Select, "reduce", lambda self, state, partial: state)
    path = write_jsonl(tmp_path / "a.jsonl", [row(0, 3) | {"text": "x"}])
    with pytest.raises(EngineError, match="not done after 64 rounds"):
        run_stage(Console(), StageRequest("select", (str(path),)))


@pytest.mark.parametrize("column", ["text", "metadata"])
def test_no_survey_reads_what_documents_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str) -> None:
    monkeypatch.setattr(Select, "reads", (column,))
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    with pytest.raises(ConfigError, match=f"a survey stage cannot read '{column}'"):
        make_plan(config([path], tmp_path / "run"))
    with pytest.raises(ConfigError, match=f"a survey stage cannot read '{column}'"):
        run_stage(Console(), StageRequest("select", (str(path),)))


def test_a_package_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match="the package pyarrow is needed, and is not installed: pip install pyarrow"):
        make_plan(config([path], tmp_path / "run"))


def test_a_seed_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--seed: found -1, expected 0 to"):
        RaterTraining(("a.jsonl",), tmp_path / "out", seed=-1)


def test_a_column_of_nothing_but_nulls_is_no_rating() -> None:
    rows = batch([row(0, None)])
    stage = Select()
    assert stage.open_with(surveyed(stage, [[row(0, None)]]))(rows).column("select_status").to_pylist() == ["unrated"]
