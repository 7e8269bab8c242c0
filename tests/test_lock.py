"""One writer per run directory; the lock ends with its holder."""

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
from stages.errors import RunLocked

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
    renewed = threading.Event()
    times: list[float] = []

    def write(store: Store, name: str, value: dict[str, float]) -> None:
        times.append(value["renewed"])
        if len(times) == 3:
            renewed.set()

    monkeypatch.setattr(lock, "LEASE_S", 0.04)
    monkeypatch.setattr(Store, "write_json", write)
    with locked(remote):
        assert renewed.wait(10)
    assert times == sorted(times)
    assert times[0] < times[2]
