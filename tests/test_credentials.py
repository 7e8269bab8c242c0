"""No user, password or signature of a URL reaches what a run writes or says."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compare import compare_page, compare_runs
from pipeline.config import as_plain, build_config
from pipeline.credentials import NoCredentials, cleaned, without_credentials
from pipeline.inspect import run_facts, shard_facts
from pipeline.inspect_document import document_facts
from pipeline.storage import Store
from pipeline.whatif import what_if
from tests.runs import documents, go, write_config, write_jsonl

WORD = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-._~%+", min_size=8, max_size=20)


@given(user=WORD, password=WORD, secret=WORD)
def test_users_passwords_and_secrets_go_and_the_rest_stays(user: str, password: str, secret: str) -> None:
    for key in (
        "X-Amz-Signature", "X-Amz-Security-Token", "sig", "access_key", "AWSAccessKeyId&Signature", "key", "KEY",
        "x-api-key", "accountKey", "subscription-key", "client_key_id",
    ):  # fmt: skip
        url = f"cannot read https://{user}:{password}@host:9000/a@2/b.jsonl?part=1&{key}={secret}&more=2: gone"
        expected = f"cannot read https://...@host:9000/a@2/b.jsonl?part=1&{key}=...&more=2: gone"
        assert without_credentials(url) == expected
        assert without_credentials(expected) == expected


def test_what_is_no_url_stays_as_it_is() -> None:
    for text in (
        "a@b.example",
        "/data/who@host/x.jsonl",
        "s3://bucket/a@2.jsonl",
        "what?token=5",
        "https://h/a?page=2",
        "https://h/a?partition_key=2&sort-key=3&keyword=4&monkey=5&keys=6&primarykey=7&key",
        "https://h/key=8/a?column=key",
    ):
        assert without_credentials(text) == text
    assert cleaned({"a": ("s3://k:s@b", 5, None)}) == {"a": ["s3://...@b", 5, None]}


def test_a_configuration_is_shown_without_them() -> None:
    urls = {"paths": ["sftp://me:hunter2@host/a.jsonl"]}
    config = build_config({"input": urls, "output": "https://me:hunter2@host/run?sig=hunter2"})
    assert config.input.paths[0] == "sftp://me:hunter2@host/a.jsonl"
    assert "hunter2" not in str(as_plain(config))


def test_logs_are_without_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(NoCredentials())
    logging.getLogger("tamis").warning("cannot renew the lock of %s", "s3://me:hunter2@bucket/run")
    assert "hunter2" not in caplog.text
    assert "s3://...@bucket/run" in caplog.text


class _Guarded(MemoryFileSystem):
    """Files in memory under URLs that hold a password."""

    protocol = "guarded"
    store: dict[str, object] = {}  # noqa: RUF012 - as its base has it
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.rpartition("@")[2].partition("?")[0].removeprefix("guarded://")))

    def unstrip_protocol(self, name: str) -> str:
        return f"guarded://me:hunter2@{name.lstrip('/')}"


def test_a_run_writes_none_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fsspec.register_implementation("guarded", _Guarded, clobber=True)
    lines = "".join(f'{{"text": "{row["text"]!a}"}}\n'.replace("'", "") for row in documents(5, sentences=1))
    with _Guarded().open("/bucket/a.jsonl", "wb") as file:
        file.write(b'{"text": "An English sentence about boats."}\nbroken\n' + lines.replace("\\", "").encode())
    sizes = {"input": {"max_bad_fraction": 0.9}, "stages": []}
    go(write_config(tmp_path / "c.yaml", ["guarded://me:hunter2@bucket/a.jsonl"], tmp_path / "run", **sizes))
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path
    assert "hunter2" not in caplog.text
    assert "guarded://...@bucket/a.jsonl" in (tmp_path / "run/manifest.json").read_text()


def test_looks_at_a_run_show_none_of_them(tmp_path: Path) -> None:
    run = "memory://me:hunter2@looks/run"
    go(write_config(tmp_path / "c.yaml", [write_jsonl(tmp_path / "a.jsonl", documents(9))], run))
    compared, document = compare_runs(run, run), document_facts(run, "0-1", with_text=False)
    document["file"] = ""  # to files in memory all of the URL is the path
    shown = [compared, document, shard_facts(f"{run}/data", 0, with_text=False), run_facts(Store(run))]
    told = compare_page(compared) + json.dumps([*shown, what_if(run, ["language.keep=[]"])], default=str)
    assert "memory://...@looks/run" in told and "hunter2" not in told


def test_an_error_shows_none_of_them(tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml", ["s4://me:hunter2@host/a.jsonl?sig=hunter2"], tmp_path / "run")
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "s4://...@host" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
