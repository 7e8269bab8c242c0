"""A run with the group stage `Ranks` in a process of its own: `python -m tests.exchange_run OUTPUT WORKERS FILE...`."""

import sys
from pathlib import Path

from rich.console import Console

from pipeline import exchange_tasks
from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines import Engine
from pipeline.engines.local import LocalEngine
from pipeline.manifest import Finished
from pipeline.run import run
from tests.tiny import Above, Length, Ranks

TASK_BYTES = 4000
"""So that there are many tasks."""


def config(paths: list[Path], output: Path | str) -> RunConfig:
    """A group stage between a batch stage and a survey."""
    settings = InputConfig(tuple(str(path) for path in paths), split_mb=0.05)
    chain = (Length(least=30), Ranks(parts=300, rounds=1), Above())
    return RunConfig(settings, str(output), chain, ShardsConfig(text_mb=0.3))


def go(made: RunConfig, engine: Engine | None = None) -> Finished:
    """The finished run, on a local engine of one worker by default."""
    return run(made, engine or LocalEngine(1), Console(quiet=True))


if __name__ == "__main__":
    exchange_tasks.TASK_BYTES = TASK_BYTES
    with LocalEngine(int(sys.argv[2])) as pool:
        go(config([Path(name) for name in sys.argv[3:]], Path(sys.argv[1])), pool)
