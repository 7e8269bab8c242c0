"""What commands that look at runs say of paths that are no runs, and of damaged runs: the place, the remedy."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cli import _interrupt
from pipeline.cli_look import looking
from pipeline.compare import compare_runs
from pipeline.compare_documents import shards
from pipeline.inspect import run_facts, shard_facts
from pipeline.inspect_document import document_facts
from pipeline.manifest import read_manifest
from pipeline.rating_agreement import agreement
from pipeline.report import read_facts, rewrite_html
from pipeline.report_pages import write_pages
from pipeline.storage import Store
from pipeline.view import Viewer
from pipeline.whatif import what_if
from stages.errors import ConfigError, InputError, Interrupted
from tests.runs import documents, go, tamis, write_config, write_jsonl

Look = Callable[[str], object]
SET = ("language.min_score=0.9",)
LOOKS: dict[str, Look] = {
    "report": lambda run: rewrite_html(Store(run)),
    "pages": lambda run: write_pages(Store(run), read_facts(Store(run))),
    "compare": lambda run: compare_runs(run, run),
    "what-if": lambda run: what_if(run, SET),
    "view": lambda run: Viewer(run).server_close(),
    "document": lambda run: document_facts(run, "0-3", with_text=False),
}
SHARD_LOOKS = sorted({*LOOKS} - {"report"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of several shards."""
    folder = tmp_path_factory.mktemp("whole")
    path = write_jsonl(folder / "a.jsonl", documents(200))
    config = write_config(folder / "c.yaml", [path], folder / "run", input={"split_mb": 0.02}, shards={"text_mb": 0.02})
    assert len(go(config).parts) > 2
    return config


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole.parent / "run", tmp_path / "run"))


def refused(look: Look, path: Path | str) -> str:
    with pytest.raises(InputError) as error:
        look(str(path))
    return str(error.value)


@pytest.mark.parametrize("kind", ["data", "dropped"])
@pytest.mark.parametrize("look", SHARD_LOOKS)
def test_a_missing_shard_is_named_and_never_overlooked(run: Path, look: str, kind: str) -> None:
    (run / kind / "part-00001.parquet").unlink()
    said = refused(LOOKS[look], run)
    assert f"{run}/{kind}/part-00001.parquet is missing: run the same `tamis run` again" in said


@pytest.mark.parametrize("look", SHARD_LOOKS)
def test_a_cut_shard_is_named_with_what_was_expected(run: Path, look: str) -> None:
    shard = run / "data/part-00001.parquet"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:300])
    assert f"{shard} has 300 bytes, expected {size:,}: remove it and run the same `tamis run`" in refused(
        LOOKS[look], run
    )


def test_a_damaged_shard_of_the_right_size_is_for_verify_to_find(run: Path) -> None:
    for shard in (run / "data").iterdir():
        content = bytearray(shard.read_bytes())
        content[200:-800] = bytes(len(content) - 1000)
        shard.write_bytes(content)
    said = refused(LOOKS["pages"], run)
    assert f"{run}: the shards cannot be read (" in said and f"`tamis inspect {run} --verify`" in said


def test_a_document_whose_text_is_damaged_names_the_remedy(run: Path) -> None:
    shard = run / "data/part-00001.parquet"
    with pq.ParquetFile(shard) as opened:
        id_ = opened.read(columns=["id"]).column("id")[0].as_py()
        chunks = map(opened.metadata.row_group(0).column, range(opened.metadata.num_columns))
        text = next(chunk for chunk in chunks if chunk.path_in_schema == "text")
    begin = text.dictionary_page_offset or text.data_page_offset
    content = bytearray(shard.read_bytes())
    content[begin : begin + text.total_compressed_size] = b"\x7f" * text.total_compressed_size
    shard.write_bytes(content)
    said = refused(lambda path: document_facts(path, id_, with_text=False), run)
    assert f"`tamis inspect {run} --verify` finds damaged ones; remove them" in said


def test_labels_are_compared_with_every_shard(run: Path) -> None:
    (run / "dropped/part-00001.parquet").unlink()
    assert f"{run}/dropped/part-00001.parquet is missing" in refused(lambda path: agreement(path, "labels.csv"), run)


def test_what_was_removed_comes_again_by_the_same_run(whole: Path, run: Path) -> None:
    shard, report = run / "data/part-00001.parquet", run / "report.json"
    before = shard.read_bytes()
    for path in (shard, report, run / "manifest.json"):
        path.unlink()
    go(whole, f"output={run}")
    assert shard.read_bytes() == before
    assert "ledger" in read_facts(Store(str(run)))


