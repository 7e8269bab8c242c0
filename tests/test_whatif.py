"""`tamis what-if`: the funnel of another run without running it, and honest about what cannot be told."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.config
import pipeline.whatif_settings
from pipeline.whatif import what_if
from stages.errors import ConfigError, InputError
from tests.looks import Lengths, Perplexity, looked_at, rows

KNOWN = {"lengths": Lengths, "perplexity": Perplexity}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return looked_at(tmp_path_factory.mktemp("looks"), least=20)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.config.stages, "stage_class", KNOWN.__getitem__)


def stage(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in found["stages"] if row["stage"] == name)


@settings(max_examples=20, deadline=None)
@given(least=st.integers(20, 400))
def test_stricter_thresholds_are_told_exactly(run: Path, least: int) -> None:
    found = what_if(str(run), [f"lengths.least={least}"])
    lengths = [len(row["text"]) for row in rows()]
    assert stage(found, "lengths")["dropped"].get("short", 0) == sum(length < least for length in lengths)
    harmful = sum("unspeakable" in row["text"] and len(row["text"]) >= least for row in rows())
    assert found["kept"] == sum(length >= least for length in lengths) - harmful
    assert found["unknown"] == found["gained"] == 0
    assert found["lost"] == found["was_kept"] - found["kept"]


def test_documents_that_later_stages_never_saw_are_unknown(run: Path) -> None:
    found = what_if(str(run), ["lengths.least=10"])
    freed = sum(10 <= len(row["text"]) < 20 for row in rows())
    assert freed > 0
    assert stage(found, "perplexity")["unknown"] == found["unknown"] == freed
    assert found["kept"] == found["was_kept"]
    assert "never saw" in stage(found, "perplexity")["note"]


def test_the_last_stage_has_no_unknowns(run: Path) -> None:
    found = what_if(str(run), ["perplexity.threshold=2"])
    assert (found["gained"], found["lost"], found["unknown"]) == (1, 0, 0)
    assert stage(found, "perplexity")["was_dropped"] == {"harmful": 1}
    assert stage(found, "perplexity")["dropped"] == {}


def test_it_agrees_with_a_run(run: Path, tmp_path: Path) -> None:
    found = what_if(str(run), ["lengths.least=100"])
    other = json.loads((looked_at(tmp_path, least=100) / "manifest.json").read_text())
    assert found["kept"] == other["ledger"]["kept"]
    told = [{key: row[key] for key in ("stage", "entered", "kept", "dropped")} for row in found["stages"]]
    assert told == [{key: row[key] for key in ("stage", "entered", "kept", "dropped")} for row in other["funnel"]]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lengths.scale=2", "lengths.scale is no threshold.*Thresholds of lengths: least"),
        ("seed=3", "'seed' holds no threshold"),
        ("input.text=body", "'input' holds no threshold"),
        ("lengths.last=3", "did you mean 'least'"),
        ("rating.min_overall_score=3", "neither a section nor a stage"),
        ("lengths.least=many", "lengths.least"),
        ("lengths.least", "expected key=value"),
    ],
)
def test_what_is_no_threshold_is_refused_and_those_that_are_are_named(run: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        what_if(str(run), [override])


def test_nothing_to_change_and_nothing_to_look_at(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found no --set"):
        what_if(str(run), [])
    with pytest.raises(InputError, match="no finished run"):
        what_if(str(tmp_path), ["lengths.least=1"])
