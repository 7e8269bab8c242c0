"""One writer per run directory. The lock ends with its process, however that ends."""

import contextlib
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.storage import Store
from stages.errors import RunLocked

LEASE_S = 60.0
"""On an object store: seconds after which a lock that was not renewed counts as left behind."""
_LEASE = "lock.json"


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Hold the run directory. Raises RunLocked, naming the holder, if another process does.

    On a disk: a lock of the system (flock), which ends with the process. On an object store, which has none: a lease
    that is renewed while the process lives, and which another run may take LEASE_S seconds after the last renewal.
    """
    with _file_lock(store) if store.is_local else _lease(store):
        yield


@contextlib.contextmanager
def _file_lock(store: Store) -> Iterator[None]:
    path = Path(store.path(".lock"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _held(store, file.read().strip()) from None
        file.seek(0)
        file.truncate()
        file.write(_me())
        file.flush()
        yield


@contextlib.contextmanager
def _lease(store: Store) -> Iterator[None]:
    found = store.read_json(_LEASE)
    if isinstance(found, dict) and time.time() - float(found.get("renewed", 0)) < LEASE_S and not _died_here(found):
        raise _held(store, str(found.get("holder", "")))
    done = threading.Event()
    _renew(store)
    thread = threading.Thread(target=_keep, args=(store, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        store.remove(_LEASE)


def _keep(store: Store, done: threading.Event) -> None:
    while not done.wait(LEASE_S / 4):
        with contextlib.suppress(OSError):  # the next try is near, and the lease outlives three that fail
            _renew(store)


def _renew(store: Store) -> None:
    holder = {"holder": _me(), "host": socket.gethostname(), "pid": os.getpid()}
    store.write_json(_LEASE, {**holder, "renewed": time.time()})


def _died_here(lease: dict[str, object]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    return lease.get("host") == socket.gethostname() and not Path(f"/proc/{lease.get('pid')}").exists()


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _held(store: Store, holder: str) -> RunLocked:
    return RunLocked(
        f"{store.url} is being written by {holder or 'another process'}: wait for it, end it, or choose another output"
    )
