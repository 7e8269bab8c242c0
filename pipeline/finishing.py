"""What a run makes after its documents are written: packed contexts."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.contexts import Contexts, packs, write_contexts
from pipeline.exchange import Phase
from pipeline.ledger import Ledger
from pipeline.plan import Plan
from pipeline.storage import Store
from pipeline.verdicts import Shard
from stages.errors import EngineError

_MOST_LINES = 20


def pack_contexts(store: Store, plan: Plan, shards: Sequence[Shard], ledger: Ledger, phase: Phase) -> Contexts | None:
    """The contexts of a plan that packs, all written; else None.

    Raises EngineError if they do not hold the documents that were kept, which would be a fault of Tamis.
    """
    if not packs(plan):
        return None
    contexts = write_contexts(store, plan, shards, phase)
    if contexts.documents + contexts.without != ledger.kept:
        raise EngineError(
            f"the ledger does not close, which is a fault of Tamis: kept {ledger.kept:,} documents, but "
            f"{contexts.documents:,} are packed, and {contexts.without:,} have no token"
        )
    return contexts


def contexts_facts(contexts: Contexts) -> dict[str, Any]:
    """Contexts as plain values for the manifest: without the examples, which hold text."""
    facts = dataclasses.asdict(contexts)
    del facts["examples"]
    return facts


def contexts_lines(contexts: Contexts | None) -> Iterator[str]:
    """What there is of each group, for the terminal; of the largest, if there are many, and of all."""
    if contexts is None:
        return
    groups = sorted(contexts.groups.items(), key=lambda item: (-item[1].tokens, item[0]))
    total = sum(group.tokens for _, group in groups)
    if len(groups) != 1:
        count = sum(group.contexts for _, group in groups)
        yield f"{count:,} of at most {contexts.context:,} tokens, {total:,} tokens ({contexts.tokenizer}) in all"
    for name, group in groups[:_MOST_LINES]:
        share = f", {group.tokens / total:.1%} of all" if len(groups) > 1 else f" ({contexts.tokenizer})"
        yield f"{name}: {group.contexts:,} with {group.documents:,} documents, {group.tokens:,} tokens{share}"
    if len(groups) > _MOST_LINES:
        yield f"and {len(groups) - _MOST_LINES:,} more groups"
