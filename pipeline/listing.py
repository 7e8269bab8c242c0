"""The input listing: which files a run reads, in which order, and a first look into them."""

import contextlib
import difflib
import hashlib
import itertools
import os
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import fsspec

from pipeline.config import InputConfig
from pipeline.documents import some_names
from pipeline.formats import InputFile, Record, guess, load, whole
from stages.errors import ConfigError, InputError

_PEEK_RECORDS = 100
_PEEK_FILES = 10
_SHOWN_NAMES = 12
_MARKS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "md5")
_STORAGE_LIBRARIES = frozenset({"botocore", "aiohttp", "requests", "gcsfs", "google", "azure", "huggingface_hub"})
"""Their errors, unlike those of the system, are no OSError."""


@dataclass(frozen=True)
class Listed:
    """An input file with the mark by which a change of its content is noticed."""

    file: InputFile
    mark: str
    """Modification time or ETag: part of the hash of the read step."""


def list_inputs(config: InputConfig) -> list[Listed]:
    """All files of `input.paths`, each once, in the order of the paths and sorted within a glob or a directory.

    A file that is there under several names keeps the first. Raises ConfigError if nothing is configured or a suffix or
    protocol is unknown; InputError if a path matches nothing or cannot be listed.
    """
    if not config.paths:
        raise ConfigError("input.paths is empty: give at least one file, glob or URL")
    listed: dict[Hashable, Listed] = {}
    for index, pattern in enumerate(config.paths):
        if not pattern.strip():
            raise ConfigError(
                f"input.paths[{index}] is empty: expected a file, a directory, a glob or a URL; remove it"
            )
        with storage_errors("list", pattern):
            found = list(_expand(pattern, config.format))
        if not found:
            hint = "" if "://" in pattern else " (relative to the working directory)"
            raise InputError(f"input.paths: nothing matches {pattern}: check the path{hint}")
        for key, item in found:
            listed.setdefault(key, item)
    return list(listed.values())


def check_fields(config: InputConfig, files: list[Listed]) -> None:
    """Look at the first records of files all over the listing; raise ConfigError if a field is in none of them."""
    seen: set[str] = set()
    looked = 0
    for position in evenly(len(files), _PEEK_FILES):
        with storage_errors("read", files[position].file.url):
            for record in itertools.islice(_peek(config, files[position].file), _PEEK_RECORDS):
                seen.update(record.fields)
                looked += 1
    defaults = InputConfig()
    for key in ("text", "id", "source"):
        name = getattr(config, key)
        if seen and name not in seen and (key == "text" or name != getattr(defaults, key)):
            raise ConfigError(f"input.{key}: {_no_field(name, seen, looked)}")


