"""YAML as Tamis reads it: safe, and strict about what plain YAML lets pass."""

import re
from pathlib import Path
from typing import Any

import yaml

from stages.errors import ConfigError

_CREDENTIALS = re.compile(r"//[^\s'\"]*@")


class _Strict(yaml.SafeLoader):
    """Refuses a key that a mapping has twice; plain YAML keeps the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise ConfigError(f"line {line}: found a list or a mapping as a key, expected a name")
            if isinstance(key, str) and key in seen:
                raise ConfigError(f"line {line}: the key '{key}' is there twice: keep one")
            seen.add(key if isinstance(key, str) else None)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The value of a YAML file. Raises ConfigError if there is none, it is no YAML, or a key is there twice."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(redacted(f"cannot read {path} as YAML: {error}")) from None


def parse_value(override: str, text: str) -> Any:
    """The value of `--set key=value`. Raises ConfigError if it is no YAML."""
    try:
        return yaml.load(text, Loader=_Strict)
    except (ConfigError, yaml.YAMLError) as error:
        key = override.partition("=")[0].strip()
        if key.endswith("url"):  # it may hold a password
            raise ConfigError(f"--set {key}: the value is no YAML: quote it") from None
        raise ConfigError(redacted(f"--set {override}: {error}")) from None


def redacted(message: str) -> str:
    """A message without the user and password of URLs.

    >>> redacted("found 'http://me:secret@host/v1'")
    "found 'http://...@host/v1'"
    """
    return _CREDENTIALS.sub("//...@", message)
