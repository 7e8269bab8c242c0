"""A run with `Rater` and `Select` in a process of its own: `python -m tests.select_run OUTPUT WORKERS FILE...`."""

import sys
from pathlib import Path

from rich.console import Console

from pipeline.config import InputConfig, RunConfig, ShardsConfig
from pipeline.engines import Engine
from pipeline.engines.local import LocalEngine
from pipeline.manifest import Finished
from pipeline.run import run
from stages.select import Select
from tests.rated import Rater
from tests.tiny import Length

SELECT = Select(tokens=40_000, strata=("source", "domain"), min_overall_score=2)


def config(paths: list[Path], output: Path, split_mb: float = 0.05, stage: Select = SELECT, seed: int = 3) -> RunConfig:
    """The input's documents, rated by their text, and a selection of them; a batch stage after it."""
    settings = InputConfig(tuple(str(path) for path in paths), split_mb=split_mb)
    return RunConfig(settings, str(output), (Rater(), stage, Length()), ShardsConfig(text_mb=0.3), seed)


def go(made: RunConfig, engine: Engine | None = None) -> Finished:
    """The finished run, on a local engine of one worker by default."""
    return run(made, engine or LocalEngine(1), Console(quiet=True))


if __name__ == "__main__":
    with LocalEngine(int(sys.argv[2])) as pool:
        go(config([Path(name) for name in sys.argv[3:]], Path(sys.argv[1])), pool)
