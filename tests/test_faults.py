"""Kills and full disks at any moment: the same command afterwards gives the bytes of an undisturbed run."""

import errno
import itertools
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.storage import HashedFile
from tests.runs import command, documents, fingerprint, go, tamis, write_config, write_jsonl

ROUNDS = int(os.environ.get("TAMIS_FAULT_ROUNDS", "8"))
"""Kills of each kind; benchmarks/README.md has the figures of longer series."""


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], float]:
    """A corpus, the fingerprint of an undisturbed run with two workers, and its seconds."""
    folder = tmp_path_factory.mktemp("faults")
    for number in range(3):
        write_jsonl(folder / f"in-{number}.jsonl", documents(900, seed=number))
    (folder / "in-bad.jsonl").write_bytes(b'{"text": 5}\nbroken\n' + b'{"id": "0-1", "text": "an id seen before"}\n')
    began = time.monotonic()
    done = tamis("run", _config(folder, "undisturbed"), "--workers", "2")
    assert done.returncode == 0, done.stderr
    return folder, fingerprint(folder / "undisturbed"), time.monotonic() - began


def _config(folder: Path, name: str) -> Path:
    inputs = sorted(folder.glob("in-*.jsonl"))
    sizes = {"input": {"split_mb": 0.1}, "shards": {"text_mb": 0.3, "row_group_mb": 0.1}}
    return write_config(folder / f"{name}.yaml", inputs, folder / name, **sizes)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_sigkill_at_a_random_moment(setting: tuple[Path, dict[str, str], float], victim: str, number: int) -> None:
    folder, expected, seconds = setting
    name = f"killed-{victim}-{number}"
    moment = random.Random(name).uniform(0.1, 0.95) * seconds
    config = _config(folder, name)
    process = subprocess.Popen(
        command("run", config, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    _kill(process.pid if victim == "parent" else _a_worker(process.pid, number))
    process.wait(60)
    if victim == "parent":
        assert process.returncode in (0, -signal.SIGKILL)
    done = tamis("run", config, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert fingerprint(folder / name) == expected
    assert not list((folder / name).rglob(".tmp-*"))


@pytest.mark.parametrize("point", range(0, 60, 4))
def test_a_full_disk_at_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(200))
    sizes = {"input": {"split_mb": 0.05}, "shards": {"text_mb": 0.05}}
    undisturbed = write_config(tmp_path / "u.yaml", [path], tmp_path / "undisturbed", **sizes)
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run", **sizes)
    go(undisturbed)
    count = itertools.count()
    write = HashedFile.write

    def failing(self: HashedFile, data: bytes) -> int:
        if next(count) >= point:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(HashedFile, "write", failing)
        with pytest.raises(OSError, match="No space left on device"):
            go(config)
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    go(config)
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "undisturbed")


def test_a_file_size_limit_of_the_system_is_a_clear_error(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", documents(800))
    config = write_config(tmp_path / "c.yaml", [path], tmp_path / "run")
    limited = ["prlimit", "--fsize=20000", *command("run", config, "--workers", "2")]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "File too large" in done.stderr
    assert "the same command goes on from there" in done.stderr
    assert tamis("run", config).returncode == 0


def test_two_runs_into_one_directory(setting: tuple[Path, dict[str, str], float]) -> None:
    folder, expected, _ = setting
    config = _config(folder, "twice")
    first = subprocess.Popen(command("run", config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until((folder / "twice/steps/current.json").exists)
    second = tamis("run", config)
    assert second.returncode == 6
    assert f"process {first.pid}" in second.stderr
    assert first.wait(60) == 0
    assert fingerprint(folder / "twice") == expected


def test_an_interrupt_ends_workers_and_leaves_a_run_that_goes_on(setting: tuple[Path, dict[str, str], float]) -> None:
    folder, expected, _ = setting
    config = _config(folder, "interrupted")
    process = subprocess.Popen(
        command("run", config, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _until(lambda: len(_workers(process.pid)) == 2)
    workers = _workers(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"the same command goes on" in errors
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert tamis("run", config).returncode == 0
    assert fingerprint(folder / "interrupted") == expected


def _workers(parent: int) -> list[int]:
    """Worker processes of a run (not the resource tracker of multiprocessing)."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except FileNotFoundError:
        return []


def _a_worker(parent: int, number: int) -> int | None:
    workers = _workers(parent)
    return workers[number % len(workers)] if workers else None


def _kill(pid: int | None) -> None:
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def _until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the awaited state did not come"
        time.sleep(0.02)
