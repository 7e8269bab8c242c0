"""The plan of a run: frozen data that says what will be done, not how. Equal hashes mean equal results."""

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from pipeline.config import RunConfig
from pipeline.credentials import without_credentials
from pipeline.documents import PROVENANCE, RESERVED
from pipeline.listing import Listed, check_fields, list_inputs
from stages.contract import Stage, has_survey, is_context_stage, is_group, values_of
from stages.errors import ConfigError
from stages.model_files import sha256_of

LIBRARIES = {"warc": ("fastwarc", "resiliparse")}
"""Libraries beside pyarrow that decide what a format's records are."""
PACK = "pack"
"""The stage whose columns say what each context holds."""
CODE_VERSION = "4"
"""Changed whenever reading or writing would give other bytes for the same input."""


@dataclass(frozen=True)
class Step:
    """One step of a run: `read`, a stage, or `write`."""

    index: int
    name: str
    hash: str
    """Of the settings that shape its content, its code version, its models' checksums, and the step before it."""
    stage: Stage | None = None

    @property
    def directory(self) -> str:
        """Where its shards lie, relative to the run directory."""
        return f"steps/{self.index:02d}-{self.name}-{self.hash}"


@dataclass(frozen=True)
class Plan:
    """All steps of a run, in order, and the files it reads."""

    config: RunConfig
    inputs: tuple[Listed, ...]
    read: Step
    batch: tuple[Step, ...]
    write: Step
    after: tuple[Step, ...] = ()
    """Those that work on packed contexts."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step in order."""
        return (self.read, *self.batch, self.write, *self.after)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that decide what the stages answer."""
        return tuple(name for stage in self.config.stages for name in stage.libraries)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the shards that the run writes."""
        return pa.schema([*RESERVED, *(field for step in self.batch if step.stage for field in step.stage.adds)])


def make_plan(config: RunConfig) -> Plan:
    """List the input, look into it, and hash every step. Raises ConfigError, InputError or ModelError."""
    _check_chain(config.stages)
    inputs = list_inputs(config.input)
    check_fields(config.input, inputs)
    read = Step(0, "read", digest(_read_facts(config, inputs)))
    batch: list[Step] = []
    upstream = read.hash
    for index, stage in enumerate((s for s in config.stages if not is_context_stage(s)), 1):
        step = Step(index, stage.name, digest(_stage_facts(stage, upstream, config.seed)), stage)
        batch.append(step)
        upstream = digest({"step": step.hash, "thresholds": values_of(stage, filter=True)})
    shards = {"text_mb": config.shards.text_mb, "row_group_mb": config.shards.row_group_mb}
    write = Step(
        len(batch) + 1,
        "write",
        digest({"version": CODE_VERSION, "pyarrow": _versions(["pyarrow"]), "upstream": upstream, "shards": shards}),
    )
    return Plan(config, tuple(inputs), read, tuple(batch), write, _context_steps(config, upstream, len(batch) + 2))


def _context_steps(config: RunConfig, upstream: str, first: int) -> tuple[Step, ...]:
    """The steps after the documents are written; what contexts hold depends on the stages alone, not on the shards."""
    found = (stage for stage in config.stages if is_context_stage(stage))
    return tuple(
        Step(index, stage.name, digest(_stage_facts(stage, upstream, config.seed) | {"seed": config.seed}), stage)
        for index, stage in enumerate(found, first)
    )


def changed_inputs(plan: Plan) -> list[str]:
    """Files that are no longer what the plan listed."""
    now = {item.file.url: item for item in list_inputs(plan.config.input)}
    return [item.file.url for item in plan.inputs if now.get(item.file.url) != item]


