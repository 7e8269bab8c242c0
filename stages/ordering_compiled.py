"""Kernels: functions of arrays that numba compiles at their first call, so that importing them costs nothing.

Numba resolves what a kernel calls at compile time, by looking into the function's globals. Here it finds other kernels
as they were written, not compiled; so a kernel is compiled from a twin of itself whose globals hold the compiled ones.
"""

import types
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

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

        names = self.plain.__code__.co_names
        known: dict[str, Any] = self.plain.__globals__
        kernels = {name: value.compiled for name in names if isinstance(value := known.get(name), Kernel)}
        code = self.plain.__code__
        twin = types.FunctionType(code, known | kernels, code.co_name, self.plain.__defaults__)
        return numba.njit(twin, **self.options)

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
