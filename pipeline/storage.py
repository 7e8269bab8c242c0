"""The files of a run: published whole or not at all, on a local disk or on any fsspec store.

On a disk a file gets a unique temporary name, is synced, and renamed. An object store makes an object visible only when
its upload is complete, so there it is written under its own name; what makes a shard real is its record, written last.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import fsspec
import orjson
import xxhash

from stages.errors import ConfigError

TEMPORARY = ".tmp-"
OWNED = ("steps", "data", "dropped", "quarantine", "contexts", "mixed", "shards")
"""Directories of a run that Tamis makes and removes."""


class HashedFile:
    """A file opened for writing that knows the size and the xxh3 hash of what went through it."""

    closed = False

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._hash = xxhash.xxh3_128()
        self.size = 0

    def write(self, data: Any) -> int:
        """Write bytes (any buffer); returns their number."""
        view = memoryview(data)
        self._hash.update(view)
        self.size += view.nbytes
        self._raw.write(view)
        return view.nbytes

    def flush(self) -> None:
        """Pass what is buffered to the system."""
        self._raw.flush()

    def tell(self) -> int:
        """Bytes written."""
        return self.size

    def close(self) -> None:
        """Writers close their sink; the store closes the file itself, after syncing it."""

    def hexdigest(self) -> str:
        """The hash of all bytes written so far."""
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Store:
    """A directory on a disk or under an fsspec URL; all paths are relative to it, with forward slashes."""

    url: str

    @property
    def is_local(self) -> bool:
        """Whether the directory is on a disk of this machine (or mounted there)."""
        return "://" not in self.url

    @property
    def filesystem(self) -> Any:
        """The store's fsspec file system, which remembers no listing: other processes write to the same run."""
        try:
            return fsspec.core.url_to_fs(self.url, use_listings_cache=False)[0]
        except (ValueError, ImportError) as error:
            raise ConfigError(f"{self.url}: {error}: mend the URL, or install what its protocol needs") from error

    def path(self, name: str) -> str:
        """The path or URL of a file, as fsspec.open, Parquet readers and DuckDB take it."""
        return f"{self.url.rstrip('/')}/{name}" if name else self.url

    def exists(self, name: str) -> bool:
        """Whether a file or directory is there."""
        return Path(self.path(name)).exists() if self.is_local else bool(self.filesystem.exists(self.path(name)))

    def size(self, name: str) -> int | None:
        """Bytes of a file, or None if there is none."""
        try:
            return Path(self.path(name)).stat().st_size if self.is_local else int(self.filesystem.size(self.path(name)))
        except FileNotFoundError:
            return None

    def names(self, name: str) -> list[str]:
        """Names of the files and directories in a directory, sorted; empty if there is none."""
        if self.is_local:
            path = Path(self.path(name))
            found = [p.name for p in path.iterdir()] if path.is_dir() else []
        else:
            found = self._list_remote(name)
        return sorted(n for n in found if not n.startswith(TEMPORARY))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file for reading."""
        with Path(self.path(name)).open("rb") if self.is_local else self.filesystem.open(self.path(name), "rb") as file:
            yield file

    def read_range(self, name: str, begin: int, end: int) -> bytes:
        """Some bytes of a file, and no more of a remote one."""
        if not self.is_local:
            return cast(bytes, self.filesystem.cat_file(self.path(name), start=begin, end=end))
        with self.open(name) as file:
            file.seek(begin)
            return file.read(end - begin)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[HashedFile]:
        """A file for writing that appears under its name when the block ends without an error, and else never."""
        create = _create_local if self.is_local else _create_remote
        with create(self.path(name)) as raw:
            yield HashedFile(raw)

    def read_json(self, name: str) -> Any:
        """The value of a JSON file, or None if there is none or it is no JSON."""
        try:
            with self.open(name) as file:
                return orjson.loads(file.read())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None

    def write_json(self, name: str, value: object) -> None:
        """Publish a value as indented JSON with sorted keys."""
        with self.create(name) as file:
            file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")

    def remove(self, name: str) -> None:
        """Remove a file or a whole directory, if it is there."""
        path = self.path(name)
        if not self.is_local:
            if self.filesystem.exists(path):
                self.filesystem.rm(path, recursive=True)
        elif Path(path).is_dir():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove temporary files that killed processes left. Only for the holder of the run's lock."""
        if self.is_local:
            root = Path(self.url)
            for place in (root, *_directories(root)):
                for left in place.glob(f"{TEMPORARY}{'[0-9a-f]' * 32}"):
                    left.unlink(missing_ok=True)

    def _list_remote(self, name: str) -> list[str]:
        try:
            entries = self.filesystem.ls(self.path(name), detail=False)
        except FileNotFoundError:
            return []
        return [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries]


def _directories(root: Path) -> Iterator[Path]:
    for name in OWNED:
        yield root / name
        yield from (path for path in (root / name).rglob("*") if path.is_dir())


@contextlib.contextmanager
def _create_local(path: str) -> Iterator[IO[bytes]]:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _sync_directory(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _create_remote(url: str) -> Iterator[IO[bytes]]:
    file = fsspec.open(url, "wb").open()
    try:
        yield cast(IO[bytes], file)
    except BaseException:
        with contextlib.suppress(Exception):
            file.discard()
        file.closed = True
        raise
    file.close()
