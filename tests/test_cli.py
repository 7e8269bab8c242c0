"""The command line: what each command shows, its exit codes, and how fast it answers."""

import json
import resource
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import stages
from tests.runs import command, documents, go, tamis, write_config, write_jsonl


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a finished run."""
    folder = tmp_path_factory.mktemp("cli")
    path = write_jsonl(folder / "a.jsonl", [*documents(120), {"text": "<script>alert(1)</script> is only text here."}])
    config = write_config(folder / "c.yaml", [path], folder / "run")
    go(config)
    return config


def test_help_needs_less_than_half_a_cpu_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = tamis("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "Exit codes" in done.stdout
    assert sum(after[:2]) - sum(before[:2]) < 0.5


def test_help_loads_no_heavy_library() -> None:
    done = subprocess.run(
        [*command()[:1], "-X", "importtime", *command("--help")[1:]], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"numpy", "pyarrow", "pandas", "fasttext", "duckdb", "ray", "pyspark", "pydantic"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "nowhere.yaml"], 3, "there is no configuration file nowhere.yaml"),
        (["run"], 2, "Missing argument"),
        (["run", "{config}", "--set", "language.min_scor=1"], 3, "did you mean 'min_score'"),
        (["run", "{config}", "--set", "input.paths=[missing/*.jsonl]"], 4, "nothing matches missing/*.jsonl"),
        (["run", "{config}", "--set", "language.model=missing.bin"], 5, "missing.bin"),
        (["stage", "langage", "--input", "x.jsonl"], 3, "did you mean 'language'"),
        (["inspect", "nowhere"], 4, "nowhere: found nothing there"),
        (["report", "nowhere"], 4, "no finished run"),
    ],
)
def test_exit_codes_and_messages(finished: Path, arguments: list[str], code: int, message: str) -> None:
    done = tamis(*(argument.format(config=finished) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_plan_shows_steps_and_what_is_done(finished: Path) -> None:
    facts = json.loads(tamis("plan", finished, "--json").stdout)
    assert [(step["name"], step["done"]) for step in facts["steps"]] == [
        (n, "yes") for n in ("read", "language", "write")
    ]
    changed = json.loads(tamis("plan", finished, "--json", "--set", "language.keep=[en]").stdout)
    assert [step["done"] for step in changed["steps"]] == ["yes", "yes", "no"]
    assert "min_score: 0.0" in tamis("plan", finished, "--full").stdout


def test_stages_lists_every_stage() -> None:
    facts = json.loads(tamis("stages", "--json").stdout)
    assert [stage["name"] for stage in facts] == list(stages.NAMES)
    assert all(setting["help"] for stage in facts for setting in stage["settings"])


def test_stage_runs_alone_and_drops_nothing(finished: Path, tmp_path: Path) -> None:
    source, output = finished.parent / "a.jsonl", tmp_path / "out.parquet"
    done = tamis("stage", "language", "--input", source, "--output", output, "--set", "keep=[en]")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(output)
    given = [json.loads(line).get("id") for line in source.read_text().splitlines()]
    assert table.column("id").to_pylist()[:-1] == given[:-1]
    assert table.schema.names[:2] == ["id", "metadata"]
    assert table.schema.names[-2:] == ["keep", "drop_reason"]
    assert {
        lang for lang, keep in zip(*(table.column(c).to_pylist() for c in ("lang", "keep")), strict=True) if keep
    } == {"en"}
    assert "before" in done.stdout
    assert "after" in done.stdout


def test_inspect_a_run_a_step_and_a_shard(finished: Path) -> None:
    run = finished.parent / "run"
    ledger = json.loads(tamis("inspect", run, "--json").stdout)["ledger"]
    assert ledger["read"] == 121
    for path in (run / "data", run / "data/part-00000.parquet", next(run.glob("steps/01-language-*"))):
        facts = json.loads(tamis("inspect", path, "--json", "--rows", "2").stdout)
        assert facts["rows"] == (ledger["read"] if "steps" in str(path) else ledger["kept"])
        assert len(facts["first_rows"]) == 2
    assert "read 121 = kept" in tamis("inspect", run).stdout


def test_inspect_shows_no_dropped_text_unless_asked(finished: Path) -> None:
    dropped = finished.parent / "run/dropped"
    assert "text" not in json.loads(tamis("inspect", dropped, "--json").stdout)["first_rows"][0]
    assert "text" in json.loads(tamis("inspect", dropped, "--json", "--text").stdout)["first_rows"][0]


def test_inspect_verify_finds_a_changed_byte(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(30))
    go(write_config(tmp_path / "c.yaml", [path], tmp_path / "run"))
    assert tamis("inspect", tmp_path / "run", "--verify").returncode == 0
    part = tmp_path / "run/data/part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[200] ^= 1
    part.write_bytes(content)
    done = tamis("inspect", tmp_path / "run", "--verify")
    assert done.returncode == 7
    assert "data/part-00000.parquet" in done.stderr


def test_report_is_one_escaped_file_without_links_outside(finished: Path) -> None:
    done = tamis("report", finished.parent / "run")
    html = Path(done.stdout.strip()).read_text()
    assert "<script" not in html
    assert "://" not in html
    assert "Funnel" in html
    assert "not_kept" in html


def test_logs_hold_no_document_text(finished: Path, tmp_path: Path) -> None:
    rows = [*documents(20), {"id": 7, "text": None}, {"id": "y", "text": "unsayable word"}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.jsonl").write_text('{"text": "unsayable word" broken\n')
    config = write_config(
        tmp_path / "c.yaml", [path, tmp_path / "b.jsonl"], tmp_path / "run", input={"max_bad_fraction": 0.5}
    )
    done = tamis("--verbose", "run", config)
    assert done.returncode == 0, done.stderr
    written = [p.read_text() for pattern in ("*.json", "*.html") for p in (tmp_path / "run").rglob(pattern)]
    assert "unsayable" not in done.stdout + done.stderr + "".join(written)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "{config}", "--set", "output=foo://x"], 3, "foo"),
        (["run", "{config}", "--set", "output={file}"], 3, "is a file, expected a directory"),
        (["run", "{config}", "--limit", "99999999999999999999"], 3, "expected at most"),
        (["run", "{config}", "--set", "input.paths=data"], 3, "expected a list, such as"),
        (["stage", "language", "--input", "{file}", "--set", "keep=[en"], 3, "--set keep=[en"),
        (["stage", "language", "--input", "{file}", "--output", "{file}"], 3, "is an input, whose text would be lost"),
        (["stage", "language", "--input", "{file}", "--output", "{folder}/"], 3, "expected the name of a Parquet file"),
        (["inspect", "s3x://a"], 3, "s3x"),
        (["inspect", "{foreign}"], 4, "no manifest of Tamis"),
        (["report", "{foreign}"], 4, "no manifest of Tamis"),
        (["run", "{twice}"], 3, "line 2: the key 'output' is there twice"),
    ],
)
def test_mistakes_of_users_have_no_traceback(
    finished: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    source = finished.parent / "a.jsonl"
    before = source.read_bytes()
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    (tmp_path / "twice.yaml").write_text("output: a\noutput: b\n")
    places = {
        "config": finished,
        "file": source,
        "folder": tmp_path,
        "foreign": tmp_path,
        "twice": tmp_path / "twice.yaml",
    }
    done = tamis(*(argument.format(**places) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert source.read_bytes() == before


def test_an_unfinished_run_shows_how_far_it_is(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(30))
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run")
    go(config)
    (tmp_path / "run/manifest.json").unlink()  # it is written last
    facts = json.loads(tamis("inspect", tmp_path / "run", "--json").stdout)
    assert facts["unfinished"]
    assert [step["name"].split("-")[1] for step in facts["steps"]] == ["read", "language", "write"]


def test_a_terminal_obeys_no_document(tmp_path: Path) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"text": "An \u001b]0;owned\u0007 escape and a \u202e turn in plain English text."}]
    )
    done = tamis("stage", "language", "--input", path)
    assert done.returncode == 0, done.stderr
    assert "escape" in done.stdout
    assert not {"\u001b", "\u0007", "\u202e"} & set(done.stdout)
