"""Files of a run: published whole or not at all, on a disk and on S3."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xxhash

from pipeline.storage import TEMPORARY, HashedFile, Store


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "disk":
        return Store(str(tmp_path / "run"))
    return Store(f"{request.getfixturevalue('s3_url')}/{uuid.uuid4().hex}")


def put(store: Store, name: str, content: bytes) -> HashedFile:
    with store.create(name) as sink:
        sink.write(content)
    return sink


def get(store: Store, name: str) -> bytes:
    with store.open(name) as file:
        return file.read()


class Failed(Exception):
    """What the tests raise inside a block that writes."""


def fail_inside(store: Store, name: str, content: bytes) -> None:
    with store.create(name) as sink:
        sink.write(content)
        sink.flush()
        raise Failed


@pytest.mark.parametrize("content", [b"", b"salt", bytes(range(256)) * 40_000], ids=["empty", "small", "10 MB"])
def test_a_file_is_there_whole_with_its_size_and_hash(store: Store, content: bytes) -> None:
    with store.create("a/b/salt.bin") as sink:
        for begin in range(0, len(content), 1_000_003):
            assert sink.write(content[begin : begin + 1_000_003]) == len(content[begin : begin + 1_000_003])
        assert sink.tell() == len(content)
        assert store.size("a/b/salt.bin") is None
    assert get(store, "a/b/salt.bin") == content
    assert store.size("a/b/salt.bin") == sink.size == len(content)
    assert sink.hexdigest() == xxhash.xxh3_128_hexdigest(content)
    assert store.exists("a/b/salt.bin")
    assert store.names("a/b") == ["salt.bin"]


def test_a_range_is_read_alone(store: Store) -> None:
    with store.create("a/b") as sink:
        sink.write(bytes(range(200)))
    assert store.read_range("a/b", 3, 9) == bytes(range(3, 9))
    assert store.read_range("a/b", 0, 200) == bytes(range(200))


def test_any_buffer_can_be_written(store: Store) -> None:
    import numpy as np

    with store.create("n.bin") as sink:
        assert sink.write(memoryview(np.arange(3, dtype=np.int64))) == 24
    assert get(store, "n.bin") == np.arange(3, dtype=np.int64).tobytes()
    assert sink.hexdigest() == xxhash.xxh3_128_hexdigest(get(store, "n.bin"))


@pytest.mark.parametrize("content", [b"new", bytes(11_000_000)], ids=["small", "more than one part"])
def test_an_error_inside_leaves_nothing_of_a_new_file(store: Store, content: bytes) -> None:
    put(store, "a/other", b"")
    with pytest.raises(Failed):
        fail_inside(store, "a/salt.bin", content)
    assert store.names("a") == ["other"]
    assert not store.exists("a/salt.bin")
    if store.is_local:
        assert os.listdir(store.path("a")) == ["other"]  # noqa: PTH208 - Store.names hides temporary files


def test_an_error_inside_leaves_the_old_content(store: Store) -> None:
    put(store, "a/salt.bin", b"old")
    with pytest.raises(Failed):
        fail_inside(store, "a/salt.bin", b"new")
    assert get(store, "a/salt.bin") == b"old"
    assert store.names("a") == ["salt.bin"]


def test_a_file_is_overwritten_at_the_end_of_the_block(store: Store) -> None:
    put(store, "salt.bin", b"old and longer")
    with store.create("salt.bin") as sink:
        sink.write(b"new")
        sink.flush()
        assert get(store, "salt.bin") == b"old and longer"
    assert get(store, "salt.bin") == b"new"
    assert store.size("salt.bin") == 3


def test_what_another_process_wrote_is_seen(store: Store) -> None:
    """A listing that was cached must not hide a file or show its old size."""
    import fsspec

    put(store, "a/one", b"1")
    assert store.names("a") == ["one"]
    path = store.path("a/one")
    other = fsspec.filesystem("file" if store.is_local else "s3", skip_instance_cache=True)
    other.pipe_file(store.path("a/two"), b"22")
    other.pipe_file(path, b"1 but longer")
    assert store.size("a/two") == 2
    assert store.exists("a/two")
    assert store.size("a/one") == 12
    assert get(store, "a/one") == b"1 but longer"
    other.rm(path)
    assert store.size("a/one") is None
    assert not store.exists("a/one")
    assert store.names("a") == ["two"]


def _refuse(*arguments: object, **named: object) -> Any:
    raise OSError(28, "No space left on device")


def _no_write(patch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, raw: Any) -> None:
            self._raw = raw

        def __getattr__(self, name: str) -> Any:
            return _refuse if name == "write" else getattr(self._raw, name)

    plain = HashedFile.__init__
    patch.setattr(HashedFile, "__init__", lambda self, raw: plain(self, Full(raw)))


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "write": _no_write,
    "flush": lambda patch: patch.setattr(HashedFile, "flush", _refuse),
    "fsync": lambda patch: patch.setattr(os, "fsync", _refuse),
    "replace": lambda patch: patch.setattr(Path, "replace", _refuse),
}


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_fault_of_the_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, old: bytes | None
) -> None:
    store = Store(str(tmp_path))
    if old is not None:
        put(store, "salt.bin", old)
    with monkeypatch.context() as patch:
        FAULTS[fault](patch)
        with pytest.raises(OSError, match="No space left"), store.create("salt.bin") as sink:
            sink.write(b"new")
            sink.flush()
    assert [path.name for path in tmp_path.iterdir()] == ([] if old is None else ["salt.bin"])
    assert old is None or get(store, "salt.bin") == old
    put(store, "salt.bin", b"new")
    assert get(store, "salt.bin") == b"new"


def test_a_failed_upload_leaves_what_was_there(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    store = Store(f"{s3_url}/{uuid.uuid4().hex}")
    put(store, "salt.bin", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(s3fs.core.S3File, "_upload_chunk", _refuse)
        with pytest.raises(OSError, match="No space left"), store.create("salt.bin") as sink:
            sink.write(b"new")
    assert get(store, "salt.bin") == b"old"


def test_nothing_is_there_before_it_is_written(store: Store) -> None:
    assert store.names("") == []
    assert store.names("a") == []
    assert store.size("a") is None
    assert not store.exists("a")
    assert store.read_json("a.json") is None
    store.remove("a")
    store.sweep()


def test_files_and_directories_are_removed(store: Store) -> None:
    for name in ("a/one", "a/b/two", "c"):
        put(store, name, b"1")
    assert store.names("") == ["a", "c"]
    assert store.names("a") == ["b", "one"]
    store.remove("a/one")
    assert store.names("a") == ["b"]
    store.remove("a")
    assert store.names("") == ["c"]
    store.remove("c")
    assert store.names("") == []


def test_sweep_removes_what_killed_processes_left_and_nothing_else(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    put(store, "steps/b/salt.bin", b"1")
    put(store, "mine/salt.bin", b"1")
    unique = f"{TEMPORARY}{'0a' * 16}"
    left = [tmp_path / unique, tmp_path / "steps" / "b" / unique]
    others = [tmp_path / f"{TEMPORARY}mine", tmp_path / "mine" / unique]
    for path in (*left, *others):
        path.write_bytes(b"half")
    assert store.names("steps/b") == ["salt.bin"]
    assert store.names("") == ["mine", "steps"]
    store.sweep()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    assert get(store, "steps/b/salt.bin") == b"1"


def test_json_comes_back_with_sorted_keys(store: Store) -> None:
    value = {"b": [1, None, "é"], "a": {"z": 0.5, "y": True}}
    store.write_json("v.json", value)
    assert store.read_json("v.json") == value
    assert get(store, "v.json").decode().split('"')[1] == "a"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"a": 1} 2'])
def test_damaged_json_counts_as_none(store: Store, content: bytes) -> None:
    put(store, "v.json", content)
    assert store.read_json("v.json") is None


@pytest.mark.parametrize("url", ["runs/a", "runs/a/", "s3://bucket/a"])
def test_paths_are_below_the_url(url: str) -> None:
    assert Store(url).path("b/c") == f"{url.rstrip('/')}/b/c"
    assert Store(url).is_local == (not url.startswith("s3"))
