"""Which thresholds `tamis what-if` changes, and the refusal of what is no threshold."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import __version__
from pipeline.config import RunConfig, build_config, override_value
from stages.contract import Stage, is_context_stage, settings_of
from stages.errors import ConfigError


@dataclass(frozen=True)
class Changed:
    """A chain with other thresholds."""

    stages: tuple[Stage, ...]
    """Those that work on documents, as they would be."""
    settings: Mapping[int, Mapping[str, tuple[Any, Any]]]
    """Place of a stage -> threshold -> its value in the run, and the other one; stages with others alone."""

    @property
    def named(self) -> dict[str, tuple[Any, Any]]:
        """Threshold, as `--set` names it -> both values."""
        return {f"{self._key(at)}.{name}": both for at, found in self.settings.items() for name, both in found.items()}

    def _key(self, place: int) -> str:
        name = self.stages[place].name
        several = [stage.name for stage in self.stages].count(name) > 1
        return f"stages.{place}.{name}" if several else name


def changed_settings(config: Mapping[str, Any], overrides: Sequence[str]) -> Changed:
    """The chain of a run's configuration under `key=value` overrides.

    Raises ConfigError for a key or value that is wrong, and for a setting that is no threshold.
    """
    if not overrides:
        raise ConfigError("what-if: found no --set, expected a threshold, such as --set language.min_score=0.8")
    plain = {key: value for key, value in config.items() if key != "limit"}
    before, other = _as_it_was(plain), copy.deepcopy(plain)
    for override in overrides:
        override_value(other, override)
    after = build_config(other)
    _check_sections(before, after)
    pairs = enumerate(zip(before.stages, after.stages, strict=True))
    settings = {place: found for place, (was, now) in pairs if (found := _differing(was, now))}
    return Changed(tuple(stage for stage in after.stages if not is_context_stage(stage)), settings)


def _as_it_was(plain: dict[str, Any]) -> RunConfig:
    try:
        return build_config(plain)
    except ConfigError as error:
        raise ConfigError(
            f"what-if: the run was made by another version of Tamis, whose settings this one ({__version__}) does not "
            f"take: {error}. Look at it with that version, or run it again with this one"
        ) from error


def _check_sections(before: RunConfig, after: RunConfig) -> None:
    for name in ("input", "output", "seed", "shards"):
        if getattr(before, name) != getattr(after, name):
            raise ConfigError(f"what-if: '{name}' holds no threshold: change it in the configuration and run it")


def _differing(was: Stage, now: Stage) -> dict[str, tuple[Any, Any]]:
    found = {}
    for info in settings_of(was):
        values = getattr(was, info.name), getattr(now, info.name)
        if values[0] == values[1]:
            continue
        if not info.filter:
            thresholds = ", ".join(other.name for other in settings_of(was) if other.filter) or "none"
            raise ConfigError(
                f"what-if: {was.name}.{info.name} is no threshold: it changes the scores themselves, so the documents "
                f"must be read again, by `tamis run`. Thresholds of {was.name}: {thresholds}"
            )
        found[info.name] = values
    return found
