"""The listing: each file once under whatever name, its mark changes with it, and what cannot be listed is explained."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.config import InputConfig
from pipeline.listing import check_fields, filesystem_of, list_inputs, storage_errors
from stages.errors import ConfigError, InputError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or ({"text": "The tide."},)))
    return path


def urls(*paths: str, **options: Any) -> list[str]:
    return [item.file.url for item in list_inputs(InputConfig(paths=paths, **options))]


def mark(path: str, **options: Any) -> str:
    (item,) = list_inputs(InputConfig(paths=(path,), **options))
    return item.mark


def refused(kind: type[Exception], *paths: str) -> str:
    with pytest.raises(kind) as error:
        list_inputs(InputConfig(paths=paths))
    return str(error.value)


def test_a_file_under_many_names_is_read_once_under_the_first(folder: Path) -> None:
    path = write(folder / "d/a.jsonl")
    (folder / "link.jsonl").symlink_to(path)
    names = ["d/a.jsonl", str(path), f"file://{path}", "d/../d/a.jsonl", "./d//a.jsonl", "link.jsonl", "d", "*/*"]
    for first in range(5):
        found = urls(*names[first:], *names[:first])
        assert len(found) == 1
        assert found == urls(names[first])


def test_remote_files_are_told_apart_by_their_store_and_kept_once() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/listing/a.jsonl": b'{"text": "a"}', "/listing/below/b.jsonl": b'{"text": "b"}'})
    both = ["memory:///listing/a.jsonl", "memory:///listing/below/b.jsonl"]
    assert urls("memory://listing", "memory://listing/*.jsonl", "memory:///listing/a.jsonl") == both
    assert mark("memory://listing/a.jsonl") != ""


def test_local_names_are_plain_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    path = write(folder / "home/a.jsonl")
    for name in ("~/a.jsonl", "~/*.jsonl", "~", f"file://{path}", f"file://{path.parent}/*", "file://~/a.jsonl"):
        assert urls(name) == [str(path)]
    assert urls("file://home/a.jsonl") == [str(path)]
    monkeypatch.chdir(folder / "home")
    assert urls(".") == urls("./*") == ["a.jsonl"]


def test_a_directory_is_read_with_those_below_in_sorted_order(folder: Path) -> None:
    for name in ("d/c.jsonl", "d/b/z.jsonl", "d/b/a/x.txt", "d/_logs/x.jsonl", "d/.git/x.jsonl", "d/b/_LISTING.json"):
        write(folder / name)
    (folder / "d/b/up").symlink_to(folder / "d")
    assert urls("d") == ["d/b/a/x.txt", "d/b/z.jsonl", "d/c.jsonl"]
    (folder / "d/gone.jsonl").symlink_to(folder / "nothing")
    assert "cannot list d: " in refused(InputError, "d")


def test_a_time_of_zero_is_a_mark(folder: Path) -> None:
    path = write(folder / "a.jsonl")
    os.utime(path, (0, 0))
    assert float(mark("a.jsonl")) == 0
    link = folder / "link.jsonl"
    link.symlink_to(path)
    os.utime(path, (5, 5))
    assert float(mark("link.jsonl")) == 5


def test_what_has_no_time_is_marked_by_what_its_store_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/marks/a.jsonl", b"{}")
    first = mark("memory://marks/a.jsonl")
    assert first == memory.ukey("/marks/a.jsonl")


def test_the_mark_of_a_data_set_holds_names_and_sizes(folder: Path) -> None:
    marks = set()
    for name, text in (("a", "1"), ("b", "1"), ("b", "12")):
        for old in folder.glob("set/*"):
            old.unlink()
        for path in (folder / "set/dataset_info.json", folder / f"set/{name}.arrow"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            os.utime(path, (7, 7))
        marks.add(mark("set"))
    assert len(marks) == 3


def test_unknown_protocols_and_missing_libraries_are_faults_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "foo://x: Protocol not known: foo; expected a path" in refused(ConfigError, "foo://x")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert "needs a library that is missing" in refused(ConfigError, "gs://bucket/a.jsonl")
    assert filesystem_of("a.jsonl")[1] == str(Path("a.jsonl").absolute())


def test_a_store_without_credentials_is_a_fault_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    from botocore.exceptions import NoCredentialsError

    def no_credentials(*_: object, **__: object) -> bool:
        raise NoCredentialsError

    monkeypatch.setattr(s3fs.S3FileSystem, "exists", no_credentials)
    found = refused(InputError, "s3://bucket/a.jsonl")
    assert found.startswith("cannot list s3://bucket/a.jsonl: Unable to locate credentials. Check")


def test_errors_of_the_system_become_errors_of_the_input_and_others_stay() -> None:
    with pytest.raises(InputError, match=r"cannot read a: .*Permission"), storage_errors("read", "a"):
        raise PermissionError(13, "Permission denied")
    with pytest.raises(ZeroDivisionError), storage_errors("read", "a"):
        raise ZeroDivisionError


@pytest.mark.parametrize("path", ["", "  "])
def test_an_empty_path_is_not_the_working_directory(folder: Path, path: str) -> None:
    write(folder / "a.jsonl")
    assert "input.paths[1] is empty" in refused(ConfigError, "a.jsonl", path)


def test_fields_are_looked_for_all_over_the_listing(folder: Path) -> None:
    for number in range(40):
        write(folder / f"{number:02}.jsonl", {"body" if number < 30 else "text": "The tide."})
    config = InputConfig(paths=("*.jsonl",))
    check_fields(config, list_inputs(config))


def test_a_field_that_none_has_is_told_with_few_short_names(folder: Path) -> None:
    write(folder / "a.jsonl", {"x" * 1000: 1, **{f"field-{number:02}": 1 for number in range(30)}}, {})
    config = InputConfig(paths=("a.jsonl",))
    with pytest.raises(ConfigError) as error:
        check_fields(config, list_inputs(config))
    found = str(error.value)
    assert "in the first 2 records looked at, none has a field 'text'." in found
    assert found.endswith("field-10, field-11, …")
    assert len(found) < 300
