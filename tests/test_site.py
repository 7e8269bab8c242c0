"""A worker that does not find what the run's own process found says so, and names its node."""

import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.engines.shipping import copy_packages, zip_packages
from pipeline.engines.site import LOGS, Site, arrive, make_site, publish
from pipeline.engines.work import work
from pipeline.storage import Store
from stages.errors import EngineError, InputError
from tests.tasks import Named, Square, refuses, squared


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """A worker process changes directory and logging for good; this process goes on with other tests."""
    log, directory = logging.getLogger("tamis"), Path.cwd()
    before = (list(log.handlers), log.level, log.propagate)
    arrive.cache_clear()
    yield
    os.chdir(directory)
    for handler in set(log.handlers) - set(before[0]):
        log.removeHandler(handler)
        handler.close()
    log.setLevel(before[1])
    log.propagate = before[2]
    arrive.cache_clear()


def _site(folder: Path) -> Site:
    site = make_site(Store(str(folder / "run")), ["data/*.jsonl"], ["orjson"])
    publish(site)
    return site


def test_a_worker_that_sees_the_run_leaves_nothing_but_its_log(tmp_path: Path) -> None:
    site = _site(tmp_path)
    assert socket.gethostname() in arrive(site)
    assert work(squared, Square(3, tmp_path), site).result == 9
    assert [path.name for path in (tmp_path / "run/steps").iterdir()] == [site.marker.removeprefix("steps/")]
    (log,) = (tmp_path / "run" / LOGS).iterdir()
    assert "squared Square: 1 documents" in log.read_text()


def test_a_new_run_takes_the_marker_of_the_last_away(tmp_path: Path) -> None:
    first, second = _site(tmp_path), _site(tmp_path)
    assert first.token != second.token
    with pytest.raises(EngineError, match="is not there"):
        arrive(first)
    arrive(second)


def test_storage_that_is_not_shared_is_named_with_node_and_remedy(tmp_path: Path) -> None:
    elsewhere = replace(_site(tmp_path), store=Store(str(tmp_path / "another disk")))
    with pytest.raises(EngineError, match=rf"{socket.gethostname()}.*another disk.*file system that all nodes share"):
        arrive(elsewhere)


def test_storage_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = _site(tmp_path)

    def refused(self: Store, name: str, value: object) -> None:
        raise PermissionError(13, "Permission denied", f"s3://me:secret@bucket/{name}")

    monkeypatch.setattr(Store, "write_json", refused)
    with pytest.raises(EngineError, match="Permission denied") as error:
        arrive(site)
    assert "secret" not in str(error.value)


def test_a_directory_that_relative_paths_start_from_must_be_there(tmp_path: Path) -> None:
    gone = replace(_site(tmp_path), directory=str(tmp_path / "gone"))
    with pytest.raises(EngineError, match=r"no directory .*gone, from which data/\*\.jsonl starts"):
        arrive(gone)
    arrive(replace(gone, relative=()))


def test_relative_paths_start_where_the_run_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = make_site(Store("run"), ["s3://bucket/a.jsonl", "/data/b.jsonl"], [])
    assert site.relative == ("run",)
    publish(site)
    os.chdir("/")
    arrive(site)
    assert Path.cwd() == tmp_path


def test_another_version_of_what_decides_the_data_is_refused(tmp_path: Path) -> None:
    site = _site(tmp_path)
    other = tuple((name, "0.0.1" if name == "orjson" else version) for name, version in site.versions)
    with pytest.raises(EngineError, match=r"has orjson .*has 0\.0\.1.*the same versions everywhere"):
        arrive(replace(site, versions=other))


def test_what_a_task_raises_comes_without_its_message(tmp_path: Path) -> None:
    def says_too_much(task: Named, tick: object) -> int:
        raise ValueError(f"unsayable: {task.text}")

    with pytest.raises(EngineError, match=r"split-00000.json: a task failed: ValueError in test_site.py") as error:
        work(says_too_much, Named(1, tmp_path), _site(tmp_path))
    assert "unsayable" not in str(error.value)
    assert error.value.__cause__ is None
    (log,) = (tmp_path / "run" / LOGS).iterdir()
    assert "ValueError in test_site.py" in log.read_text()
    assert "unsayable" not in log.read_text()
    with pytest.raises(InputError, match="task 1 cannot be read"):
        work(refuses, Named(1, tmp_path), None)


def test_what_is_shipped_holds_code_templates_and_models_and_is_the_same_each_time(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, second = (zip_packages(tmp_path / folder) for folder in ("a", "b"))
    assert {name: path.name for name, path in first.items()} == {name: path.name for name, path in second.items()}
    copies = {home.name: home for home in copy_packages(tmp_path / "copies")}
    for name in (
        "pipeline/engines/site.py",
        "pipeline/templates/report.html",
        "stages/models/perplexity/en.harmful.klm",
    ):
        package, _, rest = name.partition("/")
        assert (copies[package] / rest).is_file(), name
    assert not list((tmp_path / "copies").rglob("__pycache__"))
