"""The input listing: which files a run reads, in which order, and a first look into them."""

import difflib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fsspec

from pipeline.config import InputConfig
from pipeline.formats import InputFile, Record, guess, load
from stages.errors import ConfigError, InputError

_PEEK_RECORDS = 100
_PEEK_FILES = 3


@dataclass(frozen=True)
class Listed:
    """An input file with the mark by which a change of its content is noticed."""

    file: InputFile
    mark: str
    """Modification time or ETag: part of the hash of the read step."""


def list_inputs(config: InputConfig) -> list[Listed]:
    """All files of `input.paths`, each once, in the order of the paths and sorted within a glob.

    Raises ConfigError if nothing is configured or a suffix is unknown; InputError if a path matches nothing.
    """
    if not config.paths:
        raise ConfigError("input.paths is empty: give at least one file, glob or URL")
    listed: dict[str, Listed] = {}
    for pattern in config.paths:
        found = list(_expand(pattern, config.format))
        if not found:
            raise InputError(
                f"input.paths: nothing matches {pattern}: check the path (relative to the working directory)"
            )
        listed.update((item.file.url, item) for item in found if item.file.url not in listed)
    return list(listed.values())


def check_fields(config: InputConfig, files: list[Listed]) -> None:
    """Look at the first records; raise ConfigError if a configured field is in none of them."""
    seen: set[str] = set()
    for listed in files[:_PEEK_FILES]:
        for record in itertools.islice(_peek(config, listed.file), _PEEK_RECORDS):
            seen.update(record.fields)
    defaults = InputConfig()
    for key in ("text", "id", "source"):
        name = getattr(config, key)
        if seen and name not in seen and (key == "text" or name != getattr(defaults, key)):
            near = difflib.get_close_matches(name, seen, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            raise ConfigError(
                f"input.{key}: no record has a field '{name}'{hint} Fields found: {', '.join(sorted(seen))}"
            )


def _peek(config: InputConfig, file: InputFile) -> Iterator[Record]:
    reader = load(file.format)
    first = reader.splits(file, int(config.split_mb * 1e6))[:1]
    for split in first:
        records = reader.records(split, config.names, int(config.max_document_mb * 1e6))
        yield from (r for r in itertools.islice(records, 10 * _PEEK_RECORDS) if isinstance(r, Record))


def _expand(pattern: str, format: str) -> Iterator[Listed]:
    filesystem, path = fsspec.core.url_to_fs(pattern)
    filesystem.invalidate_cache()
    for found in _match(filesystem, path):
        url = _named_as(pattern, filesystem, found)
        info = filesystem.info(found)
        if info["type"] == "directory":
            yield from _directory(filesystem, url, found, format)
        else:
            kind = guess(url) if format == "auto" else format
            yield Listed(InputFile(url, kind, int(info["size"] or 0)), _mark(info))


def _match(filesystem: Any, path: str) -> list[str]:
    """The path itself, whatever signs are in its name; else what it matches as a glob."""
    return [path] if filesystem.exists(path) else sorted(filesystem.glob(path))


def _directory(filesystem: Any, url: str, path: str, format: str) -> Iterator[Listed]:
    """A data set saved to disk is one input; any other directory stands for the files in it."""
    names = {str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in filesystem.ls(path, detail=False)}
    if format == "hf" or names & {"dataset_info.json", "dataset_dict.json"}:
        infos = [filesystem.info(name) for name in sorted(filesystem.find(path))]
        mark = " ".join(_mark(info) for info in infos)
        yield Listed(InputFile(url, "hf", sum(int(info["size"] or 0) for info in infos)), mark)
        return
    for name in sorted(names):
        if not name.startswith((".", "_")) and not filesystem.isdir(f"{path.rstrip('/')}/{name}"):
            yield from _expand(f"{url.rstrip('/')}/{name}", format)


def _named_as(pattern: str, filesystem: Any, found: str) -> str:
    """A match as the user would write it: relative stays relative, so ids do not depend on where a project lies."""
    if "://" in pattern:
        return str(filesystem.unstrip_protocol(found))
    base = fsspec.core.url_to_fs(".")[1].rstrip("/") + "/"
    return found if pattern.startswith("/") else str(found).removeprefix(base)


def _mark(info: dict[str, Any]) -> str:
    for key in ("ETag", "mtime", "LastModified", "last_modified", "md5"):
        if info.get(key):
            return str(info[key])
    return ""
