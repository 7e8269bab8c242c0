"""A run that keeps no document: no success, and yet its report and its scores are there to see why."""

from pathlib import Path

import pytest

from pipeline.compare import compare_runs
from pipeline.inspect_document import document_facts
from pipeline.report import read_facts
from pipeline.report_pages import write_pages
from pipeline.storage import Store
from pipeline.view import Viewer
from pipeline.whatif import what_if
from stages.errors import NothingKept
from tests.runs import documents, go, write_config, write_jsonl


def test_it_can_be_looked_at_like_any_run(tmp_path: Path) -> None:
    path, run = write_jsonl(tmp_path / "a.jsonl", documents(60)), tmp_path / "run"
    names = ("embed", "order", "tokens", "pack")
    chain = [
        {"language": {"keep": ["ja"]}},
        *({name: {}} for name in names),
        {"mixture": {"estimator": "proportional"}},
    ]
    config = write_config(tmp_path / "c.yaml", [path], run, stages=chain)
    for _ in range(2):  # the second time there is nothing left to do, and it is still no success
        with pytest.raises(NothingKept, match="report and dropped/ show them"):
            go(config)
    page = (run / "report.html").read_text()
    assert "language dropped nearly everything" in page and "<b>0</b> of 60 documents kept" in page
    found = what_if(str(run), ["language.keep=[]"])
    assert (found["was_kept"], found["stages"][0]["kept"]) == (0, 58)
    assert document_facts(str(run), "0-1", with_text=False)["by"] == "language"
    write_pages(Store(str(run)), read_facts(Store(str(run))))
    assert compare_runs(str(run), str(run))["documents"]["moved"] == []
    Viewer(str(run)).server_close()
    assert go(config, "language.keep=[]").ledger.kept == 58
