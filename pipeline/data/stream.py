"""The mixture stream: contexts in the order of a mixture log, for any number of ranks and dataloader workers.

Sample `begin + j * ranks + rank` is a rank's j-th. A loader with workers takes whole batches from each in turn, so
worker w of W serves the rank's batches w, w + W, ...: the loader's batches come in the log's order, and at each step
all ranks together train on the same samples, however many they are. Being arithmetic, the position is one number.

A log may be growing: at the end of what is known the stream waits for the next decision, for `wait_s` seconds. A
decision's samples are only served after it is in the log, so workers may fetch ahead as they like.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.data.contexts import ContextSource
from stages.errors import ConfigError, InputError
from stages.mixture_log import Facts, read_log, spans_of
from stages.mixture_schedule import Schedule, Span

_POLL_S = 0.02


class MixtureStream:
    """Samples as dictionaries: the columns of a context, `group` (its name) and `sample` (its index in the run).

    `batch_size` must be that of the loader if it has workers. Raises InputError if the sources are not those of the
    log, or, while iterating, if all groups have run out or no decision comes.
    """

    def __init__(
        self,
        log: str | Path,
        sources: Mapping[str, ContextSource],
        batch_size: int = 1,
        rank: int = 0,
        ranks: int = 1,
        *,
        wait_s: float = 600.0,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < ranks:
            raise ConfigError(
                f"found batch_size {batch_size}, rank {rank} of {ranks}: expected 1 or more, 0 to ranks-1"
            )
        self._log, self._sources, self._wait_s = Path(log), dict(sources), wait_s
        self._batch, self._rank, self._ranks = batch_size, rank, ranks
        self._facts = read_log(self._log).facts
        check_sources(self._facts, self._sources)
        self._begin, self._skip, self._taken = 0, 0, 0
        self._worker = (0, 1)
        self._expected: tuple[int, int] | None = None
        self._spans: list[Span] = []
        self._schedule: Schedule = self._facts.schedule()

    @property
    def facts(self) -> Facts:
        """What the log says of its run."""
        return self._facts

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """From the position that was set to the end of the run."""
        self._worker = _worker()
        if self._expected not in (None, self._worker):
            raise ConfigError(
                f"the state is of worker {self._expected}, this is worker {self._worker} (number, of how many): "
                "load it with as many workers as before, or use seek() with the number of samples trained"
            )
        self._taken = self._skip
        begin, drawn = 0, list[tuple[str, int]]()
        while True:
            index = self._next()
            if index >= begin + len(drawn):
                if not self._known(index):
                    return
                begin, drawn = self._block(index)
            name, context = drawn[index - begin]
            row = self._sources[name].rows(context, context + 1)[0]
            self._taken += 1
            yield {**row, "group": name, "sample": index}

    def seek(self, sample: int) -> None:
        """Begin at a sample index: the number of samples that were trained on, over all ranks."""
        self.load_state_dict({"sample": sample})

    def state_dict(self) -> dict[str, Any]:
        """The position, under 1 kB: with workers each has its own, without them it is good for any number of both."""
        number, workers = self._worker
        if workers == 1:
            return {"sample": self._begin + self._taken * self._ranks}
        return {"sample": self._begin, "taken": self._taken, "worker": number, "workers": workers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin at a position."""
        self._begin, self._skip = int(state["sample"]), int(state.get("taken", 0))
        self._taken = self._skip
        self._expected = (state["worker"], state["workers"]) if "worker" in state else None

    def __getstate__(self) -> dict[str, Any]:
        """For workers: without the schedule, which each makes from the log."""
        return {**self.__dict__, "_schedule": self._facts.schedule(), "_spans": []}

    def _next(self) -> int:
        """The index of this worker's next sample."""
        number, workers = self._worker
        batch, inside = divmod(self._taken, self._batch)
        return self._begin + ((batch * workers + number) * self._batch + inside) * self._ranks + self._rank

    def _known(self, index: int) -> bool:
        """Whether there is such a sample; waits for the decision that says so."""
        until = time.monotonic() + self._wait_s
        while index >= self._schedule.end:
            if self._facts.samples and index >= self._facts.samples:
                return False
            if not self._read():
                if not self._facts.samples:
                    return False
                if time.monotonic() > until:
                    raise InputError(self._stuck(index))
                time.sleep(_POLL_S)
        return True

    def _block(self, index: int) -> tuple[int, list[tuple[str, int]]]:
        """The first sample of the block that holds this one, and for each of its samples the group and the context."""
        found = next(self._schedule.blocks(index), None)
        if found is None:
            raise InputError(
                f"all groups with a share have run out at sample {self._schedule.run_out}: raise max_epochs or add "
                f"data; asked for were {self._facts.samples or self._schedule.end:,} samples"
            )
        names = [self._schedule.groups[group] for group in found.groups.tolist()]
        contexts = (found.drawn % self._schedule.sizes[found.groups]).tolist()
        return found.begin, list(zip(names, contexts, strict=True))

    def _read(self) -> bool:
        """Take what is new in the log; whether there was something. A log of unknown length ends where it ends."""
        spans = list(spans_of(read_log(self._log)))
        if spans[: len(self._spans)] != self._spans:
            raise InputError(f"{self._log} was resumed from before sample {self._schedule.end}: start this stream anew")
        fresh = spans[len(self._spans) :]
        for span in fresh:
            self._schedule.extend(span)
        self._spans = spans
        return bool(fresh)

    def _stuck(self, index: int) -> str:
        return (
            f"no decision on sample {index} came to {self._log} in {self._wait_s:g} s: does the trainer pass losses to "
            "the estimator? A trainer that fetches batches ahead in its own process needs an estimator with a lag"
        )


def check_sources(facts: Facts, sources: Mapping[str, ContextSource]) -> None:
    """Raise InputError, naming the group, if the sources are not those that a log was written for."""
    if set(sources) != set(facts.contexts):
        raise InputError(
            f"the log is of groups {', '.join(sorted(facts.contexts))}, found {', '.join(sorted(sources))}"
        )
    for name, source in sources.items():
        checksum = getattr(source, "checksum", "")
        if len(source) != facts.contexts[name] or (checksum and facts.data.get(name, checksum) != checksum):
            raise InputError(
                f"group '{name}' has changed since the log was written: {len(source):,} contexts, checksum {checksum}; "
                f"then {facts.contexts[name]:,}, {facts.data.get(name, '')}. Use that data, or start a new log"
            )


def _worker() -> tuple[int, int]:
    """The number of this dataloader worker, and how many there are; (0, 1) outside of one."""
    import sys

    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data else None
    return (info.id, info.num_workers) if info else (0, 1)
