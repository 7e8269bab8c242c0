"""The site of a run: what its workers, on whatever node, must find as the process that started them does.

Before its first task, every worker process enters the working directory from which relative paths start, reads a marker
in the run directory, writes a file beside it, and compares the versions that decide the data. So a node that does not
share the storage, or has other libraries, ends the run with a message that names it, however late it joins.
"""

import contextlib
import importlib.metadata
import logging
import os
import platform
import socket
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.credentials import NoCredentials, without_credentials
from pipeline.lean import spare_pandas
from pipeline.storage import Store
from stages.errors import EngineError

_MARKERS = "steps"
_MARKER = "site-"
_LIBRARIES = ("pyarrow", "numpy", "duckdb", "orjson")
LOGS = "logs"


@dataclass(frozen=True)
class Site:
    """Where a run works, and with what."""

    store: Store
    directory: str
    """The working directory of the process that started the run."""
    relative: tuple[str, ...]
    """Paths of the configuration that start from it."""
    versions: tuple[tuple[str, str], ...]
    """Python and the libraries that decide what a stage answers."""
    token: str

    @property
    def marker(self) -> str:
        """The name of the marker, which no other run had: what a network file system remembers of it is right."""
        return f"{_MARKERS}/{_MARKER}{self.token}.json"


def make_site(store: Store, paths: Iterable[str], libraries: Iterable[str]) -> Site:
    """The site of a run whose configuration names `paths`, and whose stages use `libraries`."""
    relative = tuple(path for path in (store.url, *paths) if _is_relative(path))
    names = sorted({*_LIBRARIES, *libraries})
    versions = (("python", _python()), *((name, _version(name)) for name in names))
    return Site(store, str(Path.cwd()), relative, versions, uuid.uuid4().hex)


def publish(site: Site) -> None:
    """Write the marker that workers look for. Only for the holder of the run's lock."""
    for name in site.store.names(_MARKERS):
        if name.startswith(_MARKER):
            site.store.remove(f"{_MARKERS}/{name}")
    site.store.write_json(site.marker, {"token": site.token})


@lru_cache(maxsize=1)
def arrive(site: Site) -> str:
    """Make this worker process ready for the tasks of a site, once; returns the name of its node.

    Raises EngineError, naming the node, the difference and the remedy.
    """
    node = f"{socket.gethostname()} (process {os.getpid()})"
    _use_shipped_models()
    spare_pandas()
    _enter(site, node)
    _compare_versions(site, node)
    _look(site, node)
    _log_into(site)
    return node


def look(site: Site, tick: object = None) -> str:
    """A task of no work, to look whether a node is ready; see `arrive`."""
    return arrive(site)


def _use_shipped_models() -> None:
    """The language model lies in the environment that was set up; where Tamis was shipped, it came along."""
    shipped = Path(__file__).parents[1] / "shipped"
    if shipped.is_dir():
        os.environ.setdefault("TAMIS_MODELS", str(shipped))


def _enter(site: Site, node: str) -> None:
    if Path(site.directory).is_dir():
        os.chdir(site.directory)
    elif site.relative:
        raise EngineError(
            f"{node} has no directory {site.directory}, from which {site.relative[0]} starts: start the run in a "
            "directory that all nodes share, or give absolute paths of shared storage or URLs"
        )


def _compare_versions(site: Site, node: str) -> None:
    for name, expected in site.versions:
        found = _python() if name == "python" else _version(name)
        if found != expected:
            raise EngineError(
                f"{node} has {name} {found}, the process that started the run has {expected}: the data would depend on "
                "the node; install the same versions everywhere"
            )


def _look(site: Site, node: str) -> None:
    trial = f"{_MARKERS}/{_MARKER}{uuid.uuid4().hex}.tmp"
    with _explained(site, node):
        found = site.store.read_json(site.marker)
        if not isinstance(found, dict) or found.get("token") != site.token:
            raise FileNotFoundError(f"{site.marker} is not there")
        site.store.write_json(trial, {"node": node})
        site.store.remove(trial)


@contextlib.contextmanager
def _explained(site: Site, node: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        why = without_credentials(str(error)) or type(error).__name__
        where = without_credentials(site.store.url)
        raise EngineError(
            f"{node} cannot use the run directory {where} ({why}): it and the input must be on a "
            "file system that all nodes share under the same path, or on an object store for which every node has "
            "credentials"
        ) from None


def _log_into(site: Site) -> None:
    """A file for this process in the run directory, if that is on a disk; object stores cannot append."""
    if not site.store.is_local:
        return
    folder = Path(site.store.path(LOGS))
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / f"{socket.gethostname()}-{os.getpid()}.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(NoCredentials())
    log = logging.getLogger("tamis")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _is_relative(path: str) -> bool:
    return "://" not in path and not Path(path).expanduser().is_absolute()


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "nothing"
