"""What a worker of a cluster does with a task: arrive at the site, run it, say what it found, never what it read."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engines import Counter, Task, Tick, name_of
from pipeline.engines.site import Site, arrive
from stages.errors import EngineError, TamisError

_LOG = logging.getLogger("tamis.worker")


@dataclass(frozen=True)
class Done:
    """A task that is over: its result, and what it worked on."""

    result: Any
    documents: int
    text_bytes: int


def work(function: Callable[[Task, Tick], Any], task: Task, site: Site | None) -> Done:
    """Run a task in this process.

    Raises TamisError and OSError as they are, and EngineError for anything else: the type of the error and its place,
    without the message, which may hold text and would go into the logs of the cluster.
    """
    if site is not None:
        arrive(site)
    counter, began = Counter(), time.monotonic()
    try:
        result = function(task, counter)
    except (TamisError, OSError) as error:
        _LOG.error("%s %s: %s", function.__name__, name_of(task), type(error).__name__)
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(last.filename).name} line {last.lineno}"
        _LOG.error("%s %s: %s", function.__name__, name_of(task), place)
        raise EngineError(f"{name_of(task)}: a task failed: {place}. What is finished is kept; run again") from None
    seconds = time.monotonic() - began
    _LOG.info("%s %s: %d documents, %.1f s", function.__name__, name_of(task), counter.documents, seconds)
    return Done(result, counter.documents, counter.text_bytes)
