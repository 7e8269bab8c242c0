"""`tamis inspect` of a run: the facts of its report, in tables that fit, as plain text where there is no terminal."""

import io
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline.inspect import inspect_path, run_facts
from pipeline.inspect_facts import print_table
from pipeline.showing import table
from pipeline.storage import Store
from tests.looks import EVIL, looked_at
from tests.runs import documents, go, tamis, write_config, write_jsonl

FACTS = {
    "columns", "columns_all", "columns_kept", "config", "context_examples", "documents_kept_bytes", "dropped", "engine",
    "finished", "funnel", "inputs", "ledger", "mixture", "part_facts", "parts", "quarantine_places", "rating",
    "rating_columns", "scores", "seconds", "shards", "sources", "stage_columns", "stage_seconds", "statuses", "steps",
    "surveys", "tamis", "tokens", "versions",
}  # fmt: skip
"""What scripts may rely on (README); a key may be added, and none goes."""
WAY = {"path", "id", "fate", "by", "reason", "source", "read", "file", "row", "stages", "quarantined"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(looked_at(tmp_path_factory.mktemp("looks")))


def shown(run: str, width: int, *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    inspect_path(console, run, rows=5, with_text=False, verify=False, as_json=False)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_fit_and_hold_nothing_but_text(run: str, width: int) -> None:
    text = shown(run, width)
    assert "\x1b" not in text
    assert "\u202e" not in text
    tables = [line for block in text.split("\n\n")[1:] for line in block.splitlines()]
    assert max(map(len, tables)) <= width
    assert not re.search("[│┃╭╮╰╯┏┓]", text)


def test_it_says_what_the_report_says(run: str) -> None:
    text = shown(run, 200)
    parts = (
        "read 65 = kept",
        "lengths",
        "short",
        "perplexity",
        "harmful 1",
        "sources",
        EVIL,
        "shards, the slowest first",
    )
    for part in parts:
        assert part in text
    assert "\x1b[1m" in shown(run, 80, terminal=True), "a terminal gets bold heads"


def test_records_in_quarantine_are_told_with_their_places(tmp_path: Path) -> None:
    rows = [*documents(30), {"id": 7, "text": None}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    go(write_config(tmp_path / "c.yaml", [path], tmp_path / "run", input={"max_bad_fraction": 0.5}))
    (row,) = (line for line in shown(str(tmp_path / "run"), 200).splitlines() if line.startswith("text_not_string"))
    assert row.split()[:3] == ["text_not_string", "read", "1"]
    assert row.rstrip().endswith("a.jsonl:31")


def test_what_scripts_rely_on_is_there(run: str) -> None:
    done = tamis("inspect", run, "--json")
    assert json.loads(done.stdout).keys() >= FACTS
    assert json.loads(tamis("inspect", run, "--document", "huge", "--json").stdout).keys() == WAY


def test_an_output_without_unicode_is_no_error(run: str) -> None:
    done = tamis("inspect", run, "--document", "emoji", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    whole = tamis("inspect", run, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (whole.returncode, "Traceback" in whole.stderr) == (0, False)
    assert "read 65 = kept" in whole.stdout


def test_rows_that_are_not_shown_are_told() -> None:
    out = io.StringIO()
    print_table(Console(file=out, width=80), table("x", ("a",), [[None], [3]]), 1234)
    assert "None" not in out.getvalue()
    assert out.getvalue().rstrip().endswith("and 1,234 more: --json has them all")


@pytest.mark.parametrize(("width", "whole"), [(80, True), (12, False)])
def test_a_title_longer_than_its_table_stays_on_one_line_that_has_room(width: int, whole: bool) -> None:
    out = io.StringIO()
    Console(file=out, width=width).print(table("a title longer than the table", ("a",), [["b"]]))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert ("a title longer than the table" in lines) == whole
    assert max(map(len, lines)) <= width


def test_values_of_columns_are_cut(tmp_path: Path) -> None:
    pq.write_table(pa.table({"input_ids": [list(range(1000))]}), tmp_path / "part.parquet")
    out = io.StringIO()
    inspect_path(Console(file=out, width=200), str(tmp_path), rows=1, with_text=False, verify=False, as_json=False)
    assert "[0, 1, 2" in out.getvalue() and "500" not in out.getvalue()


def test_steps_are_told_in_their_order(tmp_path: Path) -> None:
    store = Store(str(looked_at(tmp_path)))
    seconds = list(run_facts(store)["seconds"])
    assert (seconds[0], seconds[-2:]) == ("read", ["write", "total"])
    assert list(run_facts(store)["stage_seconds"]) == ["lengths", "perplexity"]
