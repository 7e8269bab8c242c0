"""The mixture of a run, after its contexts are packed: the log, the final training order, what is said of both."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.contexts import Contexts
from pipeline.exchange import Phase
from pipeline.mixed import read_run_log, write_mixed
from pipeline.mixing import MixingRecord, estimate
from pipeline.mixture_report import mixture_facts
from pipeline.plan import PACK, Plan
from pipeline.records import FileRecord
from pipeline.storage import Store
from stages.mixture_log import MixtureLog

_MOST_LINES = 20


@dataclasses.dataclass(frozen=True)
class Mixed:
    """The mixture of a run, and the samples that were written in its order."""

    record: MixingRecord
    log: MixtureLog
    files: tuple[FileRecord, ...]

    def facts(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {"log": dataclasses.asdict(self.record.log), "files": [dataclasses.asdict(file) for file in self.files]}

    def report(self) -> dict[str, Any]:
        """Plain values for the section of the report."""
        return mixture_facts(self.log, self.record.found) | {"files": [dataclasses.asdict(file) for file in self.files]}


def mix_contexts(store: Store, plan: Plan, contexts: Contexts | None, phase: Phase) -> Mixed | None:
    """`mixture.jsonl` and `mixed/` of a plan that mixes its contexts; else None.

    Raises ConfigError or InputError, naming the group, for contexts that no mixture can be made of.
    """
    if contexts is None or not plan.after:
        return None
    step = plan.after[0]
    record = estimate(store, step, contexts.tokenizer, contexts.context, plan.config.seed, phase)
    log = read_run_log(store)
    files = write_mixed(store, step.directory, log, contexts, _file_mb(plan), phase)
    return Mixed(record, log, files)


def mixed_lines(mixed: Mixed | None) -> Iterator[str]:
    """Of each group what it gets, for the terminal; of the largest, if there are many; and what is to be known."""
    if mixed is None:
        return
    report = mixed.report()
    yield f"{report['samples']:,} contexts in training order, by {report['estimator']}"
    for group in report["groups"][:_MOST_LINES]:
        yield f"{group['name']}: {group['realised']:.1%} of contexts, {group['repetitions']:.2f} epochs"
    yield from report["notes"]


def _file_mb(plan: Plan) -> float:
    """As large as the files of contexts."""
    pack = next(step.stage for step in plan.batch if step.name == PACK)
    return float(getattr(pack, "file_mb", 256.0))
