"""The configuration of a run: one YAML file, each section a frozen dataclass, strict about keys and types."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import stages
from pipeline.credentials import cleaned
from pipeline.formats import FORMATS, FieldNames
from pipeline.resources import Needs, build_resources
from pipeline.sections import build, check_keys, shown
from pipeline.yaml_files import parse_value, read_yaml, redacted
from stages.contract import Stage, setting
from stages.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """What to read."""

    paths: tuple[str, ...] = setting((), "files, globs or fsspec URLs; relative to the working directory")
    format: str = setting("auto", f"auto (by the file's name) or one of {', '.join(FORMATS)}")
    text: str = setting("text", "field that holds the text")
    id: str = setting("id", "field that holds the id; documents without one get a hash of place and text")
    source: str = setting("source", "field that holds the source; documents without one get their file's name")
    max_document_mb: float = setting(32.0, "records with more text (MB of UTF-8) are quarantined")
    max_bad_fraction: float = setting(0.01, "the run stops when more than this share of records is unreadable")
    split_mb: float = setting(64.0, "work is cut into pieces of about this size (MB)")

    def __post_init__(self) -> None:
        if self.format not in ("auto", *FORMATS):
            raise ConfigError(f"input.format: found '{self.format}', expected auto or one of {', '.join(FORMATS)}")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ConfigError(f"input.max_bad_fraction: found {self.max_bad_fraction}, expected 0 to 1")
        for name in ("max_document_mb", "split_mb"):
            _positive(f"input.{name}", getattr(self, name))

    @property
    def names(self) -> FieldNames:
        """The field names that the user set."""
        return FieldNames(self.text, self.id, self.source)


@dataclasses.dataclass(frozen=True)
class ShardsConfig:
    """How to write the result."""

    text_mb: float = setting(256.0, "a shard holds about this much text (MB of UTF-8)")
    row_group_mb: float = setting(64.0, "a row group holds at most this much text (MB of UTF-8)")

    def __post_init__(self) -> None:
        for name in ("text_mb", "row_group_mb"):
            _positive(f"shards.{name}", getattr(self, name))


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A whole run."""

    input: InputConfig
    output: str
    stages: tuple[Stage, ...]
    shards: ShardsConfig = dataclasses.field(default_factory=ShardsConfig)
    seed: int = 0
    limit: int = 0
    """Read at most this many documents, spread over the input files (0: all). Set by `--limit` alone."""
    resources: Mapping[str, Needs] = dataclasses.field(default_factory=dict)
    """What the tasks of a stage need, by its name."""


MOST_LIMIT = 1_000_000_000
"""The limit is a look at some documents."""
TOP_LEVEL = ("input", "output", "seed", "stages", "shards", "resources")


def load_config(path: str | Path, overrides: Sequence[str] = (), limit: int = 0) -> RunConfig:
    """Read a YAML file and apply `key=value` overrides, such as `input.split_mb=16` or `language.min_score=0.8`.

    Raises ConfigError for whatever is wrong: the file, a key, a type, a value.
    """
    raw = _read_yaml(Path(path))
    for override in overrides:
        override_value(raw, override)
    return _limited(build_config(raw), limit)


def build_config(raw: dict[str, Any]) -> RunConfig:
    """The configuration of plain YAML values. Raises ConfigError."""
    check_keys("", raw, TOP_LEVEL)
    for key in ("input", "output"):
        if key not in raw:
            raise ConfigError(f"the configuration has no '{key}': add it (see configs/quickstart.yaml)")
    return RunConfig(
        input=build(InputConfig, raw["input"], "input"),
        output=_string("output", raw["output"]),
        stages=tuple(_stage(i, entry) for i, entry in enumerate(_stage_list(raw))),
        shards=build(ShardsConfig, raw.get("shards"), "shards"),
        seed=_integer("seed", raw.get("seed", 0)),
        resources=build_resources(raw.get("resources"), stages.NAMES),
    )


def as_plain(config: RunConfig) -> dict[str, Any]:
    """The configuration with every default filled in, as values for YAML and JSON, without credentials."""
    plain = {
        "input": _plain(config.input),
        "output": config.output,
        "seed": config.seed,
        "stages": [{stage.name: _plain(stage)} for stage in config.stages],
        "shards": _plain(config.shards),
        **({"limit": config.limit} if config.limit else {}),
        **({"resources": {n: _plain(need) for n, need in config.resources.items()}} if config.resources else {}),
    }
    return cast(dict[str, Any], cleaned(plain))


