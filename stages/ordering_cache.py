"""Compiled kernels on disk: only the first process on a machine waits for the compiler.

numba has such a cache, which is not used: it does not notice that a kernel or a constant of another file has changed,
and two processes that write at once may each put their code under the name that the other's index gives. Here a file
belongs to one kernel, with all that it calls, and one signature, processor and version of the libraries; it is written
whole and then renamed, so a file that is there is right.

Files hold machine code, so whoever writes them could run anything: a directory is used only if it is the user's own
and nobody else may write there. Wherever something is missing or fails, the kernel is compiled.
"""

import hashlib
import os
import pickle
import platform
import stat
import sys
import types
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

NAMED = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)


class Files:
    """What numba asks for compiled code, and gives it to; it takes the place of the `_cache` of a dispatcher."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.cache_path = str(folder)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled kernel, or None if there is none that can be used."""
        from numba.core import compiler

        rebuild: Any = compiler.CompileResult._rebuild
        context.refresh()
        try:
            parts = pickle.loads(self.path(signature, context.codegen()).read_bytes())
            return rebuild(context, *parts)
        except Exception:  # damaged in whatever way: it is compiled, and written anew
            return None

    def save_overload(self, signature: Any, found: Any) -> None:
        """Write the file, or go on without."""
        from numba.core import serialize

        dumps: Any = serialize.dumps
        if found.lifted or found.library.has_dynamic_globals:
            return
        with suppress(OSError):
            _write(self.path(signature, found.codegen), dumps(found._reduce()))

    def path(self, signature: Any, target: Any) -> Path:
        """The file of a signature, for a processor."""
        key = _digest(self.name, repr(signature), repr(target.magic_tuple()), *_versions())
        return self.folder / f"{key}.kernel"

    def flush(self) -> None:
        """Leave the files: those that nobody asks for do no harm."""


@cache
def folder() -> Path | None:
    """`$NUMBA_CACHE_DIR/tamis`, or `tamis/kernels` in the user's directory for caches; None if it is not safe.

    Made if it is not there.
    """
    if os.name != "posix":
        return None
    try:
        given = os.environ.get("NUMBA_CACHE_DIR")
        found = Path(given) / "tamis" if given else _user_caches() / "tamis" / "kernels"
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = found.lstat()
    except (OSError, RuntimeError):  # read-only, or a user without a home
        return None
    own = stat.S_ISDIR(known.st_mode) and known.st_uid == os.geteuid()
    return found if own and not known.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else None


def fingerprint(plain: types.FunctionType, options: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """The same for functions that compile to the same: code, options, and what their global names stand for.

    `parts` are the fingerprints of the kernels among these.
    """
    code, known = plain.__code__, plain.__globals__
    values = [f"{name}={parts.get(name) or _shown(known[name])}" for name in _names(code) if name in known]
    return _digest(plain.__qualname__, *_code(code), repr(plain.__defaults__), repr(_sorted(options)), *values)


def _names(code: types.CodeType) -> list[str]:
    inner = [name for value in code.co_consts if isinstance(value, types.CodeType) for name in _names(value)]
    return sorted({*code.co_names, *inner})


def _code(code: types.CodeType) -> list[str]:
    consts = [part for value in code.co_consts for part in (_code(value) if isinstance(value, types.CodeType)
                                                           else [repr(value)])]  # fmt: skip
    return [code.co_code.hex(), repr((code.co_names, code.co_varnames, code.co_freevars)), *consts]


def _shown(value: object) -> str:
    """Constants as bytes; of modules, classes and functions the name, since they come with a library's version."""
    if isinstance(value, NAMED):
        return f"{getattr(value, '__module__', '')}.{value.__name__}"
    return pickle.dumps(value, protocol=4).hex()


def _sorted(options: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, sorted(value) if isinstance(value, set) else value) for name, value in sorted(options.items())]


@cache
def _versions() -> tuple[str, ...]:
    libraries = [version(name) for name in ("numba", "llvmlite", "numpy")]
    return (*libraries, str(sys.implementation.cache_tag), platform.machine(), platform.system())


def _user_caches() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given) if given and Path(given).is_absolute() else Path.home() / ".cache"


def _digest(*values: str) -> str:
    return hashlib.sha256("\0".join(values).encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
