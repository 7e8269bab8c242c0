"""One dataclass of the mapping that a section of the YAML is: what is wrong is named, with the remedy."""

import dataclasses
import difflib
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from pipeline.yaml_files import redacted
from stages.errors import ConfigError

Section = TypeVar("Section")
_WORDS = {
    "Input should be a valid tuple": "expected a list, such as [one, two]",
    "Input should be a valid dictionary": "expected a mapping, such as {name: 1.0}",
    "Input should be": "expected",
}


def build(section: type[Section], values: Any, where: str) -> Section:
    """One dataclass of the mapping `values` (None: all defaults). Raises ConfigError naming the key below `where`."""
    import pydantic

    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: found {shown(values, where)}, expected a mapping of settings")
    fields = {f.name: f for f in dataclasses.fields(cast(Any, section))}
    check_keys(where, values, list(fields))
    for name, found in values.items():
        _no_boolean(f"{where}.{name}", fields[name].type, found)
    try:
        return pydantic.TypeAdapter(section).validate_python(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        if isinstance(own := first.get("ctx", {}).get("error"), ConfigError):
            raise own from None
        name = str(first["loc"][0]) if first["loc"] else ""
        if name in fields and (expected := fields[name].metadata.get("expected")):
            key, found, told = f"{where}.{name}", values[name], f", expected {expected}"
        else:
            key, found = ".".join(str(part) for part in (where, *first["loc"])), first["input"]
            told = f"; {_plainly(first['msg'])}"
        raise ConfigError(f"{key}: found {shown(found, name)}{told}{_yaml_hint(found)}") from None


def check_keys(where: str, values: dict[str, Any], names: Sequence[str]) -> None:
    """Raise ConfigError, with the nearest name, for a key that is none of `names`."""
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else "."
            full = f"{where}.{key}" if where else str(key)
            raise ConfigError(f"{redacted(full)}: no such key{hint} Known: {', '.join(names)}")


def shown(value: object, key: str = "") -> str:
    """A value as a message shows it; a URL may hold a password."""
    return f"a {type(value).__name__}" if key.endswith("url") else redacted(repr(value))


def _no_boolean(key: str, kind: object, found: object) -> None:
    """Pydantic takes True for 1; of a mapping (name -> number), keys are looked at, too."""
    if kind in (int, float) and isinstance(found, bool):
        raise ConfigError(f"{key}: found {found}, expected a number{_yaml_hint(found)}")
    for name, value in found.items() if isinstance(found, dict) else ():
        if not isinstance(name, str):
            raise ConfigError(f"{key}: found the key {name!r}, expected a name{_yaml_hint(name) or ': quote it'}")
        if isinstance(value, bool) and "bool" not in str(kind):
            raise ConfigError(f"{key}.{name}: found {value}, expected a number{_yaml_hint(value)}")


def _plainly(message: str) -> str:
    """Pydantic's message in the words of YAML."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def _yaml_hint(value: object) -> str:
    return " (YAML reads bare no, yes, on and off as booleans: quote them)" if isinstance(value, bool) else ""
