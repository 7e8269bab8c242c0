"""Write the sample: one compressed JSON Lines file per source, and a listing of what is in the folder."""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pipeline.sample.documents import Document, Unreadable, read_all
from pipeline.sample.locate import locate
from pipeline.sample.sources import Source, chosen
from stages.errors import ConfigError

LISTING_NAME = "_LISTING.json"
"""The underscore keeps it from being read as input when the folder is."""

LISTING_FORMAT = 1

_LEVEL = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleSource:
    """What was written of one source.

    `bytes` counts the UTF-8 bytes of the texts alone; `languages` are the declared ones (BCP 47), none for code;
    `unreadable` counts the files of the package that gave no document because they are damaged or of unknown form.
    """

    name: str
    licence: str
    package: str
    version: str
    documents: int
    bytes: int
    languages: tuple[str, ...]
    unreadable: int = 0


def assemble(output: Path, sources: Sequence[str] = ()) -> list[SampleSource]:
    """Write `SOURCE.jsonl.zst` for each source, all if none are named, and `_LISTING.json`, into the folder `output`.

    Each line holds id (`SOURCE/KEY`, stable), text, source, package, licence, and what the package declares of it
    (title, language, ...). Lines are ordered by id. The same package versions give the same bytes. A file appears
    whole or not at all. Sources that an earlier call wrote into the folder stay there and stay listed.

    Returns:
        What was written, ordered by name. Files of a package that cannot be read are logged as warnings and listed.

    Raises:
        ConfigError: a name is unknown, a package is not installed or holds no text where it should, or `output`
            cannot be used.
    """
    wanted = chosen(sources)
    for source in wanted:
        locate(source.package)
    earlier = _open_folder(output)
    written = [_write_source(output, source) for source in wanted]
    entries = earlier | {summary.name: entry for summary, entry in written}
    listing = {"format": LISTING_FORMAT, "sources": [entries[name] for name in sorted(entries)]}
    _publish(output / LISTING_NAME, orjson.dumps(listing, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return [summary for summary, _ in written]


def _open_folder(output: Path) -> dict[str, Any]:
    """Create the folder if need be; give the entries of its listing, by source, whose files are still there."""
    path = output / LISTING_NAME
    try:
        output.mkdir(parents=True, exist_ok=True)
        listing = orjson.loads(path.read_bytes()) if path.exists() else {"sources": []}
        return {entry["name"]: entry for entry in listing["sources"] if (output / entry["file"]).is_file()}
    except OSError as problem:
        raise ConfigError(f"the folder {output} cannot be used: {problem.strerror}") from problem
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is not a listing of `tamis sample`; remove it or name another folder") from None


def _write_source(output: Path, source: Source) -> tuple[SampleSource, dict[str, Any]]:
    """Write the file of one source; give its summary and its entry in the listing."""
    root, version = locate(source.package)
    documents, unreadable = _read(source, root)
    content = b"".join(_line(source, document) for document in documents)
    name = f"{source.name}.jsonl.zst"
    _publish(output / name, pa.Codec("zstd", compression_level=_LEVEL).compress(content, asbytes=True))
    summary = SampleSource(
        name=source.name,
        licence=source.licence,
        package=source.package,
        version=version,
        documents=len(documents),
        bytes=sum(len(document.text.encode()) for document in documents),
        languages=tuple(sorted({d.fields["language"] for d in documents if "language" in d.fields})),
        unreadable=len(unreadable),
    )
    details = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
    return summary, asdict(summary) | details | {"unreadable": [asdict(item) for item in unreadable]}


def _read(source: Source, root: Path) -> tuple[list[Document], list[Unreadable]]:
    """Read all documents of a source, ordered by key, and report the files that could not be read.

    Raises:
        ConfigError: there is not one document.
    """
    files = sorted((path.relative_to(root).as_posix(), path) for path in source.find(root))
    documents, unreadable = _parted(read_all(((path, key) for key, path in files), source.read))
    for item in unreadable:
        _log.warning("%s: %s of %s is left out: %s", source.name, item.key, source.package, item.reason)
    if not documents:
        raise ConfigError(
            f"the package {source.package!r} holds no readable text for the source {source.name!r} "
            f"({len(files)} files found); install a version that the extra names: pip install -e '.[quickstart]'"
        )
    return [documents[key] for key in sorted(documents)], unreadable


def _parted(items: Iterable[Document | Unreadable]) -> tuple[dict[str, Document], list[Unreadable]]:
    """Part documents, by key, from what is unreadable; a document whose key is taken counts as unreadable."""
    documents: dict[str, Document] = {}
    unreadable: list[Unreadable] = []
    for item in items:
        if isinstance(item, Unreadable):
            unreadable.append(item)
        elif documents.setdefault(item.key, item) is not item:
            unreadable.append(Unreadable(item.key, "an earlier document has the same key"))
    return documents, unreadable


def _line(source: Source, document: Document) -> bytes:
    """Give one line of JSON: the three common fields first, then where it is from, then what its file declares."""
    record = {"id": f"{source.name}/{document.key}", "text": document.text, "source": source.name}
    record |= {"package": source.package, "licence": source.licence} | dict(document.fields)
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def _publish(path: Path, content: bytes) -> None:
    """Write a file whole: under a temporary name in the same folder, then renamed; nothing is left if interrupted."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
