"""What is said of a path that is no finished run, and of a run whose shards are missing or damaged."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.storage import Store
from stages.errors import InputError

MANIFEST = "manifest.json"
_SHOWN = 8
_AGAIN = "run the same `tamis run` again, which makes"


def no_run(store: Store) -> InputError:
    """Why a path is no finished run: what is there, and what to do about it."""
    if (found := no_directory(store)) or (found := _damaged(store)):
        return found
    if store.exists("steps"):
        return InputError(
            f"{store.url} holds no {MANIFEST}, so it is no finished run (found: {_names(store)}): finish it with the "
            "same `tamis run`"
        )
    inside = store.url.rstrip("/").rpartition("/")[0]
    near = f"give the run that it lies in, {inside}" if inside and Store(inside).exists(MANIFEST) else "check the path"
    return InputError(
        f"{store.url} is no finished run (found: {_names(store)}), expected a directory that `tamis run` made: {near}"
    )


def no_directory(store: Store) -> InputError | None:
    """The error if a path of this machine is not there or is a file, else None: an object store has no directories."""
    if not store.is_local or Path(store.url).is_dir():
        return None
    if Path(store.url).exists():
        return InputError(f"{store.url} is a file, expected the directory of a finished run: check the path")
    return InputError(f"{store.url}: found nothing there, so it is no finished run: check the path")


def _damaged(store: Store) -> InputError | None:
    if not store.exists(MANIFEST):
        return None
    path = store.path(MANIFEST)
    if store.exists("steps"):
        return InputError(f"{path} is damaged, or no manifest of Tamis: remove it and {_AGAIN} it anew")
    return InputError(f"{path} is no manifest of Tamis: check the path")


def _names(store: Store) -> str:
    return ", ".join(store.names("")[:_SHOWN]) or "nothing"


@contextlib.contextmanager
def reading_shards(*stores: Store) -> Iterator[None]:
    """Errors of reading the shards of finished runs, as an InputError that names the shard and the remedy.

    What the libraries say is left out, since it may quote values of documents.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise unreadable(stores, type(error).__name__) from error


def unreadable(stores: tuple[Store, ...], kind: str) -> InputError:
    """Why the shards of runs cannot be read: the first one that is missing or has another size, if there is one."""
    for store in stores:
        there = {f"{folder}/{name}" for folder in ("data", "dropped") for name in store.names(folder)}
        records = (*recorded(store, "parts"), *recorded(store, "dropped"))
        for record in sorted(records, key=lambda one: one["name"] in there):  # missing ones first: a size may take long
            if (size := store.size(record["name"])) != record["size"]:
                found = "is missing" if size is None else f"has {size:,} bytes, expected {record['size']:,}"
                remedy = _AGAIN if size is None else f"remove it and {_AGAIN}"
                return InputError(f"the shards cannot be read: {store.path(record['name'])} {found}: {remedy} it anew")
    urls = list(dict.fromkeys(store.url for store in stores))
    looks = " or ".join(f"`tamis inspect {url} --verify`" for url in urls)
    return InputError(
        f"{', '.join(urls)}: the shards cannot be read ({kind}): {looks} finds damaged ones; "
        f"remove them and {_AGAIN} them anew. If it finds none, see to memory and room in {tempfile.gettempdir()}"
    )


def recorded(store: Store, kind: str) -> list[dict[str, Any]]:
    """The records of the shards of a run, kind "parts" or "dropped"; none if there is no manifest."""
    manifest = store.read_json(MANIFEST)
    return list(manifest.get(kind, [])) if isinstance(manifest, dict) else []
