"""The stages of Tamis: one module each, named as in the YAML, with the algorithms they use as pure functions."""

import difflib
import importlib
from typing import TYPE_CHECKING, cast

from stages.errors import ConfigError

if TYPE_CHECKING:
    from stages.contract import Stage

NAMES: tuple[str, ...] = (
    "dedup", "language", "perplexity", "rating", "tokens", "select", "embed", "order", "pack", "mixture",
)  # fmt: skip
"""All stages, in the order in which a run usually chains them."""


def stage_class(name: str) -> "type[Stage]":
    """The dataclass of the stage `name`: `language` -> `stages.language.Language`.

    Raises ConfigError, with the nearest name, if there is no such stage.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"there is no stage '{name}'{hint} The stages are: {', '.join(NAMES)}")
    module = importlib.import_module(f"stages.{name}")
    return cast("type[Stage]", getattr(module, name.capitalize()))
