"""Conditions on the fields of a record, as written on the command line: `label=toxic`, `metadata.score>=0.8`."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence

import orjson

from stages.errors import ConfigError

Condition = Callable[[Mapping[str, object]], bool]

_PATTERN = re.compile(r"([^=!<>]+?)\s*(>=|<=|!=|=|>|<)\s*(.*)", re.DOTALL)
_ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_ABSENT = object()


def parse_conditions(texts: Sequence[str]) -> Condition:
    """One condition that holds where all of `texts` do. A field that is absent satisfies none of them.

    `=` and `!=` compare numbers as numbers and all else as text (`true`, `false` and `null` as in JSON); the others
    compare numbers only. A dot leads into an object, also one that is written as JSON in a string.

    >>> parse_conditions(["label=toxic", "meta.score>0.5"])({"label": "toxic", "meta": {"score": 0.7}})
    True

    Raises ConfigError if a condition cannot be read.
    """
    conditions = [_parse(text) for text in texts]
    return lambda fields: all(condition(fields) for condition in conditions)


def _parse(text: str) -> Condition:
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise ConfigError(f"--where {text}: expected a field, one of = != >= <= > <, and a value, such as label=toxic")
    path, sign, wanted = match[1].strip().split("."), match[2], match[3]
    if sign in ("=", "!="):
        return lambda fields: (found := _find(fields, path)) is not _ABSENT and _same(found, wanted) is (sign == "=")
    bound = _number(wanted)
    if bound is None:
        raise ConfigError(f"--where {text}: found '{wanted}', expected a number after {sign}")
    holds = _ORDERS[sign]
    return lambda fields: (value := _number(_find(fields, path))) is not None and holds(value, bound)


def _find(fields: Mapping[str, object], path: Sequence[str]) -> object:
    value: object = fields
    for part in path:
        value = _opened(value)
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _opened(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _same(found: object, wanted: str) -> bool:
    if isinstance(found, str):
        return found == wanted
    if isinstance(found, bool) or found is None:
        return {True: "true", False: "false", None: "null"}[found] == wanted
    return _number(found) == _number(wanted) if isinstance(found, int | float) else False


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