def _no_field(name: str, seen: set[str], looked: int) -> str:
    near = difflib.get_close_matches(name, [found for found in seen if len(found) <= 2 * len(name)], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    found = some_names(seen, _SHOWN_NAMES)
    return f"in the first {looked:,} records looked at, none has a field '{name}'{hint} Fields found: {found}"


def _peek(config: InputConfig, file: InputFile) -> Iterator[Record]:
    records = load(file.format).records(whole(file), config.names, int(config.max_document_mb * 1e6))
    yield from (r for r in itertools.islice(records, 10 * _PEEK_RECORDS) if isinstance(r, Record))


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly spread.

    >>> evenly(10, 4), evenly(2, 4)
    ([0, 2, 5, 7], [0, 1])
    """
    picks = min(count, most)
    return [count * pick // picks for pick in range(picks)]


def filesystem_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it.

    Raises ConfigError if the protocol is unknown or its library is not installed.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        remedy = "pip install 'tamis[s3]'" if url.startswith(("s3:", "s3a:")) else "install it"
        raise ConfigError(f"{url}: its protocol needs a library that is missing ({error}): {remedy}") from error
    except ValueError as error:
        raise ConfigError(f"{url}: {error}; expected a path or a URL that fsspec knows, such as s3://...") from error
    return filesystem, str(path)


@contextlib.contextmanager
def storage_errors(doing: str, url: str) -> Iterator[None]:
    """Turn what a storage raises, missing credentials included, into an InputError; `doing` is "list" or "read"."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _STORAGE_LIBRARIES:
            raise
        why = str(error) or type(error).__name__
        raise InputError(
            f"cannot {doing} {url}: {why}. Check that it is there, and that access and credentials are set"
        ) from error


def _expand(pattern: str, format: str) -> Iterator[tuple[Hashable, Listed]]:
    filesystem, path = filesystem_of(pattern)
    if _is_local(filesystem) and ("://" in pattern or pattern.startswith("~")):
        pattern = path
    filesystem.invalidate_cache()
    for found in _match(filesystem, path):
        yield from _files(filesystem, _named_as(pattern, filesystem, found), found, format, frozenset())


def _match(filesystem: Any, path: str) -> list[str]:
    """The path itself, whatever signs are in its name; else what it matches as a glob."""
    return [path] if filesystem.exists(path) else sorted(filesystem.glob(path))


def _files(
    filesystem: Any, url: str, path: str, format: str, above: frozenset[Hashable]
) -> Iterator[tuple[Hashable, Listed]]:
    """A file, or a directory's; `above` holds the directories around it, so that a link back up ends there."""
    key, info = _key(filesystem, path), _info(filesystem, path)
    if info["type"] != "directory":
        kind = guess(url) if format == "auto" else format
        yield key, Listed(InputFile(url, kind, int(info["size"] or 0)), _mark(filesystem, path, info))
    elif key not in above:
        entries = {str(entry).rstrip("/") for entry in filesystem.ls(path, detail=False)} - {path.rstrip("/")}
        names = sorted(entry.rsplit("/", 1)[-1] for entry in entries)
        if format == "hf" or {"dataset_info.json", "dataset_dict.json"} & set(names):
            yield key, _data_set(filesystem, url, path)
            return
        for name in names:
            if not name.startswith((".", "_")):
                yield from _files(filesystem, _join(url, name), f"{path.rstrip('/')}/{name}", format, above | {key})


def _data_set(filesystem: Any, url: str, path: str) -> Listed:
    """A data set saved to disk is one input, with all its files in its mark."""
    infos = {str(name): _info(filesystem, name) for name in sorted(filesystem.find(path))}
    facts = [
        f"{name.removeprefix(path)}\0{info['size']}\0{_mark(filesystem, name, info)}" for name, info in infos.items()
    ]
    mark = hashlib.sha256("\0\0".join(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return Listed(InputFile(url, "hf", sum(int(info["size"] or 0) for info in infos.values())), mark)


def _named_as(pattern: str, filesystem: Any, found: str) -> str:
    """A match as the user would write it: relative stays relative, so ids do not depend on where a project lies."""
    if not _is_local(filesystem):
        return str(filesystem.unstrip_protocol(found))
    base = fsspec.core.url_to_fs(".")[1].rstrip("/")
    if pattern.startswith("/"):
        return str(found)
    return "." if found.rstrip("/") == base else str(found).removeprefix(base + "/")


def _join(url: str, name: str) -> str:
    return name if url == "." else f"{url.rstrip('/')}/{name}"


def _is_local(filesystem: Any) -> bool:
    return filesystem.protocol == "file" or "file" in tuple(filesystem.protocol)


def _key(filesystem: Any, path: str) -> Hashable:
    """What is the same for one file under several names."""
    return (hash(filesystem), os.path.realpath(path) if _is_local(filesystem) else path.rstrip("/"))


def _info(filesystem: Any, path: str) -> dict[str, Any]:
    """Facts of a file; of what a link leads to, since its own time of change would stay when the content changes."""
    found: dict[str, Any] = filesystem.info(os.path.realpath(path) if _is_local(filesystem) else path)
    return found


def _mark(filesystem: Any, path: str, info: dict[str, Any]) -> str:
    """What changes with the content; zero is a time like others."""
    given = (info[key] for key in _MARKS if info.get(key) not in (None, ""))
    mark = next(given, None)
    return str(filesystem.ukey(path) if mark is None else mark)
