"""Compiled kernels on disk: found again, told apart, and never in the way."""

import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stages import ordering_cache
from stages.ordering_cache import folder
from stages.ordering_compiled import Kernel, exact_sums, kernel

STEP = 3


@kernel
def _further(value: int) -> int:
    return value + STEP


@kernel
def _twice(value: int) -> int:
    return 2 * _further(value)


def _fresh(one: "Kernel[[int], int]") -> "Kernel[[int], int]":
    """As another process has it."""
    return Kernel(one.plain, one.options)


def _hits(one: "Kernel[[int], int]") -> int:
    return sum(one.compiled.stats.cache_hits.values())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory for compiled kernels."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "caches"))
    folder.cache_clear()
    yield tmp_path / "caches" / "tamis"
    folder.cache_clear()


def _files(place: Path) -> list[Path]:
    return sorted(place.iterdir())


def test_the_next_process_finds_what_was_compiled(place: Path) -> None:
    first, second = _fresh(_twice), _fresh(_twice)
    assert first(4) == 14 and _hits(first) == 0
    assert {path.suffix for path in _files(place)} == {".kernel"}
    assert second(4) == 14 and _hits(second) == 1


def test_every_signature_has_its_file(place: Path) -> None:
    _fresh(_further)(1)
    _fresh(_further)(np.float64(1.5))  # type: ignore[arg-type]
    assert len(_files(place)) == 2
    again = _fresh(_further)
    assert again(np.float64(1.5)) == 4.5 and again(1) == 4 and _hits(again) == 2  # type: ignore[arg-type]


def test_another_constant_of_a_kernel_that_is_called_is_another_kernel(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _fresh(_twice)(4) == 14
    monkeypatch.setitem(_further.plain.__globals__, "STEP", 5)
    monkeypatch.setitem(_twice.plain.__globals__, "_further", _fresh(_further))
    changed = _fresh(_twice)
    assert changed(4) == 18 and _hits(changed) == 0


def test_code_options_and_defaults_tell_kernels_apart() -> None:
    def one(value: int, more: int = 1) -> int:
        return value + more

    def other(value: int, more: int = 1) -> int:
        return value - more

    later = types.FunctionType(one.__code__, one.__globals__, one.__name__, (2,))
    other.__qualname__ = later.__qualname__ = one.__qualname__
    found = {kernel(plain).fingerprint for plain in (one, other, later)} | {exact_sums(one).fingerprint}
    assert len(found) == 4
    assert kernel(one).fingerprint == kernel(one).fingerprint


@pytest.mark.parametrize("damage", [b"", b"no pickle", b"\x80\x04N.", None])
def test_a_damaged_file_is_written_anew(place: Path, damage: bytes | None) -> None:
    _fresh(_further)(4)
    (path,) = _files(place)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    mended = _fresh(_further)
    assert mended(4) == 7 and _hits(mended) == 0
    assert _files(place) == [path] and len(path.read_bytes()) > len(whole) // 2
    again = _fresh(_further)
    assert again(4) == 7 and _hits(again) == 1


def test_a_full_disk_is_no_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ordering_cache.os, "fsync", full)
    assert _fresh(_further)(4) == 7
    assert _files(place) == []


def test_a_directory_where_others_may_write_is_not_used(place: Path) -> None:
    place.mkdir(parents=True)
    place.chmod(0o777)
    assert folder() is None
    assert _fresh(_further)(4) == 7
    assert _files(place) == []


def test_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    place.parent.mkdir()
    place.symlink_to(tmp_path)
    assert folder() is None


def test_without_a_place_kernels_are_compiled(place: Path) -> None:
    place.parent.write_text("a file where the directory should be")
    assert folder() is None
    assert _fresh(_further)(4) == 7


def test_the_users_own_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder.cache_clear()
    assert folder() == tmp_path / "tamis" / "kernels"
    assert (tmp_path / "tamis" / "kernels").stat().st_mode & 0o777 == 0o700
    folder.cache_clear()
