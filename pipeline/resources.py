"""The section `resources`: what a task of a stage needs of a node. It enters no hash and moves no data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.sections import build, check_keys, shown
from stages.contract import setting
from stages.errors import ConfigError

GB = 1_000_000_000


@dataclass(frozen=True)
class Needs:
    """What one task needs of the node that it runs on."""

    cpus: int = setting(1, "cores of a task", operational=True)
    gpus: float = setting(0.0, "GPUs of a task; 0.5: two tasks share one", operational=True)
    memory_gb: float = setting(0.0, "memory of a task (GB); 0: not looked at", operational=True)

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= 1024:
            raise ConfigError(f"resources: found cpus: {self.cpus}, expected 1 to 1024")
        if not 0 <= self.gpus <= 64 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ConfigError(f"resources: found gpus: {self.gpus}, expected 0, a share such as 0.5, or a whole number")
        if not 0 <= self.memory_gb <= 100_000:
            raise ConfigError(f"resources: found memory_gb: {self.memory_gb}, expected 0 to 100,000")

    def __str__(self) -> str:
        amounts = ((self.cpus, "CPU"), (self.gpus, "GPU"), (self.memory_gb, "GB"))
        return ", ".join(f"{amount:g} {unit}" for amount, unit in amounts if amount)


@dataclass(frozen=True)
class Job:
    """What an engine is told of the tasks that it runs: their name, for people, and what each of them needs."""

    name: str = ""
    needs: Needs = field(default_factory=Needs)


def together(needs: Iterable[Needs]) -> Needs:
    """The needs of stages that one process runs one after the other, with the models of all of them in memory.

    >>> str(together([Needs(cpus=2, memory_gb=1), Needs(gpus=1, memory_gb=4)]))
    '2 CPU, 1 GPU, 5 GB'
    """
    all_ = [Needs(), *needs]
    return Needs(max(need.cpus for need in all_), max(need.gpus for need in all_), sum(need.memory_gb for need in all_))


def build_resources(values: Any, names: Iterable[str]) -> Mapping[str, Needs]:
    """The section of a configuration: name of a stage, or `read` or `write`, to its needs. Raises ConfigError."""
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"resources: found {shown(values)}, expected a mapping, such as {{rating: {{gpus: 1}}}}")
    check_keys("resources", values, ["read", *names, "write"])
    return {name: build(Needs, given, f"resources.{name}") for name, given in values.items()}
