"""What a mixture is estimated of, where, and what is said of it."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from pipeline.data.contexts import INPUT_IDS, ParquetContexts
from pipeline.plan import digest
from pipeline.proxy.checkpoint import Folder
from pipeline.proxy.ranks import Ranks
from pipeline.proxy.watch import Watch
from stages.errors import ConfigError
from stages.mixture import Mixture
from stages.mixture_task import Task

_LOOKED_AT = 64


@dataclasses.dataclass(frozen=True)
class Contexts:
    """The contexts that a mixture is of."""

    groups: Mapping[str, ParquetContexts]
    tokenizer: str
    """Id of the tokenizer that made them."""
    length: int
    """Tokens of a context."""
    seed: int = 0

    @property
    def checksums(self) -> dict[str, str]:
        """Of each group's files."""
        return {name: source.checksum for name, source in self.groups.items()}

    @property
    def counts(self) -> dict[str, int]:
        """Contexts of each group."""
        return {name: len(source) for name, source in self.groups.items()}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where it is done."""

    folder: Folder
    watch: Watch
    ranks: Ranks = dataclasses.field(default_factory=Ranks)


@dataclasses.dataclass
class Estimated:
    """What a mixture log says of itself alone does not: how it was estimated."""

    estimator: str
    replay: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What a user should know of the groups and of the proxy."""
    run_out: list[str] = dataclasses.field(default_factory=list)
    """Groups that reach max_epochs, and where."""
    proxy: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Of the proxy, if one was trained: parameters, tokens spent, losses over its steps."""


def longest(groups: Mapping[str, ParquetContexts]) -> int:
    """Tokens of the longest of each group's first contexts: what a context holds at most, where nothing says so."""
    rows = [row for source in groups.values() for row in source.rows(0, min(len(source), _LOOKED_AT))]
    return max((len(row[INPUT_IDS]) for row in rows), default=1)


def task_of(settings: Mixture, contexts: Contexts) -> Task:
    """The whole run as a task, in contexts: a step is one context."""
    samples = settings.tokens // contexts.length if settings.tokens else sum(contexts.counts.values())
    if settings.tokens and not samples:
        raise ConfigError(
            f"mixture.tokens: found {settings.tokens:,}, less than one context of {contexts.length:,} tokens"
        )
    return Task(contexts.counts, max(samples, 1), 1, contexts.seed, settings.objective, settings.max_epochs)


def config_of(settings: Mixture, contexts: Contexts) -> str:
    """The checksum of everything that the mixture depends on."""
    return digest(
        {
            "version": Mixture.version,
            "settings": dataclasses.asdict(settings),
            "libraries": {name: importlib.metadata.version(name) for name in settings.libraries},
            "contexts": contexts.checksums,
            "tokenizer": contexts.tokenizer,
            "length": contexts.length,
            "seed": contexts.seed,
        }
    )
