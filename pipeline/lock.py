"""One writer per run directory. The lock ends with its process, however that ends."""

import contextlib
import fcntl
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.storage import Store
from stages.errors import Interrupted, RunLocked

LEASE_S = 60.0
"""On an object store: seconds after which a lock that was not renewed counts as left behind."""
LEASE = "lock.json"
SETTLE_S = 1.0
"""On an object store: seconds between writing a lock and looking whose it is; longer than a write takes."""
_LOG = logging.getLogger("tamis.lock")


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
    found = store.read_json(LEASE)
    if _is_fresh(found):
        raise _held(store, str(found.get("holder", "")))
    lease = _Lease(store)
    lease.take()
    try:
        with lease.renewed():
            yield
    except Interrupted:
        if not lease.lost:
            raise
    finally:
        lease.give_back()
    if lease.lost:
        raise lease.lost


class _Lease:
    """A lease of this process: the token in the store tells whose it is, since an object store swaps nothing at once.

    Two starts at the same moment both write; the last one is there after SETTLE_S, and the other sees that it lost.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = uuid.uuid4().hex
        self.lost: RunLocked | None = None

    def take(self) -> None:
        """Write it, wait for others who do the same, and look who won. Raises RunLocked if it was another."""
        self._write()
        time.sleep(SETTLE_S)
        found = self._store.read_json(LEASE)
        if not self._is_mine(found):
            raise _held(self._store, str(found.get("holder", "")) if isinstance(found, dict) else "")

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew it in a thread, which interrupts the block if the lease is lost."""
        done = threading.Event()
        thread = threading.Thread(target=self._keep, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def give_back(self) -> None:
        """Remove it, unless it is another's."""
        if self._is_mine(self._store.read_json(LEASE)):
            self._store.remove(LEASE)

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(LEASE_S / 4):
            try:
                self._renew(done)
            except Exception as error:  # the next try is near, and the lease outlives three that fail
                _LOG.warning("cannot renew the lock of %s, trying again: %s", self._store.url, error)

    def _renew(self, done: threading.Event) -> None:
        found = self._store.read_json(LEASE)
        if found is None or self._is_mine(found):
            self._write()
            return
        self.lost = _held(self._store, str(found.get("holder", "")) if isinstance(found, dict) else "")
        _LOG.error("the lock of %s was lost, this run stops: %s", self._store.url, self.lost)
        done.set()
        _stop_main_thread()

    def _write(self) -> None:
        holder = {"holder": _me(), "host": socket.gethostname(), "pid": os.getpid(), "token": self._token}
        self._store.write_json(LEASE, {**holder, "renewed": time.time()})

    def _is_mine(self, found: Any) -> bool:
        return isinstance(found, dict) and found.get("token") == self._token


def _stop_main_thread() -> None:
    """End the work as SIGTERM would, where the command line has set up that it ends in order."""
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)


def _is_fresh(found: Any) -> bool:
    """Whether a lease holds: renewed not long ago, by a process that may still live."""
    return isinstance(found, dict) and time.time() - float(found.get("renewed", 0)) < LEASE_S and not _died_here(found)


def _died_here(lease: dict[str, object]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    return lease.get("host") == socket.gethostname() and not Path(f"/proc/{lease.get('pid')}").exists()


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _held(store: Store, holder: str) -> RunLocked:
    return RunLocked(
        f"{store.url} is being written by {holder or 'another process'}: wait for it, end it, or choose another output"
    )