def _plain(section: Any) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in dataclasses.asdict(section).items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _limited(config: RunConfig, limit: int) -> RunConfig:
    """A look at a few documents has a run directory of its own, so that it never touches a finished run."""
    if limit > MOST_LIMIT:
        raise ConfigError(f"--limit: found {limit}, expected at most {MOST_LIMIT:,}: leave it out to read everything")
    if limit <= 0:
        return config
    return dataclasses.replace(config, limit=limit, output=f"{config.output.rstrip('/')}.limit-{limit}")


def _read_yaml(path: Path) -> dict[str, Any]:
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping with the keys {', '.join(TOP_LEVEL)}")
    return raw


def _stage_list(raw: dict[str, Any]) -> list[Any]:
    found = raw.get("stages") or []
    if not isinstance(found, list):
        raise ConfigError(f"stages: found {shown(found)}, expected a list, such as '- language: {{min_score: 0.5}}'")
    return found


def _stage(index: int, entry: Any) -> Stage:
    """One entry of `stages`: `- language` or `- language: {settings}`."""
    where = f"stages[{index}]"
    if isinstance(entry, str):
        entry = {entry: None}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ConfigError(f"{where}: found {shown(entry)}, expected one stage name with its settings")
    ((name, values),) = entry.items()
    return build(stages.stage_class(str(name)), values, f"{where}.{name}")


def override_value(raw: dict[str, Any], override: str) -> None:
    """Apply one `key=value` to a configuration as plain values, in place. Raises ConfigError."""
    _assign(raw, _absolute(raw, _key_of(override).split(".")), override)


def stage_values(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The settings of a stage alone, by overrides such as `key=value`, `stage.key=value` or `weights.accuracy=1`."""
    values: dict[str, Any] = {}
    for override in overrides:
        _assign(values, _key_of(override).removeprefix(f"{name}.").split("."), override)
    return values


def _assign(values: dict[str, Any], path: Sequence[Any], override: str) -> None:
    """Set the value of an override at a path of keys. Raises ConfigError if there is no such place."""
    target: Any = values
    try:
        for part in path[:-1]:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
        target[path[-1]] = parse_value(override, override.partition("=")[2])
    except TypeError as error:
        raise ConfigError(redacted(f"--set {override}: {error}")) from error


def _key_of(override: str) -> str:
    key, equals, _ = override.partition("=")
    if not equals:
        raise ConfigError(redacted(f"--set {override}: expected key=value, such as language.min_score=0.8"))
    return key.strip()


def _absolute(raw: dict[str, Any], path: list[str]) -> list[Any]:
    """The path of an override from the root: `stage.key` means the stage of that name, and `stages.2.stage.key` the one
    at that place, counted from 0, where the chain has several of the name."""
    placed = path[0] == "stages" and len(path) > 3
    if len(path) < 2 or (path[0] in TOP_LEVEL and not placed):
        return path
    chain, (name, *keys) = _stage_list(raw), path[2:] if placed else path
    places = [
        place for place, entry in enumerate(chain) if entry == name or (isinstance(entry, dict) and name in entry)
    ]
    if not (meant := [place for place in places if not placed or str(place) == path[1]]):
        raise _no_stage(".".join(path[:3]) if placed else name, chain, path)
    place = _one_place(meant, name, path)
    entry = chain[place]
    chain[place] = {name: (entry[name] if isinstance(entry, dict) else None) or {}}
    return ["stages", place, name, *keys]


def _no_stage(name: str, chain: list[Any], path: list[str]) -> ConfigError:
    names = [str(key) for entry in chain for key in (entry if isinstance(entry, dict) else [entry])]
    near = difflib.get_close_matches(name, [*TOP_LEVEL, *names], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return ConfigError(
        f"--set {'.'.join(path)}: '{name}' is neither a section nor a stage of this configuration{hint} Its stages: "
        f"{', '.join(dict.fromkeys(names)) or 'none'}"
    )


def _one_place(places: list[int], name: str, path: list[str]) -> int:
    """The one place that an override means. Raises ConfigError if there are more."""
    key = ".".join(path)
    if len(places) > 1:
        several = " or ".join(f"stages.{place}.{key}" for place in places)
        raise ConfigError(f"--set {key}: found {len(places)} stages '{name}', expected one of them: --set {several}")
    return places[0]


def _positive(key: str, value: float) -> None:
    if not 1e-6 <= value < float("inf"):
        raise ConfigError(f"{key}: found {value}, expected a number of at least 0.000001 (one byte)")


def _string(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key}: found {shown(value)}, expected a path or URL")
    return value


def _integer(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{key}: found {shown(value)}, expected a whole number")
    return value