def test_shards_are_those_that_the_manifest_names(run: Path) -> None:
    store = Store(str(run))
    known = shards(store, "data")
    shutil.copy(known[0], run / "data/part-00000-copy.parquet")
    assert shards(store, "data") == known


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_paths_that_are_no_run(run: Path, tmp_path: Path, look: str) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("")
    expected = {
        tmp_path / "nowhere": "nowhere: found nothing there, so it is no finished run: check the path",
        tmp_path / "else": "else is no finished run (found: notes.txt)",
        tmp_path / "else/notes.txt": "notes.txt is a file, expected the directory of a finished run",
        run / "data": f"give the run that it lies in, {run}",
    }
    for path, said in expected.items():
        assert said in refused(LOOKS[look], path)


def test_an_unfinished_run_and_damaged_manifests(run: Path) -> None:
    manifest = run / "manifest.json"
    for content in ("{", "[]", "{}"):
        manifest.write_text(content)
        said = refused(lambda path: read_manifest(Store(path)), run)
        assert f"{manifest} is damaged, or no manifest of Tamis: remove it and run the same" in said
    manifest.unlink()
    assert "finish it with the same `tamis run`" in refused(lambda path: read_manifest(Store(path)), run)


@pytest.mark.parametrize("content", [None, "[1", "[1]", "{}"])
def test_without_its_report_a_run_is_shown_in_part_and_says_so(run: Path, content: str | None) -> None:
    (run / "report.json").unlink()
    if content is not None:
        (run / "report.json").write_text(content)
    assert f"{run}/report.json is missing or damaged: remove {run}/manifest.json" in refused(LOOKS["report"], run)
    facts = run_facts(Store(str(run)))
    assert facts["ledger"]["read"] == 200 and "report.json is missing" in facts["incomplete"]


def test_what_a_run_lacks_is_told_without_credentials() -> None:
    store = Store("memory://me:secret@refusals/run")
    store.write_json("manifest.json", {"tamis": "0", "ledger": {}, "config": {}, "parts": [], "steps": []})
    told = run_facts(store)["incomplete"]
    assert "memory://...@refusals/run/report.json is missing" in told and "secret" not in told


def test_a_run_of_an_older_version_is_shown_as_far_as_it_goes(run: Path) -> None:
    store = Store(str(run))
    newer = {
        "columns_kept",
        "part_facts",
        "quarantine_places",
        "scores",
        "shards",
        "stage_columns",
        "stage_seconds",
        "tokens",
    }
    store.write_json("report.json", {k: v for k, v in store.read_json("report.json").items() if k not in newer})
    for name in ("report", "pages", "compare", "document"):
        LOOKS[name](str(run))
    manifest = read_manifest(store)
    manifest["config"]["stages"][0]["language"]["gone"] = 3
    store.write_json("manifest.json", manifest)
    with pytest.raises(ConfigError, match=r"made by another version of Tamis.*language\.gone: no such key"):
        what_if(str(run), SET)


def test_a_directory_without_shards_names_what_is_there(run: Path) -> None:
    said = refused(lambda path: shard_facts(path, 5, with_text=False), run / "steps")
    assert "neither a run (no manifest.json, no steps/), nor a directory with Parquet shards" in said
    assert "00-read-" in said and "name one of these" in said


def test_what_a_storage_raises_is_told_with_the_path() -> None:
    missing = type("NoCredentialsError", (Exception,), {"__module__": "botocore.exceptions"})
    told = r"cannot read s3://a/run: Unable to locate.*credentials are set"
    with pytest.raises(InputError, match=told), looking("s3://a/run"):
        raise missing("Unable to locate credentials")
    with pytest.raises(ZeroDivisionError), looking("s3://a/run"):
        raise ZeroDivisionError


def test_looking_imports_no_pandas() -> None:
    code = (
        "import sys; from pipeline.cli_look import looking\n"
        "with looking('a'): import pyarrow as pa; pa.array([1])\n"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("command", "goes_on"), [("run x", True), ("-v run x", True), ("view run", False)])
def test_only_a_run_goes_on_after_an_interrupt(monkeypatch: pytest.MonkeyPatch, command: str, goes_on: bool) -> None:
    monkeypatch.setattr(sys, "argv", ["tamis", *command.split()])
    with pytest.raises(Interrupted) as error:
        _interrupt(signal.SIGTERM, None)
    assert ("goes on from there" in str(error.value)) == goes_on


def test_a_comparison_that_cannot_be_written_is_a_wrong_argument(run: Path, tmp_path: Path) -> None:
    done = tamis("compare", run, run, "--output", tmp_path / "none/compare.html")
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "compare.html: cannot be written (No such file or directory), expected" in " ".join(done.stderr.split())
