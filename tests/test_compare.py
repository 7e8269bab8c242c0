"""`tamis compare`: what moved between two runs, down to the documents."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.compare import (
    _funnel,
    _mixture,
    _warnings,
    compare_page,
    compare_runs,
    settings_that_differ,
    show_comparison,
)
from pipeline.compare_documents import quoted
from pipeline.report import read_facts
from pipeline.storage import Store
from stages.errors import InputError
from tests.looks import looked_at, rows


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("looks")
    return str(looked_at(folder, 20, "a")), str(looked_at(folder, 100, "b"))


def test_documents_that_changed_sides_are_counted_and_named(runs: tuple[str, str]) -> None:
    found = compare_runs(*runs)["documents"]
    lost = {row["id"] for row in rows() if 20 <= len(row["text"]) < 100}
    assert (found["gained"], found["lost"]) == (0, len(lost - {"harmful"}))
    by_sides = {(row["a"], row["b"]): row for row in found["moved"]}
    assert by_sides.keys() == {("kept", "lengths: short"), ("perplexity: harmful", "lengths: short")}
    assert by_sides["perplexity: harmful", "lengths: short"]["ids"] == ["harmful"]
    assert set(by_sides["kept", "lengths: short"]["ids"]) < lost


def test_the_other_way_round_is_the_opposite(runs: tuple[str, str]) -> None:
    there, back = compare_runs(*runs), compare_runs(*reversed(runs))
    assert there["documents"]["lost"] == back["documents"]["gained"]
    changes = [[row["change"] for row in found["summary"][:4]] for found in (there, back)]
    assert changes[0] == [-change for change in changes[1]]


def test_settings_and_counts_stand_side_by_side(runs: tuple[str, str]) -> None:
    found = compare_runs(*runs)
    assert found["settings"] == [{"name": "lengths.least", "a": 20, "b": 100}]
    kept = {row["name"]: (row["a"], row["b"]) for row in found["summary"]}["documents kept"]
    assert kept[0] - kept[1] == found["documents"]["lost"]
    assert any(row["stage"] == "lengths" and row["reason"] == "short" and row["change"] > 0 for row in found["funnel"])


def test_a_run_is_like_itself(runs: tuple[str, str]) -> None:
    found = compare_runs(runs[0], runs[0])
    assert found["documents"]["moved"] == found["settings"] == found["scores"] == []
    assert "None: the same documents are kept" in compare_page(found)


def test_the_page_is_escaped_and_needs_no_network(runs: tuple[str, str]) -> None:
    page = compare_page(compare_runs(*runs))
    assert "<script" not in page
    assert "://" not in page


def test_mixtures_and_warnings_stand_side_by_side(runs: tuple[str, str]) -> None:
    a, b = (dict(read_facts(Store(run))) for run in runs)
    a["mixture"] = {"groups": [{"name": "x", "realised": 0.7, "runs_out": 9}, {"name": "y", "realised": 0.3}]}
    b["mixture"] = {"groups": [{"name": "x", "realised": 0.69996}, {"name": "z", "realised": 0.30004}]}
    rows = _mixture(a, b)
    assert [(row["name"], row["a"], row["b"]) for row in rows] == [
        ("x", 0.7, 0.69996),
        ("y", 0.3, None),
        ("z", None, 0.30004),
    ]
    only_in_a = [row["title"] for row in _warnings(a, b) if row["run"] == "A"]
    assert "The group x runs out" in only_in_a and _warnings(a, a) == []
    found = {**compare_runs(*runs), "mixture": rows, "warnings": _warnings(a, b)}
    page, out = compare_page(found), io.StringIO()
    show_comparison(Console(file=out, width=200), found, as_json=False)
    assert "Only in A: <b>The group x runs out</b>" in page and "only in A: The group x runs out" in out.getvalue()
    assert ">70.0%</td>" in page and ">+0.0</td>" in page
    assert ["x", "70.0", "70.0", "0.0"] in [line.split() for line in out.getvalue().splitlines()]


def test_missing_runs_are_named(runs: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        compare_runs(runs[0], str(tmp_path))


def test_settings_of_stages_that_one_run_lacks() -> None:
    rows_ = settings_that_differ({"stages": [{"a": {"x": 1}}]}, {"stages": [{"a": {"x": 1}}, {"b": {"y": None}}]})
    assert rows_ == []
    assert quoted('a"; DROP') == '"a""; DROP"'


def test_two_stages_of_a_name_are_told_apart() -> None:
    above, below = {"perplexity": {"side": "above"}}, {"perplexity": {"side": "below"}}
    looser = {"perplexity": {"side": "below", "factor": 2}}
    a, b = {"stages": [above, below]}, {"stages": [above, looser]}
    assert settings_that_differ(a, b) == [{"name": "perplexity 2.factor", "a": None, "b": 2}]
    rows: list[dict[str, Any]] = [{"stage": "perplexity", "entered": 9, "kept": kept, "dropped": {}} for kept in (7, 4)]
    moved = [rows[0], {**rows[1], "kept": 5}]
    funnel = {(row["stage"], row["reason"]): row["change"] for row in _funnel({"funnel": rows}, {"funnel": moved})}
    assert funnel["perplexity", "kept"] == 0
    assert funnel["perplexity 2", "kept"] == 1
