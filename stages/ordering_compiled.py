"""Kernels: functions of arrays that numba compiles at their first call, so that importing them costs nothing.

Numba resolves what a kernel calls at compile time, by looking into the function's globals. Here it finds other kernels
as they were written, not compiled; so a kernel is compiled from a twin of itself whose globals hold the compiled ones.
What was compiled is kept on disk, see `ordering_cache`.
"""

import types
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast

from stages.ordering_cache import Files, fingerprint, folder

Given = ParamSpec("Given")
Found = TypeVar("Found")


class Kernel(Generic[Given, Found]):
    """A function that is compiled when it is first called; `plain` is the function itself, for tests."""

    def __init__(self, plain: Callable[Given, Found], options: dict[str, Any]) -> None:
        self.plain = plain
        self.options = options
        update_wrapper(self, plain)

    @cached_property
    def compiled(self) -> Any:
        """The dispatcher of numba; raises ImportError if numba is not installed."""
        import numba

        code, known = self.plain.__code__, self.plain.__globals__
        kernels = {name: value.compiled for name, value in self.parts.items()}
        twin = types.FunctionType(code, known | kernels, code.co_name, self.plain.__defaults__)
        dispatcher = numba.njit(twin, **self.options)
        if (at := folder()) is not None:
            dispatcher._cache = Files(at, self.fingerprint)
        return dispatcher

    @property
    def parts(self) -> "dict[str, Kernel[Any, Any]]":
        """The kernels that this one calls, by the names that it has for them."""
        named = {name: self.plain.__globals__.get(name) for name in self.plain.__code__.co_names}
        return {name: value for name, value in named.items() if isinstance(value, Kernel)}

    @cached_property
    def fingerprint(self) -> str:
        """The same for kernels that compile to the same."""
        parts = {name: value.fingerprint for name, value in self.parts.items()}
        return fingerprint(cast(types.FunctionType, self.plain), self.options, parts)

    def __call__(self, *given: Given.args, **named: Given.kwargs) -> Found:
        """Compile at the first call, and call."""
        found: Found = self.compiled(*given, **named)
        return found


def kernel(plain: Callable[Given, Found]) -> Kernel[Given, Found]:
    """Let numba compile a function when it is first called.

    >>> @kernel
    ... def double(value: int) -> int:
    ...     return 2 * value
    >>> double(21), double.plain(21)
    (42, 42)
    """
    return Kernel(plain, {"nogil": True})


def exact_sums(plain: Callable[Given, Found]) -> Kernel[Given, Found]:
    """The same for sums of whole numbers below 2**53: they may be taken in any order, so they are vectorised."""
    return Kernel(plain, {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}})
