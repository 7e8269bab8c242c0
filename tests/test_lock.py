"""One writer per run directory; the lock ends with its holder."""

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import lock
from pipeline.lock import LEASE_S, locked
from pipeline.storage import Store
from stages.errors import Interrupted, RunLocked

HOLD = """
import sys
from pipeline.lock import locked
from pipeline.storage import Store

with locked(Store(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the run directory until its input ends."""
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_who_holds_the_run(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with pytest.raises(RunLocked, match=rf"run is being written by process {holder.pid} on \S+: wait"):
        locked(Store(str(tmp_path / "run"))).__enter__()
    with locked(Store(str(tmp_path / "other"))):
        pass
    holder.communicate()
    with locked(Store(str(tmp_path / "run"))):
        pass


def test_a_killed_holder_leaves_no_lock(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    holder.kill()
    holder.wait(10)
    with locked(Store(str(tmp_path / "run"))):
        pass


def test_an_error_inside_ends_the_lock(tmp_path: Path) -> None:
    def fail() -> None:
        with locked(Store(str(tmp_path))):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with locked(Store(str(tmp_path))), pytest.raises(RunLocked):
        locked(Store(str(tmp_path))).__enter__()


@pytest.fixture(autouse=True)
def settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settle time of a lease is for slow networks."""
    monkeypatch.setattr(lock, "SETTLE_S", 0.05)


@pytest.fixture
def memory() -> Store:
    """An empty run directory on a store without a lock of the system."""
    return Store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def remote(s3_url: str) -> Store:
    """An empty run directory on S3."""
    return Store(f"{s3_url}/{uuid.uuid4().hex}")


def test_a_lease_is_held_and_given_back(remote: Store) -> None:
    with locked(remote):
        with pytest.raises(RunLocked, match=r"is being written by process \d+ on \S+: wait"):
            locked(remote).__enter__()
        assert remote.read_json("lock.json")["renewed"] <= time.time()
    assert remote.names("") == []
    with locked(remote):
        pass


def test_a_lease_that_ran_out_is_taken(remote: Store) -> None:
    remote.write_json("lock.json", {"holder": "process 1 on elsewhere", "renewed": time.time() - LEASE_S - 1})
    with locked(remote):
        assert "elsewhere" not in remote.read_json("lock.json")["holder"]


def test_a_fresh_lease_of_another_machine_holds(remote: Store) -> None:
    remote.write_json("lock.json", {"holder": "process 1 on elsewhere", "renewed": time.time() - LEASE_S / 2})
    with pytest.raises(RunLocked, match="process 1 on elsewhere"):
        locked(remote).__enter__()
    assert remote.read_json("lock.json")["holder"] == "process 1 on elsewhere"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_lease_is_taken(remote: Store, content: bytes) -> None:
    with remote.create("lock.json") as file:
        file.write(content)
    with locked(remote):
        pass


def test_a_lease_is_renewed_while_its_holder_lives(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 0.4)
    with locked(remote):
        first = remote.read_json("lock.json")
        end = time.monotonic() + 10
        while remote.read_json("lock.json")["renewed"] == first["renewed"] and time.monotonic() < end:
            time.sleep(0.05)
        later = remote.read_json("lock.json")
    assert later["renewed"] > first["renewed"]
    assert later["token"] == first["token"]


def test_of_two_starts_at_once_one_goes_on(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE_S", 0.3)
    monkeypatch.setattr(lock, "_is_fresh", lambda found: False)
    gate, won, lost = threading.Barrier(2), [], []

    def start(number: int) -> None:
        gate.wait()
        try:
            with locked(memory):
                won.append(number)
                time.sleep(0.6)
        except RunLocked as error:
            lost.append(error)

    threads = [threading.Thread(target=start, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 1)
    assert not memory.exists("lock.json")


def test_a_lost_lease_ends_the_run_and_stays_with_its_holder(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 0.2)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    thief = {"holder": "process 1 on elsewhere", "token": "other", "renewed": time.time() + 60}

    def run() -> None:
        with locked(memory):
            memory.write_json("lock.json", thief)
            time.sleep(0.3)

    with pytest.raises(RunLocked, match="process 1 on elsewhere"):
        run()
    assert memory.read_json("lock.json") == thief


def test_a_lost_lease_interrupts_the_work(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 0.2)

    def interrupted(number: int, frame: object) -> None:
        raise Interrupted

    def run() -> None:
        with locked(memory):
            memory.write_json("lock.json", {"token": "other", "renewed": time.time() + 60})
            time.sleep(20)

    before = signal.signal(signal.SIGTERM, interrupted)
    begin = time.monotonic()
    try:
        with pytest.raises(RunLocked, match="another process"):
            run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - begin < 10


def test_renewing_outlives_any_error(
    memory: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "LEASE_S", 0.2)
    written = Store.write_json
    failures = iter([None, ValueError("no connection"), RuntimeError("no session")])

    def write(store: Store, name: str, value: object) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        written(store, name, value)

    monkeypatch.setattr(Store, "write_json", write)
    with locked(memory):
        first = memory.read_json("lock.json")["renewed"]
        end = time.monotonic() + 10
        while memory.read_json("lock.json")["renewed"] == first and time.monotonic() < end:
            time.sleep(0.02)
        assert memory.read_json("lock.json")["renewed"] > first
    assert "no session" in caplog.text
