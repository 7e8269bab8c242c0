"""The manifest of a run: what it was made of and what it holds. It is written last, so it is there only if all is."""

import dataclasses
import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.aggregates import Counts
from pipeline.config import as_plain
from pipeline.contexts import Contexts
from pipeline.credentials import without_credentials
from pipeline.finishing import contexts_facts
from pipeline.ledger import Ledger, funnel_of
from pipeline.lock import LEASE
from pipeline.mixing_run import Mixed
from pipeline.plan import Plan
from pipeline.reading import SplitRecord
from pipeline.refusals import MANIFEST, no_directory, no_run
from pipeline.storage import Store
from pipeline.totals import Totals
from pipeline.verdicts import StageCounts
from pipeline.writing import PartRecord
from stages.contract import STATUS_SUFFIX, Summary
from stages.errors import ConfigError

NAME = MANIFEST
_CURRENT = "steps/current.json"
_AFTER = (NAME, "report.html", "report.json", "mixture.jsonl", "mixed", "shards")
"""Of a result: what is made after the documents and their contexts, and the manifest that goes first."""
_RESULT = (*_AFTER, "data", "dropped", "quarantine", "contexts")
_LIBRARIES = ("pyarrow", "numpy", "fasttext-community", "pycld2", "duckdb", "orjson")


@dataclasses.dataclass(frozen=True)
class Finished:
    """Everything that is known of a run when its last part is written."""

    plan: Plan
    engine: str
    ledger: Ledger
    splits: list[SplitRecord]
    totals: Totals
    parts: list[PartRecord]
    seconds: Mapping[str, float]
    """Wall-clock seconds by step, of this call alone (a resumed step shows what was left of it)."""
    surveys: Mapping[str, Summary] = dataclasses.field(default_factory=dict)
    """What stages found out about all rows, by stage."""
    contexts: Contexts | None = None
    """Packed contexts; None if the chain makes none."""
    mixed: Mixed | None = None
    """Their mixture; None if the chain makes none."""

    @property
    def funnel(self) -> list[StageCounts]:
        """The counts of each stage over all shards."""
        return funnel_of(self.totals.facts)

    @property
    def statuses(self) -> dict[str, Counts]:
        """What stages did with their documents, kept or not: documents by value of each status column."""
        names = [name for name in self.plan.schema.names if name.endswith(STATUS_SUFFIX)]
        return {name: self.totals.facts.column(name).all for name in names}


def check_output(store: Store, plan: Plan) -> None:
    """Raise ConfigError if the output is not Tamis's to write: a directory of others, or one that holds the input."""
    if store.is_local and Path(store.url).exists() and not Path(store.url).is_dir():
        raise ConfigError(f"output: {store.url} is a file, expected a directory, or a path that does not exist yet")
    ours = {
        ".lock",
        LEASE,
        *(["steps"] if not store.names("steps") else []),
    }  # an empty steps/: the start was cut short
    found = [name for name in store.names("") if name not in ours]
    if found and not store.exists(_CURRENT):
        raise ConfigError(
            f"output: {store.url} is there already and no run directory of Tamis (found: {', '.join(found[:5])}): "
            "choose another, or one that does not exist yet"
        )
    for item in plan.inputs:
        if _lies_in(item.file.url, store):
            raise ConfigError(
                f"output: {store.url} holds the input {item.file.url}, which the run would replace: choose another"
            )


def _lies_in(url: str, store: Store) -> bool:
    if store.is_local != ("://" not in url):
        return False
    if store.is_local:
        return Path(store.url).resolve() in Path(url).resolve().parents
    return url.startswith(store.url.rstrip("/") + "/")


def reset_result(store: Store, plan: Plan) -> None:
    """Make way for the result of this plan: what other settings wrote is unmade, the manifest first."""
    wanted = {"write": plan.write.hash, "after": [step.hash for step in plan.after]}
    found = store.read_json(_CURRENT)
    if found == wanted:
        return
    same_documents = isinstance(found, dict) and found.get("write") == plan.write.hash
    for name in _AFTER if same_documents else _RESULT:
        store.remove(name)
    store.write_json(_CURRENT, wanted)


def write_manifest(store: Store, finished: Finished) -> None:
    """Publish the manifest."""
    store.write_json(NAME, manifest_of(finished))


def read_manifest(store: Store) -> dict[str, Any]:
    """The manifest of a finished run. Raises InputError if the run is not finished or the directory is none."""
    value = None if no_directory(store) else store.read_json(NAME)
    if not isinstance(value, dict) or not {"tamis", "ledger", "config", "parts"} <= set(value):
        raise no_run(store)
    return value


def manifest_of(finished: Finished) -> dict[str, Any]:
    """The manifest as plain values."""
    plan = finished.plan
    return {
        "tamis": __version__,
        "config": as_plain(plan.config),
        "inputs": [
            {"url": without_credentials(i.file.url), "format": i.file.format, "bytes": i.file.size, "mark": i.mark}
            for i in plan.inputs
        ],
        "steps": [{"name": step.name, "hash": step.hash, "directory": step.directory} for step in plan.steps],
        "ledger": dataclasses.asdict(finished.ledger),
        "funnel": [dataclasses.asdict(counts) for counts in finished.funnel],
        "statuses": finished.statuses,
        "surveys": {name: dataclasses.asdict(summary) for name, summary in finished.surveys.items()},
        **({"contexts": contexts_facts(finished.contexts)} if finished.contexts else {}),
        **({"mixed": finished.mixed.facts()} if finished.mixed else {}),
        "parts": [dataclasses.asdict(part.data) for part in finished.parts],
        "dropped": [dataclasses.asdict(part.dropped) for part in finished.parts],
        "columns": {field.name: str(field.type) for field in plan.schema},
        "versions": _versions(),
        "engine": finished.engine,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": dict(finished.seconds),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _LIBRARIES:
        versions[name] = importlib.metadata.version(name)
    return versions
