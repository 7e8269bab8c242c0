"""At which place of the chain a document was dropped: shards name the stage, and a chain may name one twice."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Chain = Sequence[tuple[str, Sequence[str]]]
"""Name of each stage, and the columns that it adds, in order. No two add the same column."""


def telling_columns(chain: Chain) -> list[str]:
    """The columns that `dropped_at` needs beside `dropped_by`: those of stages whose name comes more than once.

    >>> telling_columns([("language", ["lang"]), ("perplexity", ["harmful_ratio"]), ("perplexity", ["quality_ppl"])])
    ['harmful_ratio', 'quality_ppl']
    """
    names = [name for name, _ in chain]
    return [column for name, columns in chain if names.count(name) > 1 for column in columns]


def dropped_at(chain: Chain, by: Sequence[str], columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> np.ndarray:
    """The place of the stage that dropped each row, as int64; -1 where no stage has the name in `by`.

    Of several stages of a name it is the last one that said anything of the row: what a stage did not see is null in
    all its columns. `columns` holds those of `telling_columns`; one that is absent is null throughout.

    >>> chain = [("perplexity", ["harmful_ratio"]), ("tokens", ["tokens"]), ("perplexity", ["quality_ppl"])]
    >>> columns = {"harmful_ratio": pa.array([0.1, 0.9, 0.2]), "quality_ppl": pa.array([310.0, None, None])}
    >>> dropped_at(chain, ["perplexity", "perplexity", "tokens"], columns).tolist()
    [2, 0, 1]
    """
    names = np.array(by, dtype=object)
    found = np.full(len(names), -1, dtype=np.int64)
    for place, (name, added) in enumerate(chain):
        here = names == name
        first = name not in [other for other, _ in chain[:place]]
        found[here if first else here & _said(added, columns, len(names))] = place
    return found


def _said(added: Sequence[str], columns: Mapping[str, pa.Array | pa.ChunkedArray], rows: int) -> np.ndarray:
    said = np.zeros(rows, dtype=bool)
    for column in added:
        if column in columns:
            said |= np.asarray(pc.is_valid(columns[column]))
    return said