def digest(facts: Mapping[str, object]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of canonical JSON.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def checksum(path: Path) -> str:
    """SHA-256 of a model file; read once per process for the same size and time of change."""
    status = path.stat()
    return _checksum(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _checksum(path: Path, size: int, mtime_ns: int) -> str:
    return sha256_of(path)


def _read_facts(config: RunConfig, inputs: list[Listed]) -> dict[str, object]:
    settings = config.input
    return {
        "version": CODE_VERSION,
        "libraries": _versions(("pyarrow", *(name for item in inputs for name in LIBRARIES.get(item.file.format, ())))),
        "files": [(without_credentials(item.file.url), item.file.format, item.file.size, item.mark) for item in inputs],
        "names": (settings.text, settings.id, settings.source),
        "max_document_mb": settings.max_document_mb,
        "split_mb": min(settings.split_mb, config.shards.text_mb),
        "limit": config.limit,
    }


def _stage_facts(stage: Stage, upstream: str, seed: int) -> dict[str, object]:
    return {
        **({"seed": seed} if has_survey(stage) else {}),
        "name": stage.name,
        "version": stage.version,
        "models": {role: checksum(path) for role, path in stage.models().items()},
        "libraries": _versions(stage.libraries),
        "settings": values_of(stage, filter=False),
        "upstream": upstream,
    }


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions of the libraries that decide a step's content; a step never mixes what two versions said."""
    versions = {}
    for name in sorted(set(libraries)):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise ConfigError(f"the package {name} is needed, and is not installed: pip install {name}") from None
    return versions


def check_columns(stage: Stage, where: str) -> None:
    """Raise ConfigError for a survey or group stage that reads what documents say.

    What it reads may get into its state, which is written down and shown; and a text is too large to gather.
    """
    said = [name for name in ("text", "metadata") if name in stage.reads]
    if has_survey(stage) and said:
        kind = "group" if is_group(stage) else "survey"
        raise ConfigError(
            f"{where}: a {kind} stage cannot read '{said[0]}', which is too large to gather, and is never to be shown: "
            "choose another column, or mend its `reads`"
        )


def remedy(stage: Stage, column: str) -> str:
    """What to do about a column that is not there, as the stage says it."""
    remedies: Mapping[str, str] = getattr(stage, "remedies", {})
    return remedies.get(column, "run a stage before it that adds it")


def _check_chain(stages: tuple[Stage, ...]) -> None:
    """Each stage once, and each column that one reads was added before it (or, for a survey, is known of the input).

    No text is gathered."""
    _check_context_stages(stages)
    known = set(RESERVED.names)
    ours = {*PROVENANCE.names, "row", "keep", "dropped_by", "drop_reason"}
    for index, stage in enumerate(stages):
        where = f"stages[{index}].{stage.name}"
        given = known | set(PROVENANCE.names) if has_survey(stage) else known
        check_columns(stage, where)
        if missing := [name for name in stage.reads if name not in given]:
            raise ConfigError(
                f"{where}: needs the column '{missing[0]}', which no stage before it adds: {remedy(stage, missing[0])}"
            )
        if taken := [name for name in stage.adds.names if name in known | ours]:
            raise ConfigError(f"{where}: adds the column '{taken[0]}', which is taken: chain each stage once")
        known.update(stage.adds.names)


def _check_context_stages(stages: tuple[Stage, ...]) -> None:
    """Raise ConfigError for a stage that works on contexts where there are none, or for one behind that drops more."""
    names = [stage.name for stage in stages]
    for index, stage in enumerate(stages):
        if not is_context_stage(stage):
            continue
        where = f"stages[{index}].{stage.name}"
        if PACK not in names[:index]:
            raise ConfigError(
                f"{where}: works on packed contexts, and no stage before it makes them: put {PACK} before it"
            )
        if not getattr(stages[names.index(PACK)], "input_ids", True):
            raise ConfigError(f"{where}: needs the tokens of the contexts: set {PACK}.input_ids to true")
        if names.count(stage.name) > 1:
            raise ConfigError(f"{where}: chain each stage once")
        if any(not is_context_stage(other) for other in stages[index:]):
            raise ConfigError(f"{where}: works on packed contexts, which all other stages precede: put it last")
    for stage in stages[names.index(PACK) + 1 :] if PACK in names else ():
        if not is_context_stage(stage):
            raise ConfigError(
                f"stages[{names.index(stage.name)}].{stage.name}: contexts are made of all documents that {PACK} saw: "
                f"put it before {PACK}"
            )
