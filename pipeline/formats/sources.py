"""What the formats share: files with random access, optional libraries, and telling damage from a failing disk."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa

from stages.errors import ConfigError

ARROW_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises on damaged files; an OSError may also come from the storage: see `damage_detail`."""
_DETAIL_CHARS = 200


def require(module: str, extra: str) -> ModuleType:
    """Import a library that only some formats need. Raises ConfigError with the remedy if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        remedy = f"pip install -e '.[{extra}]' in the checkout of Tamis"
        raise ConfigError(f"this input format needs {error.name}, which is not installed: {remedy}") from error


@contextmanager
def open_random(url: str) -> Iterator[BinaryIO]:
    """Open a file for reads at arbitrary places: remote ones without read-ahead, since jumps would fetch data twice."""
    filesystem, path = fsspec.core.url_to_fs(url)
    remote: dict[str, Any] = {} if "file" in _protocols(filesystem) else {"cache_type": "none"}
    with filesystem.open(path, "rb", **remote) as file:
        yield file


def _protocols(filesystem: Any) -> tuple[str, ...]:
    found = filesystem.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def local_path(url: str) -> str | None:
    """The path of a file on a local disk, None if it is remote."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return str(path) if "file" in _protocols(filesystem) else None


def damage_detail(error: Exception) -> str:
    """The first line of what is wrong with a file; raises `error` again if the storage failed, which a retry may mend.

    pyarrow reports damage as a bare OSError without an errno; the system and s3fs set one or raise a subclass.
    """
    if isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError):
        raise error
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_DETAIL_CHARS]
