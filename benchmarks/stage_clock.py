"""Child of stage_shares.py: the `tamis` command with one worker, whose records hold CPU seconds.

The modules of `pipeline` that record seconds are given a clock that says the CPU seconds of this process and of the
children that it waited for. The last line printed is their number at the end.
"""

import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TIMED = ("mixing_proxy", "outcomes", "progress", "reading", "run", "sidecars", "writing")
"""Modules of `pipeline` that take the seconds of their work."""


class CpuClock:
    """The module `time`, with another `monotonic`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def monotonic() -> float:
        """CPU seconds so far."""
        spent = os.times()
        return spent.user + spent.system + spent.children_user + spent.children_system


def replace_clocks() -> None:
    """In the modules whose seconds are recorded; engines and locks keep theirs, since they wait by it."""
    clock, real = CpuClock(), time.monotonic
    time.monotonic = clock.monotonic  # a default of a dataclass keeps what it finds while its module is imported
    try:
        for name in TIMED:
            import_module(f"pipeline.{name}").time = clock  # type: ignore[attr-defined]
    finally:
        time.monotonic = real


if __name__ == "__main__":
    replace_clocks()
    from pipeline.cli import main

    sys.argv += ["--workers", "1"]
    try:
        main()
    finally:
        print(f"\n{CpuClock.monotonic():.3f}")
