"""A mapping that can be the value of a stage's setting: equal by its items, hashable, never changed."""

from collections.abc import Callable
from typing import Any, NoReturn


class Frozen(dict[str, Any]):
    """An immutable mapping of hashable values; for YAML, JSON and `dataclasses.asdict` it is a plain mapping.

    >>> hash(Frozen(a=1, b=2)) == hash(Frozen(b=2, a=1))
    True
    """

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type["Frozen"], tuple[dict[str, Any]]]:
        return Frozen, (dict(self),)

    def _refuse(self, *values: object, **named: object) -> NoReturn:
        raise TypeError("a setting cannot be changed: make the stage anew")

    __setitem__: Callable[..., NoReturn] = _refuse
    __delitem__: Callable[..., NoReturn] = _refuse
    __ior__: Callable[..., NoReturn] = _refuse
    clear: Callable[..., NoReturn] = _refuse
    pop: Callable[..., NoReturn] = _refuse
    popitem: Callable[..., NoReturn] = _refuse
    setdefault: Callable[..., NoReturn] = _refuse
    update: Callable[..., NoReturn] = _refuse
